// SPDX-License-Identifier: MPL-2.0
//
// Grants between two nodes (HLD 9.6): one node lets another reach services of its own, without a
// provisioning server. JWS compact, typ `rvi-grant+jwt`, signed by the granting node's key; claims:
//
//   {"ver":1, "iss": the granting node's address, "aud": its uid, "sub": the granted node's uid,
//    "jti":…, "iat":s, "nbf":s, "exp":s, "key":{"jwk": of the granting node}, "destinations":[…]}
//
// It gives destinations only, below the granting node's address and never reserved ones; who the
// granted node is, and may speak as, its own credential says. A request names the grant it rests on
// (RequestHeader.grant_hash). The granting node honours what is in its own store alone: nobody else
// does, so no relay carries such a request, and taking a grant back needs no list.

#pragma once

#include "runtime/crypto/crypto.hpp"
#include "runtime/error.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

inline constexpr size_t grant_patterns_max = 64;
inline constexpr uint64_t grant_validity_days_max = 366;

struct grant_claims {
  std::string granter_address; // normalised
  crypto::public_key granter;
  node_uid holder{}; // the granted node
  std::string id;    // 1 to 128 bytes
  uint64_t issued_s = 0;
  uint64_t not_before_s = 0;
  uint64_t expires_s = 0;
  std::vector<std::string> destinations; // patterns, normalised
};

struct grant : grant_claims {
  std::string text; // JWS compact
  std::string hash; // SHA-256 of text, 32 bytes

  bool covers_destination(std::string_view name) const;
};

using grant_ptr = std::shared_ptr<const grant>;

/// What a node has granted, by hash, and what it was granted, the newest first.
struct grant_book {
  std::map<std::string, grant_ptr> given;
  std::vector<grant_ptr> held;
};

/// What the granting node signs; with the signature behind it, after a dot and in base64url, it is
/// a grant. The claims are checked like those of others. Error: `bad_request`.
expected<std::string> grant_signing_input(grant_claims claims);
std::string signed_grant(std::string_view signing_input, std::string_view signature);

/// Takes the text apart and checks its shape, what it may grant at all, and the signature.
/// Error: `credential_invalid`.
expected<grant_ptr> parse_grant(std::string_view text);

/// Errors: `credential_not_yet_valid`, `credential_expired`.
caf::error check_validity(const grant& x, uint64_t now_ms);

} // namespace rvi
