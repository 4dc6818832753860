// SPDX-License-Identifier: MPL-2.0

#include "messages/revocation.hpp"

#include "messages/name.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/json/json.hpp"

#include <algorithm>
#include <limits>

namespace rvi {

namespace {

constexpr std::string_view list_type = "rvi-crl+jwt";
constexpr uint64_t list_version = 1;
constexpr char separator = '~';

caf::error malformed(std::string why) {
  return caf::make_error(ec::malformed, "revocation list: " + why);
}

std::string bytes_of(const std::vector<revocation_entry>& entries) {
  std::string result;
  result.reserve(entries.size() * revocation_entry_bytes);
  for (auto& x : entries) {
    result += crypto::view(x.id);
    append_u32(result, x.expires_s);
  }
  return result;
}

std::string hash_of(const std::vector<revocation_entry>& entries) {
  return std::string{crypto::view(crypto::sha256(bytes_of(entries)))};
}

expected<std::vector<revocation_entry>> entries_of(std::string_view bytes, uint64_t issued_s) {
  if (bytes.size() % revocation_entry_bytes != 0)
    return malformed("an entry is cut");
  if (bytes.size() / revocation_entry_bytes > revocation_entries_max)
    return malformed("over 32768 entries");
  std::vector<revocation_entry> result(bytes.size() / revocation_entry_bytes);
  for (size_t i = 0; i < result.size(); ++i) {
    auto entry = bytes.substr(i * revocation_entry_bytes, revocation_entry_bytes);
    auto& x = result[i];
    std::copy_n(entry.begin(), x.id.size(), reinterpret_cast<char*>(x.id.data()));
    x.expires_s = read_u32(entry.substr(x.id.size()));
    if (i > 0 && result[i - 1].id >= x.id)
      return malformed("entries are not in order");
    if (x.expires_s <= issued_s)
      return malformed("an entry that was over when the list was signed");
  }
  return result;
}

/// Sorts; of two entries with one hash the later end holds; drops what is over.
void normalise(std::vector<revocation_entry>& entries, uint64_t now_s) {
  std::erase_if(entries, [now_s](auto& x) { return x.expires_s <= now_s; });
  std::sort(entries.begin(), entries.end(), [](auto& x, auto& y) {
    return x.id != y.id ? x.id < y.id : x.expires_s > y.expires_s;
  });
  auto same = [](auto& x, auto& y) { return x.id == y.id; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
}

/// The entries in force once those of a delta are added.
std::vector<revocation_entry> sum_of(const std::vector<revocation_entry>& base,
                                     const std::vector<revocation_entry>& added, uint64_t now_s) {
  auto result = base;
  result.insert(result.end(), added.begin(), added.end());
  normalise(result, now_s);
  return result;
}

std::string payload_of(const revocation_claims& x) {
  json::writer out;
  out.begin_object();
  out.member("ver", list_version);
  out.member("iss", x.issuer);
  out.member("bundle", x.version.bundle);
  out.member("serial", x.version.serial);
  out.member("base", x.base);
  out.member("iat", x.issued_s);
  out.member("next", x.next_s);
  out.member("sha256", crypto::hex(x.result_sha256));
  out.end_object();
  return out.take();
}

caf::error read_claims(json::value x, revocation_claims& out) {
  auto issuer = x["iss"].as_string();
  auto bundle = x["bundle"].as_uint();
  auto serial = x["serial"].as_uint();
  auto base = x["base"].as_uint();
  auto issued = x["iat"].as_uint();
  auto next = x["next"].as_uint();
  auto hash = x["sha256"].as_string();
  if (x["ver"].as_uint() != list_version)
    return malformed("unknown version");
  if (!issuer || !bundle || !serial || !base || !issued || !next || !hash || x.size() != 8)
    return malformed("exactly ver, iss, bundle, serial, base, iat, next and sha256 are required");
  if (!is_organization(*issuer))
    return malformed("iss is not an organization");
  if (*bundle == 0 || *serial == 0 || *base >= *serial || *next <= *issued)
    return malformed("numbers or times out of order");
  auto bytes = crypto::unhex(*hash);
  if (!bytes || bytes->size() != 32 || crypto::hex(*bytes) != *hash)
    return malformed("sha256 is not 64 lowercase hex digits");
  out.issuer = *issuer;
  out.version = {*bundle, *serial};
  out.base = *base;
  out.issued_s = *issued;
  out.next_s = *next;
  out.result_sha256 = std::move(*bytes);
  return {};
}

} // namespace

// -- entries ------------------------------------------------------------------------------------

revocation_entry revocation_entry_of(const credential_claims& x) {
  auto end = std::min<uint64_t>(x.expires_s, std::numeric_limits<uint32_t>::max());
  return {credential_revocation_id(x.issuer, x.id), static_cast<uint32_t>(end)};
}

revocation_entry
revocation_entry_of(std::string_view issuer, const node_uid& holder, uint32_t expires_s) {
  return {holder_revocation_id(issuer, holder), expires_s};
}

bool revocation_set::holds(const revocation_id& id) const {
  auto i = std::lower_bound(entries.begin(), entries.end(), id,
                            [](auto& x, auto& y) { return x.id < y; });
  return i != entries.end() && i->id == id;
}

std::vector<std::string> revocation_set::lists_after(const revocation_version& known) const {
  if (known >= version)
    return {};
  // A delta helps only whoever has exactly what it builds on.
  for (size_t i = 0; i + 1 < versions.size(); ++i)
    if (versions[i] == known)
      return {lists.begin() + static_cast<ptrdiff_t>(i) + 1, lists.end()};
  return lists;
}

bool is_revoked(const credential& x, const revocation_sets& sets) {
  auto i = sets.find(x.issuer); // the issuer of a whole chain
  if (i == sets.end())
    return false;
  for (auto* each = &x; each; each = each->parent.get())
    if (i->second->holds(each->revocation) || i->second->holds(each->holder_revocation))
      return true;
  return false;
}

// -- lists --------------------------------------------------------------------------------------

expected<revocation_list_ptr>
issue_revocation_list(revocation_claims claims, const crypto::private_key& key,
                      const revocation_set* base) {
  normalise(claims.entries, claims.issued_s);
  claims.base = base ? base->version.serial : 0;
  if (base && (base->issuer != claims.issuer || base->version.bundle != claims.version.bundle))
    return caf::make_error(ec::bad_request, std::string{"a delta on a list of another line"});
  auto all = base ? sum_of(base->entries, claims.entries, claims.issued_s) : claims.entries;
  if (all.size() > revocation_entries_max)
    return caf::make_error(ec::bad_request, std::string{"over 32768 entries"});
  claims.result_sha256 = hash_of(all);
  auto text
    = crypto::sign_jws(key, list_type, to_string(key.public_part().uid()), payload_of(claims));
  if (!text)
    return std::move(text.error());
  auto result
    = parse_revocation_list(*text + separator + crypto::base64url(bytes_of(claims.entries)));
  if (!result)
    return caf::make_error(ec::bad_request, detail_of(result.error()));
  return result;
}

expected<revocation_list_ptr> parse_revocation_list(std::string_view text) {
  if (text.size() > revocation_list_bytes_max)
    return malformed("too long");
  auto end = text.find(separator);
  if (end == text.npos)
    return malformed("no entries");
  auto jws = crypto::parse_jws(text.substr(0, end));
  if (!jws)
    return malformed(detail_of(jws.error()));
  if (jws->type != list_type)
    return malformed("typ is not " + std::string{list_type});
  auto document = json::parse(jws->payload, {2'048, 4, 64});
  if (!document)
    return malformed(detail_of(document.error()));
  auto result = std::make_shared<revocation_list>();
  if (auto err = read_claims(document->root(), *result))
    return err;
  auto bytes = crypto::unbase64url(text.substr(end + 1));
  if (!bytes)
    return malformed("the entries are not canonical base64url");
  auto entries = entries_of(*bytes, result->issued_s);
  if (!entries)
    return std::move(entries.error());
  if (result->base == 0 && crypto::view(crypto::sha256(*bytes)) != result->result_sha256)
    return malformed("the entries are not those the issuer signed");
  result->entries = std::move(*entries);
  result->text = text;
  result->signed_text = std::move(*jws);
  return revocation_list_ptr{std::move(result)};
}

caf::error verify_revocation_list(const revocation_list& x, const trust_anchors& anchors) {
  auto key = anchors.find(x.issuer, x.signed_text.key_id, key_use::lists);
  if (!key)
    return caf::make_error(ec::unknown_issuer, "no pinned key " + x.signed_text.key_id.substr(0, 64)
                                                 + " of " + x.issuer);
  if (!crypto::verify(x.signed_text, *key))
    return caf::make_error(ec::signature_invalid, "the revocation list of " + x.issuer);
  return {};
}

expected<revocation_set_ptr>
apply_revocation_list(const revocation_set* known, const revocation_list& x) {
  auto held = known ? known->version : revocation_version{0, 0};
  if (x.version <= held)
    return caf::make_error(ec::replay, "list " + std::to_string(x.version.serial) + " of "
                                         + x.issuer + " is not newer than "
                                         + std::to_string(held.serial));
  auto result = std::make_shared<revocation_set>();
  if (x.base == 0) {
    result->entries = x.entries;
  } else {
    if (held != revocation_version{x.version.bundle, x.base})
      return caf::make_error(ec::not_found, "the list builds on " + std::to_string(x.base)
                                              + ", here is " + std::to_string(held.serial));
    if (known->lists.size() > revocation_deltas_max)
      return caf::make_error(ec::limit_exceeded, std::string{"too many deltas: needs a full list"});
    result->entries = sum_of(known->entries, x.entries, x.issued_s);
    if (result->entries.size() > revocation_entries_max)
      return caf::make_error(ec::limit_exceeded, std::string{"over 32768 entries"});
    if (hash_of(result->entries) != x.result_sha256)
      return malformed("the sum is not the one the issuer signed");
    result->lists = known->lists;
    result->versions = known->versions;
  }
  result->issuer = x.issuer;
  result->version = x.version;
  result->issued_s = x.issued_s;
  result->next_s = x.next_s;
  result->lists.push_back(x.text);
  result->versions.push_back(x.version);
  return revocation_set_ptr{std::move(result)};
}

expected<revocation_set_ptr>
accept_revocation_list(std::string_view text, const revocation_sets& known,
                       const trust_anchors& anchors) {
  auto list = parse_revocation_list(text);
  if (!list)
    return std::move(list.error());
  auto held = known.find((*list)->issuer);
  auto before = held == known.end() ? nullptr : held->second.get();
  // An old list is refused before its signature costs anything.
  if (before && (*list)->version <= before->version)
    return apply_revocation_list(before, **list);
  if (auto err = verify_revocation_list(**list, anchors))
    return err;
  return apply_revocation_list(before, **list);
}

} // namespace rvi
