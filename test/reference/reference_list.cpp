// SPDX-License-Identifier: MPL-2.0

#include "test/reference/reference_list.hpp"

#include "tools/simulation/reference_cose.hpp"
#include "tools/simulation/reference_names.hpp"
#include "tools/simulation/reference_tree.hpp"

#include <algorithm>

namespace rvi::simulation::reference {

namespace {

// messages/revocation.hpp
constexpr size_t entry_bytes = 20;
constexpr size_t entries_max = 32'768;
constexpr size_t deltas_max = 8;
constexpr size_t text_bytes_max = 4'096 + (entries_max * entry_bytes + 2) / 3 * 4;

constexpr size_t claims_bytes_max = 2'048;

size_t claims_bytes_of(const jws& x) {
  return (x.signing_input.size() - x.signing_input.find('.') - 1) * 3 / 4;
}

uint32_t big_endian(std::string_view x) {
  uint32_t result = 0;
  for (auto c : x)
    result = result << 8 | static_cast<uint8_t>(c);
  return result;
}

/// 64 lowercase hex digits as 32 bytes.
std::optional<std::string> digest_of(const std::string& text) {
  constexpr std::string_view digits = "0123456789abcdef";
  if (text.size() != 64)
    return {};
  std::string result;
  for (size_t i = 0; i < text.size(); i += 2) {
    auto high = digits.find(text[i]);
    auto low = digits.find(text[i + 1]);
    if (high == std::string::npos || low == std::string::npos)
      return {};
    result += static_cast<char>(high * 16 + low);
  }
  return result;
}

std::string read_claims(const json& claims, list_text& out) {
  for (auto& [name, value] : claims.object)
    if (!std::set<std::string>{"ver", "iss", "bundle", "serial", "base", "iat", "next", "sha256"}
           .contains(name))
      return "a member it does not have";
  auto ver = claims.member("ver");
  if (!ver || ver->unsigned_integer() != 1)
    return "another ver";
  auto issuer = claims.member("iss");
  if (!issuer || !issuer->string() || !is_domain(*issuer->string()))
    return "iss is no organization";
  out.issuer = *issuer->string();
  for (auto [name, to] : {std::pair{"bundle", &out.bundle}, std::pair{"serial", &out.serial},
                          std::pair{"base", &out.base}, std::pair{"iat", &out.issued_s},
                          std::pair{"next", &out.next_s}}) {
    auto x = claims.member(name);
    if (!x || !x->unsigned_integer())
      return std::string{name} + " is no number";
    *to = *x->unsigned_integer();
  }
  if (out.bundle == 0 || out.serial == 0)
    return "bundle and serial count from 1";
  if (out.base >= out.serial)
    return "a delta adds to an earlier list";
  if (out.next_s <= out.issued_s)
    return "the next list comes later";
  auto sha256 = claims.member("sha256");
  auto digest = sha256 && sha256->string() ? digest_of(*sha256->string()) : std::nullopt;
  if (!digest)
    return "sha256 is no hash";
  out.result_sha256 = *digest;
  return {};
}

std::string read_entries(const std::string& bytes, list_text& out) {
  if (bytes.size() % entry_bytes != 0 || bytes.size() / entry_bytes > entries_max)
    return "not a number of entries";
  std::string last;
  for (size_t at = 0; at < bytes.size(); at += entry_bytes) {
    auto id = bytes.substr(at, 16);
    auto end = big_endian(std::string_view{bytes}.substr(at + 16, 4));
    if (at > 0 && id <= last)
      return "not ascending, each once";
    if (end <= out.issued_s)
      return "an entry that was over";
    out.entries[id] = end;
    last = id;
  }
  return {};
}

/// Whether the issuer signed it, by a key that may sign lists.
void check_issuer(const list_text& x, const pins& pinned, const signature_check& holds,
                  reasons& out) {
  auto organization = pinned.find(x.issuer);
  auto key = organization == pinned.end()
               ? std::map<std::string, pinned_key>::const_iterator{}
               : organization->second.find(*x.parts.header.member("kid")->string());
  if (organization == pinned.end() || key == organization->second.end() || !key->second.lists) {
    out.insert("unknown_issuer");
    return;
  }
  auto& root = key->second.key;
  if (*x.parts.header.member("alg")->string() != root.jose_name()
      || !holds(root.spki, x.parts.signing_input, x.parts.signature))
    out.insert("signature_invalid");
}

/// Whether it follows what is known, and leads to what was signed.
void check_step(const list_state* known, const list_text& x, const list_state& next, reasons& out) {
  if (known && std::pair{x.bundle, x.serial} <= std::pair{known->bundle, known->serial})
    out.insert("replay");
  if (x.base != 0 && (!known || known->bundle != x.bundle || known->serial != x.base)) {
    out.insert("not_found");
    return; // no sum to look at
  }
  if (next.deltas > deltas_max || next.entries.size() > entries_max)
    out.insert("limit_exceeded");
  if (sha256(bytes_of(next.entries)) != x.result_sha256)
    out.insert("malformed");
}

} // namespace

std::string bytes_of(const std::map<std::string, uint32_t>& entries) {
  std::string result;
  for (auto& [id, end] : entries) {
    result += id;
    for (int shift = 24; shift >= 0; shift -= 8)
      result += static_cast<char>(end >> shift & 0xff);
  }
  return result;
}

namespace {

/// The signed part and the bytes of the entries behind it.
std::optional<std::pair<jws, std::string>> parts_of(const std::string& text) {
  if (text.starts_with('\xd2')) {
    size_t used = 0;
    auto parts = take_cose_apart(std::string_view{text}.substr(0, 4'096), used, cose_claims::list);
    return parts ? std::optional{std::pair{*parts, text.substr(used)}} : std::nullopt;
  }
  auto tilde = text.find('~');
  if (tilde == std::string::npos)
    return {};
  auto parts = take_apart(text.substr(0, tilde));
  auto entries = read_base64url(std::string_view{text}.substr(tilde + 1));
  return parts && entries ? std::optional{std::pair{*parts, *entries}} : std::nullopt;
}

} // namespace

std::optional<list_text> read_list(const std::string& text, std::string& why) {
  auto parts = parts_of(text);
  if (text.size() > text_bytes_max || !parts) {
    why = "no signed part and entries of this size";
    return {};
  }
  bool cose = text.starts_with('\xd2');
  auto& entries = parts->second;
  list_text result;
  result.parts = std::move(parts->first);
  // In COSE there is nothing that could be so long but a wrong issuer.
  if (!cose && claims_bytes_of(result.parts) > claims_bytes_max) {
    why = "over 2 KiB of claims";
    return {};
  }
  why = check_jose_header(result.parts.header, cose ? "application/rvi-crl+cwt" : "rvi-crl+jwt");
  if (why.empty())
    why = read_claims(result.parts.claims, result);
  if (why.empty())
    why = read_entries(entries, result);
  // Of a full list the entries are the result, so that foreign ones show before any key is asked.
  if (why.empty() && result.base == 0 && sha256(entries) != result.result_sha256)
    why = "not the entries that were signed";
  return why.empty() ? std::optional{std::move(result)} : std::nullopt;
}

list_state sum_of(const list_state* known, const list_text& x) {
  list_state result;
  if (x.base != 0 && known) {
    result.deltas = known->deltas + 1;
    for (auto& [id, end] : known->entries)
      if (end > x.issued_s) // an entry leaves the list at its end
        result.entries[id] = end;
  }
  for (auto& [id, end] : x.entries)
    result.entries[id] = std::max(result.entries[id], end); // of two ends the later one holds
  result.bundle = x.bundle;
  result.serial = x.serial;
  result.issued_s = x.issued_s;
  result.next_s = x.next_s;
  return result;
}

list_judgement judge_list(const std::string& text, const list_states& known, const pins& pinned,
                          const signature_check& holds) {
  list_judgement result;
  auto x = read_list(text, result.why);
  if (!x) {
    result.refused = {"malformed"};
    return result;
  }
  result.issuer = x->issuer;
  auto found = known.find(x->issuer);
  auto before = found == known.end() ? nullptr : &found->second;
  result.next = sum_of(before, *x);
  check_issuer(*x, pinned, holds, result.refused);
  check_step(before, *x, result.next, result.refused);
  return result;
}

} // namespace rvi::simulation::reference
