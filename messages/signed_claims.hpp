// SPDX-License-Identifier: MPL-2.0
//
// What the readers of signed texts (credentials, grants, trust bundles) share. Only their sources
// use it.

#pragma once

#include "runtime/crypto/crypto.hpp"
#include "runtime/json/json.hpp"

#include <cstdint>
#include <string>

namespace rvi {

/// The key that a JWK says. Errors: as `public_key::from_jwk`.
inline expected<crypto::public_key> key_of_jwk(json::value jwk) {
  auto text = [jwk](const char* name) { return jwk[name].as_string().value_or(""); };
  return crypto::public_key::from_jwk(text("kty"), text("crv"), text("x"), text("y"));
}

/// Whether `what` counts now, from `not_before_s` until before `expires_s`. Errors:
/// `credential_not_yet_valid`, `credential_expired`; the text says by how much.
inline caf::error
check_times(const std::string& what, uint64_t not_before_s, uint64_t expires_s, uint64_t now_ms) {
  auto now_s = now_ms / 1'000;
  if (now_s < not_before_s)
    return caf::make_error(ec::credential_not_yet_valid,
                           what + " is valid in " + std::to_string(not_before_s - now_s) + " s");
  if (now_s >= expires_s)
    return caf::make_error(ec::credential_expired,
                           what + " ended " + std::to_string(now_s - expires_s) + " s ago");
  return {};
}

} // namespace rvi
