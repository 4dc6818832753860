// SPDX-License-Identifier: MPL-2.0
//
// Revocation lists, each on top of what a node may know.

#include "messages/revocation.hpp"
#include "test/reference/agreement.hpp"
#include "test/reference/federation.hpp"
#include "test/reference/odd_cose.hpp"
#include "test/reference/odd_text.hpp"
#include "test/reference/reference_list.hpp"
#include "test/support/cose_claims.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace test;

namespace {

constexpr uint64_t now_s = now_ms / 1'000;

using entry_map = std::map<std::string, uint32_t>;

/// What a node knows, in both forms.
struct knowledge {
  revocation_sets router;
  reference::list_states other;
};

struct setting {
  setting() {
    knowledge nothing;
    auto first = with(nothing, 5, 0, 3);
    auto second = with(first, 6, 5, 2);
    known = {nothing,
             first,
             first,
             second,
             second,
             with(second, 3, 0, 4, "jlr.com", 2),
             with(first, UINT64_MAX - 1, 0, 1),
             with(second, 1, 0, 2, "other.com")};
    auto deltas = with(nothing, 1, 0, 1);
    for (uint64_t i = 1; i <= revocation_deltas_max; ++i) {
      deltas = with(deltas, 1 + i, i, 1);
      if (i + 1 >= revocation_deltas_max)
        known.push_back(deltas);
    }
  }

  /// Issued by the router's own functions; both have to take it.
  knowledge with(knowledge before, uint64_t serial, uint64_t base, size_t entries,
                 const std::string& issuer = "jlr.com", uint64_t bundle = 1) {
    revocation_claims x;
    x.issuer = issuer;
    x.version = {bundle, serial};
    x.issued_s = now_s - 1'000 + serial % 100;
    x.next_s = now_s + 86'400;
    for (size_t i = 0; i < entries; ++i)
      x.entries.push_back({credential_revocation_id("jlr.com", std::to_string(i * serial % 12)),
                           static_cast<uint32_t>(x.issued_s + 1 + i * 500)});
    auto list
      = issue_revocation_list(x, issuer == "jlr.com" ? w.roots.front().key : w.other,
                              base == 0 ? nullptr : before.router.at(issuer).get(),
                              serial % 2 == 0 ? credential_format::cose : credential_format::jws);
    REQUIRE_MESSAGE(list, describe(list.error()));
    auto set = accept_revocation_list((*list)->text, before.router, w.anchors);
    REQUIRE_MESSAGE(set, describe(set.error()));
    auto judged
      = reference::judge_list((*list)->text, before.other, w.pinned, reference::check_signature);
    REQUIRE_MESSAGE(judged.refused.empty(), judged.why);
    before.router[issuer] = *set;
    before.other[issuer] = judged.next;
    return before;
  }

  federation w;
  std::vector<knowledge> known;
};

/// Entries that often meet those of other lists, mostly not over.
entry_map draw_entries(uint64_t issued_s, dice& roll) {
  entry_map result;
  for (auto n = roll.below(5); n > 0; --n) {
    auto id = credential_revocation_id("jlr.com", std::to_string(roll.below(12)));
    auto end = roll.below(40) == 0 ? issued_s + roll.below(2) : issued_s + 1 + roll.below(2'000);
    result[std::string{crypto::view(id)}]
      = roll.below(20) == 0 ? UINT32_MAX : static_cast<uint32_t>(end);
  }
  return result;
}

/// The entries as bytes, perhaps not as they should be.
std::string odd_bytes(const entry_map& entries, dice& roll) {
  auto result = reference::bytes_of(entries);
  if (roll.below(20) > 0 || result.empty())
    return result;
  switch (roll.below(5)) {
    case 0:
      return result.substr(20) + result.substr(0, 20);
    case 1:
      return result.substr(0, 20) + result;
    case 2:
      return result.substr(1);
    case 3:
      return result + '\0';
    default: // one hash with two ends
      return result.substr(0, 16) + std::string(4, '\xff') + result;
  }
}

/// Claims that mostly follow what is known.
reference::list_text draw_claims(const std::string& issuer, const knowledge& at, dice& roll) {
  auto found = at.other.find(issuer);
  auto before
    = found == at.other.end() ? reference::list_state{1, 0, now_s - 500, 0, 0, {}} : found->second;
  reference::list_text x;
  x.issuer = issuer;
  x.bundle = before.bundle;
  x.serial = before.serial + 1 + roll.below(2);
  if (roll.below(10) == 0)
    x.serial = before.serial - std::min<uint64_t>(before.serial, roll.below(3));
  if (roll.below(10) == 0)
    x.bundle += roll.below(3) - 1;
  x.base = roll.below(2) == 0 ? before.serial : 0;
  if (roll.below(12) == 0)
    x.base = roll.below(12);
  x.issued_s = before.issued_s + std::vector<uint64_t>{0, 1, 10, 500, 1'000}[roll.below(5)];
  if (roll.below(15) == 0)
    x.issued_s -= 100;
  x.next_s = x.issued_s + (roll.below(8) == 0 ? roll.below(2) : 86'400);
  x.entries = draw_entries(x.issued_s, roll);
  return x;
}

std::string cbor_unsigned(uint64_t x) {
  cbor::writer out;
  return out.unsigned_integer(x).take();
}

/// The claims in CBOR, perhaps with one that is odd, missing or too many.
std::string cose_payload(const reference::list_text& x, const std::string& sha256, dice& roll) {
  cbor_members own;
  auto number = [](int64_t label) { return cbor_number(label); };
  own[number(1)] = cbor_unsigned(1);
  own[number(2)] = cbor_unsigned(x.bundle);
  own[number(3)] = cbor_unsigned(x.serial);
  own[number(4)] = cbor_unsigned(x.base);
  own[number(5)] = cbor_unsigned(x.next_s);
  own[number(6)] = cbor_bytes(sha256);
  cbor_members all{{number(1), cbor_text(x.issuer)}, {number(6), cbor_unsigned(x.issued_s)}};
  if (roll.below(10) == 0) {
    auto& where = roll.below(3) == 0 ? all : own;
    auto label = number(static_cast<int64_t>(1 + roll.below(7)));
    if (roll.below(3) == 0)
      where.erase(label);
    else
      where[label] = odd_item(roll);
  }
  all[number(-65'537)] = cbor_map(own);
  return odd_encoding(cbor_map(all), roll);
}

std::string draw_list(const federation& w, const knowledge& at, dice& roll) {
  auto issuer = w.organization(roll);
  auto x = draw_claims(issuer, at, roll);
  auto bytes = odd_bytes(x.entries, roll);
  auto known = at.other.find(issuer);
  auto sum = reference::sum_of(known == at.other.end() ? nullptr : &known->second, x);
  auto in_force = x.base == 0 ? bytes : reference::bytes_of(sum.entries);
  auto sha256 = reference::sha256(roll.below(40) == 0 ? bytes + "x" : in_force);
  if (roll.below(3) == 0) {
    auto& key = w.signer(issuer, "crl", roll);
    auto& named = roll.below(40) == 0 ? w.roots.front().key : key;
    auto type = roll.below(40) == 0 ? "application/rvi-cred+cwt" : "application/rvi-crl+cwt";
    return odd_cose(key, named, type, cose_payload(x, sha256, roll), roll) + bytes;
  }
  members claims = {{"ver", "1"},
                    {"iss", quoted(issuer)},
                    {"bundle", std::to_string(x.bundle)},
                    {"serial", std::to_string(x.serial)},
                    {"base", std::to_string(x.base)},
                    {"iat", std::to_string(x.issued_s)},
                    {"next", std::to_string(x.next_s)},
                    {"sha256", quoted(reference::hex(sha256))}};
  if (roll.below(6) == 0)
    make_odd(claims, roll);
  signing by{&w.signer(issuer, "crl", roll), "rvi-crl+jwt", nullptr};
  if (roll.below(40) == 0)
    by.named = &w.roots.front().key;
  auto symbols = crypto::base64url(bytes);
  if (roll.below(40) == 0)
    damage_symbols(symbols, roll);
  auto result = odd_jws(by, text_of(claims, roll), roll) + "~" + symbols;
  if (roll.below(25) == 0)
    damage_symbols(result, roll);
  return result;
}

/// What holds afterwards is the same.
bool equal(const revocation_set& x, const reference::list_state& y) {
  std::string bytes;
  for (auto& entry : x.entries) {
    bytes += crypto::view(entry.id);
    for (int shift = 24; shift >= 0; shift -= 8)
      bytes += static_cast<char>(entry.expires_s >> shift & 0xff);
  }
  return bytes == reference::bytes_of(y.entries) && x.version.bundle == y.bundle
         && x.version.serial == y.serial && x.issued_s == y.issued_s && x.next_s == y.next_s
         && x.lists.size() == y.deltas + 1;
}

/// Asks both about one list.
void ask(agreement& both, uint64_t index, const federation& w, const knowledge& at,
         const std::string& text) {
  auto judged = reference::judge_list(text, at.other, w.pinned, reference::check_signature);
  auto next = accept_revocation_list(text, at.router, w.anchors);
  both.add(index, next ? ec::none : code_of(next.error()), judged.refused, text, judged.why);
  if (next && judged.refused.empty())
    both.same(index, (*next)->issuer == judged.issuer && equal(**next, judged.next), text,
              "what is in force");
}

} // namespace

TEST_CASE("revocation lists") {
  setting at;
  agreement both{"lists", 150};
  for (auto i = both.first(); i < both.last(); ++i) {
    auto roll = both.dice_of(i);
    auto& known = roll.pick(at.known);
    ask(both, i, at.w, known, draw_list(at.w, known, roll));
  }
  both.conclude({ec::malformed, ec::unknown_issuer, ec::signature_invalid, ec::replay,
                 ec::not_found, ec::limit_exceeded});
}

TEST_CASE("revocation lists as long as may be, and longer") {
  setting at;
  agreement both{"long lists", 0};
  auto make = [&](size_t first, size_t n, uint64_t serial, uint64_t base, const entry_map& sum) {
    entry_map entries;
    for (auto i = first; i < first + n; ++i)
      entries[reference::sha256(std::to_string(i)).substr(0, 16)] = UINT32_MAX;
    auto in_force = entries;
    in_force.insert(sum.begin(), sum.end());
    members claims
      = {{"ver", "1"},
         {"iss", quoted("jlr.com")},
         {"bundle", "1"},
         {"serial", std::to_string(serial)},
         {"base", std::to_string(base)},
         {"iat", std::to_string(now_s)},
         {"next", std::to_string(now_s + 1)},
         {"sha256", quoted(reference::hex(reference::sha256(reference::bytes_of(in_force))))}};
    dice roll{0}; // for white space alone
    auto& key = at.w.roots.front().key;
    return *crypto::sign_jws(key, "rvi-crl+jwt", at.w.roots.front().kid(), text_of(claims, roll))
           + "~" + crypto::base64url(reference::bytes_of(entries));
  };
  knowledge known;
  for (size_t n :
       {revocation_entries_max - 1, revocation_entries_max, revocation_entries_max + 1}) {
    auto text = make(0, n, 1, 0, {});
    ask(both, n, at.w, {}, text);
    if (n + 1 != revocation_entries_max)
      continue;
    known.router["jlr.com"] = *accept_revocation_list(text, {}, at.w.anchors);
    known.other["jlr.com"]
      = reference::judge_list(text, {}, at.w.pinned, reference::check_signature).next;
  }
  auto& sum = known.other["jlr.com"].entries;
  for (size_t more : {0, 1, 2})
    ask(both, more, at.w, known, make(revocation_entries_max, more, 2, 1, sum));
  both.conclude({});
}
