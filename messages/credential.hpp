// SPDX-License-Identifier: MPL-2.0
//
// Credentials (HLD 7.2, there "certificates"), signed by an organization's provisioning key. They
// say what a node may receive (sources) and reach (destinations), and which key it must hold (cnf).
// There are two forms of the same claims (messages/credential_claims.hpp has the table):
//
//   JWS   compact, typ `rvi-cred+jwt` (RFC 7515, RFC 7519)
//   COSE  COSE_Sign1 in CBOR, typ `application/rvi-cred+cwt` (RFC 9052, RFC 8392): less than half
//         the bytes, for links on which that counts
//
// A credential and its twin in the other form have one issuer and one jti, so that one entry of a
// revocation list names both; their hashes differ, and each stands without the other.
//
// One with the claim `del` may be delegated: its holder's key signs another for a further node,
// with `par` (the SHA-256 of what it was derived from) and no more rights in any respect. A
// delegated credential is carried as the whole chain, the last first, in one form: JWS joined by
// `,`, COSE as a CBOR sequence (RFC 8742). Whoever has it needs nothing else, and its hash names
// all of it.
//
// On the wire and in the store the bytes are those that were signed. In JSON, in files and on the
// command line COSE is written as text: `cose:` and the bytes in base64url.

#pragma once

#include "messages/trust_bundle.hpp"
#include "runtime/crypto/jws.hpp"
#include "runtime/error.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

inline constexpr uint64_t credential_validity_days_max = 3'660;
inline constexpr size_t credential_patterns_max = 256;
/// How often in a row a credential may be delegated.
inline constexpr uint32_t delegations_max = 3;
inline constexpr size_t former_keys_max = 8;
/// Of a whole chain.
inline constexpr size_t credential_bytes_max = size_t{16} << 10;

/// What a revocation list calls a credential, or all those of one key.
using revocation_id = std::array<uint8_t, 16>;
/// SHA-256("rvi-cred-id" | iss | jti), first 16 bytes.
revocation_id credential_revocation_id(std::string_view issuer, std::string_view id);
/// SHA-256("rvi-cred-sub" | iss | sub as the claim has it, 32 hex digits), first 16 bytes.
revocation_id holder_revocation_id(std::string_view issuer, const node_uid& holder);

/// In what a credential is carried. Both say the same.
enum class credential_format : uint8_t { jws, cose };

/// "jws", "cose"
const char* to_string(credential_format x);

/// What a credential claims.
struct credential_claims {
  std::string issuer; // organization (`is_organization`)
  std::string id;     // jti; the HLD's certificate id
  uint64_t issued_s = 0;
  uint64_t not_before_s = 0;
  uint64_t expires_s = 0;
  crypto::public_key key;                        // cnf; sub is its uid
  std::vector<std::string> sources;              // patterns, normalised
  std::vector<std::string> destinations;         // patterns, normalised
  std::vector<std::string> relay;                // prefixes it may carry for
  bool administrator = false;                    // adm: may reach reserved levels
  std::optional<std::vector<std::string>> users; // usr: roles it asks for; absent: all, and nobody
  uint32_t delegations = 0; // del: how often in a row it may be delegated, at most 3
  /// former: keys its holder had before (PROV_SVC-2), at most 8; only its organization may say so.
  /// What they signed under a credential of the same issuer may come from this holder.
  std::vector<node_uid> former;
};

struct credential : credential_claims {
  credential_format format = credential_format::jws;
  std::string text;           // the bytes carried, with those it was derived from; COSE is no text
  std::string hash;           // SHA-256 of these bytes, 32 bytes
  std::string key_id;         // of the issuer's key
  std::string algorithm;      // of its signature
  revocation_id revocation{}; // how its issuer's list would name it
  revocation_id holder_revocation{};
  /// What it was delegated from; null: its issuer's provisioning key signed it.
  std::shared_ptr<const credential> parent;

  /// Itself and those it was derived from.
  size_t chain_length() const { return parent ? 1 + parent->chain_length() : 1; }
  bool covers_source(std::string_view name) const;
  /// adm counts in the issuer's own organization only, whatever another has delegated to it.
  bool administers(std::string_view name) const;
  bool covers_destination(std::string_view name) const;
  /// True if its holder may carry requests for this name.
  bool covers_relay(std::string_view name) const;
  /// True if it may ask on behalf of who has this role; empty: nobody, or a user without a role.
  bool covers_user(std::string_view role) const;
};

using credential_ptr = std::shared_ptr<const credential>;

/// What a provisioning key may sign.
enum class key_use { credentials, lists };

/// The provisioning keys a node trusts, by organization. Bundles are never pooled: `iss` selects
/// one.
class trust_anchors {
public:
  /// Reads `{"organization":…,"keys":[JWK…]}` as `rvi credential root` writes it, or trust bundles,
  /// one a line: the first is pinned, the others follow it. An organization is pinned in one of the
  /// two ways: keys beside a bundle would be a second opinion. Error: `config_invalid`.
  caf::error add(std::string_view text);

  /// Goes on to the next bundle of an organization pinned by one (HLD 3.2.1). Errors: as
  /// `verify_step`, `unknown_issuer`.
  caf::error walk(const trust_bundle_ptr& next);
  /// The bundle that holds; null if the organization was not pinned by one.
  trust_bundle_ptr bundle(std::string_view organization) const;
  /// Those that came after this one, in order: what lets another node walk.
  std::vector<trust_bundle_ptr>
  bundles_after(std::string_view organization, uint64_t sequence) const;

  /// The key of this organization with this uid (hex), null if none is pinned for this.
  const crypto::public_key* find(std::string_view organization, std::string_view key_id,
                                 key_use use = key_use::credentials) const;
  bool knows(std::string_view organization) const;
  std::vector<std::string> organizations() const;

  /// HLD 3.2.1: whether credentials of this issuer may have these patterns: in its own
  /// organization, or where the bundle of theirs lets it. Error: `unknown_issuer`.
  caf::error check_scope(const credential_claims& x) const;

private:
  struct pinned {
    crypto::public_key key;
    bool credentials = true;
    bool lists = true;
  };
  caf::error add_bundles(std::string_view lines);
  void take(const trust_bundle_ptr& x);

  std::map<std::string, std::map<std::string, pinned, std::less<>>, std::less<>> keys_;
  std::map<std::string, std::vector<trust_bundle_ptr>, std::less<>> bundles_; // from the pinned on
};

/// The text `trust_anchors::add` reads.
std::string trust_anchor_json(std::string_view organization, const crypto::public_key& key);

/// Signs a credential. The claims are checked like those of others. The same claims in the other
/// form make its twin. `others`: organizations that may have delegated to the issuer. Error:
/// `bad_request`.
expected<credential_ptr> issue_credential(credential_claims claims, const crypto::private_key& key,
                                          credential_format format = credential_format::jws,
                                          const trust_anchors& others = {});

/// Signs one derived from `parent` with its holder's key; issuer and form are the same. Error:
/// `bad_request` if it would have more rights than `parent`, or may not be derived at all.
expected<credential_ptr> delegate_credential(credential_claims claims, const credential_ptr& parent,
                                             const crypto::private_key& holder);

/// Takes a credential in either form apart and checks its shape, and that each credential of a
/// chain narrows the one it was derived from: in sources, destinations, relay, usr, time and `del`;
/// never with `adm`. No signature yet. Error: `credential_invalid`.
///
/// Not accepted are credentials as rvi_core has them: signed with RS256, without typ and `ver`, and
/// with the key inside a certificate (`device_cert`). Its names and the HLD's for claims are.
expected<credential_ptr> parse_credential(std::string_view text);

/// The text that stands for a credential in JSON, in files and on the command line: a JWS as it is,
/// COSE as `cose:` and its bytes in base64url.
std::string written_form(const credential& x);

/// `parse_credential` of what `written_form` gives; COSE as it is on the wire is refused here.
/// Error: `credential_invalid`.
expected<credential_ptr> parse_written_credential(std::string_view text);

/// Checks the issuer's signature and that every pattern lies in the issuer's own organization, or
/// where its owner lets the issuer (`check_scope`); of a chain, all signatures, from the
/// organization's on.
/// Errors: `unknown_issuer`, `credential_invalid`.
caf::error verify_credential(const credential& x, const trust_anchors& anchors);

/// Errors: `credential_not_yet_valid`, `credential_expired`; the text says by how much.
caf::error check_validity(const credential& x, uint64_t now_ms);

/// Both of the above after parsing, cheap refusals first.
expected<credential_ptr>
accept_credential(std::string_view text, const trust_anchors& anchors, uint64_t now_ms);

} // namespace rvi
