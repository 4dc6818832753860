// SPDX-License-Identifier: MPL-2.0
//
// Revocation lists (HLD 3.2.3, 9.5): what an issuer has taken back before its time, as signed lists
// that any node may pass on. A list is the text
//
//   JWS compact (typ `rvi-crl+jwt`, claims only) "~" base64url of the entries
//
// so that the signed part stays small: its claim `sha256` is the hash over all entries in force,
// which for a delta are those of the list it builds on and its own. An entry has 20 bytes, a hash
// and the end of what it names; it leaves the list at that end, when the credential is worthless
// anyway. The claims, at most 2 KiB, are these members and no others:
//
//   {"ver":1, "iss":"jlr.com", "bundle":1, "serial":5, "base":0, "iat":s, "next":s,
//    "sha256":64 lowercase hex digits}
//
// `bundle` and `serial` count from 1, `base` is below `serial`, `next` after `iat`.
//
// For links on which each byte counts there is the same in COSE, of which a delta with one entry
// has about 210 bytes, less than half of its text:
//
//   COSE_Sign1 (typ `application/rvi-crl+cwt`) and behind it the entries as they are
//
// with the claims {1: iss, 6: iat, -65537: {1: ver, 2: bundle, 3: serial, 4: base, 5: next,
// 6: sha256 (32 bytes)}} and no others. Lists of both forms may follow each other. In JSON, in
// files and on the command line it is written `cose:`, the COSE_Sign1 in base64url, `~` and the
// entries in base64url.

#pragma once

#include "messages/credential.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

inline constexpr size_t revocation_entry_bytes = 20;
inline constexpr size_t revocation_entries_max = 32'768; // a list fits into one frame of 1 MiB
inline constexpr size_t revocation_deltas_max = 8;       // then the issuer signs a full list
inline constexpr size_t revocation_list_bytes_max
  = 4'096 + (revocation_entries_max * revocation_entry_bytes + 2) / 3 * 4;

/// One entry: 16 bytes of SHA-256 and the time (Unix seconds) at which it leaves the list.
struct revocation_entry {
  revocation_id id{};
  uint32_t expires_s = 0;
  auto operator<=>(const revocation_entry&) const = default;
};

/// The entry that revokes this credential.
revocation_entry revocation_entry_of(const credential_claims& x);
/// The entry that revokes all credentials of this issuer for one key until `expires_s`.
revocation_entry
revocation_entry_of(std::string_view issuer, const node_uid& holder, uint32_t expires_s);

/// Lists of one issuer are ordered by the trust bundle they were signed under, then by number.
struct revocation_version {
  uint64_t bundle = 1; // 1 until bundles exist
  uint64_t serial = 0; // 0: no list
  auto operator<=>(const revocation_version&) const = default;
};

/// What a list claims.
struct revocation_claims {
  std::string issuer;
  revocation_version version;
  uint64_t base = 0; // serial of the list that a delta adds to; 0: a full list
  uint64_t issued_s = 0;
  uint64_t next_s = 0;                   // when the issuer means to sign the next one
  std::vector<revocation_entry> entries; // ascending, each hash once, none over at `issued_s`
  std::string result_sha256;             // 32 bytes, over all entries in force
};

struct revocation_list : revocation_claims {
  credential_format format = credential_format::jws;
  std::string text;                   // the bytes carried; COSE is no text
  crypto::signed_payload signed_part; // its key_id in hex, in both forms
};

using revocation_list_ptr = std::shared_ptr<const revocation_list>;

/// What one issuer has revoked so far. Immutable.
struct revocation_set {
  std::string issuer;
  revocation_version version;
  uint64_t issued_s = 0;
  uint64_t next_s = 0;
  std::vector<revocation_entry> entries; // ascending
  /// Signed: a full list and the deltas on it, in order; and the version each one leads to.
  std::vector<std::string> lists;
  std::vector<revocation_version> versions;

  /// O(log n).
  bool holds(const revocation_id& id) const;
  /// What a node that has `version` lacks, to be taken in this order.
  std::vector<std::string> lists_after(const revocation_version& known) const;
};

using revocation_set_ptr = std::shared_ptr<const revocation_set>;
/// By issuer.
using revocation_sets = std::map<std::string, revocation_set_ptr, std::less<>>;

/// True if the issuer's list names the credential or its key.
bool is_revoked(const credential& x, const revocation_sets& sets);

/// Signs a list. Without `base` it is full; with it, a delta: `entries` are those to be added.
/// Entries are put in order, those over at `issued_s` left out. Error: `bad_request`.
expected<revocation_list_ptr>
issue_revocation_list(revocation_claims claims, const crypto::private_key& key,
                      const revocation_set* base = nullptr,
                      credential_format format = credential_format::jws);

/// Takes the bytes carried apart and checks their shape and limits; no signature yet. Error:
/// `malformed`.
expected<revocation_list_ptr> parse_revocation_list(std::string_view text);

/// What stands for a list in JSON, in files and on the command line.
std::string written_form(const revocation_list& x);
/// The bytes that a written form stands for; whether they are a list is not asked. Error:
/// `malformed`.
expected<std::string> carried_list(std::string_view written);

/// Errors: `unknown_issuer`, `signature_invalid`.
caf::error verify_revocation_list(const revocation_list& x, const trust_anchors& anchors);

/// What holds once a verified list is added to what is known (null: nothing). Errors: `replay` (not
/// newer), `not_found` (a delta on another list), `limit_exceeded` (too many deltas or entries),
/// `malformed` (the result is not what the issuer signed).
expected<revocation_set_ptr>
apply_revocation_list(const revocation_set* known, const revocation_list& x);

/// All of the above after parsing, cheap refusals first.
expected<revocation_set_ptr>
accept_revocation_list(std::string_view text, const revocation_sets& known,
                       const trust_anchors& anchors);

} // namespace rvi
