// SPDX-License-Identifier: MPL-2.0
//
// Credentials (HLD 7.2, there "certificates"): JWS compact, typ `rvi-cred+jwt`, signed by an
// organization's provisioning key. They say what a node may receive (sources) and reach
// (destinations), and which key it must hold (cnf).

#pragma once

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

/// What a revocation list calls a credential, or all those of one key.
using revocation_id = std::array<uint8_t, 16>;
/// SHA-256("rvi-cred-id" | iss | jti), first 16 bytes.
revocation_id credential_revocation_id(std::string_view issuer, std::string_view id);
/// SHA-256("rvi-cred-sub" | iss | sub as the claim has it, 32 hex digits), first 16 bytes.
revocation_id holder_revocation_id(std::string_view issuer, const node_uid& holder);

/// What a credential claims.
struct credential_claims {
  std::string issuer; // organization
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
};

struct credential : credential_claims {
  std::string text;           // JWS compact
  std::string hash;           // SHA-256 of text, 32 bytes
  std::string key_id;         // of the issuer's key
  std::string algorithm;      // of its signature
  revocation_id revocation{}; // how its issuer's list would name it
  revocation_id holder_revocation{};

  bool covers_source(std::string_view name) const;
  bool covers_destination(std::string_view name) const;
  /// True if its holder may carry requests for this name.
  bool covers_relay(std::string_view name) const;
  /// True if it may ask on behalf of who has this role; empty: nobody, or a user without a role.
  bool covers_user(std::string_view role) const;
};

using credential_ptr = std::shared_ptr<const credential>;

/// The provisioning keys a node trusts, by organization. Bundles are never pooled: `iss` selects
/// one.
class trust_anchors {
public:
  /// Reads `{"organization":…,"keys":[JWK…]}` as `rvi credential root` writes it.
  /// Error: `config_invalid`.
  caf::error add(std::string_view json);

  /// The key of this organization with this uid (hex), null if none is pinned.
  const crypto::public_key* find(std::string_view organization, std::string_view key_id) const;
  bool knows(std::string_view organization) const;
  std::vector<std::string> organizations() const;

private:
  std::map<std::string, std::map<std::string, crypto::public_key, std::less<>>, std::less<>> keys_;
};

/// The text `trust_anchors::add` reads.
std::string trust_anchor_json(std::string_view organization, const crypto::public_key& key);

/// Signs a credential. The claims are checked like those of others. Error: `bad_request`.
expected<credential_ptr> issue_credential(credential_claims claims, const crypto::private_key& key);

/// Takes the text apart and checks its shape; no signature yet. Error: `credential_invalid`.
expected<credential_ptr> parse_credential(std::string_view text);

/// Checks the issuer's signature and that every pattern lies in the issuer's own organization.
/// Errors: `unknown_issuer`, `credential_invalid`.
caf::error verify_credential(const credential& x, const trust_anchors& anchors);

/// Errors: `credential_not_yet_valid`, `credential_expired`; the text says by how much.
caf::error check_validity(const credential& x, uint64_t now_ms);

/// Both of the above after parsing.
expected<credential_ptr>
accept_credential(std::string_view text, const trust_anchors& anchors, uint64_t now_ms);

} // namespace rvi
