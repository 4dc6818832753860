// SPDX-License-Identifier: MPL-2.0
//
// Signed texts (RFC 7515) and keys (RFC 7517, 8037) for the reference verifier. The documents give
// credentials, revocation lists and trust bundles the same strict subset: alg EdDSA or ES256, a
// kid, a typ of their own, nothing in the header that names another key.

#pragma once

#include "tools/simulation/reference_json.hpp"

#include <optional>
#include <string>

namespace rvi::simulation::reference {

/// A public key as a JWK gives it.
struct key {
  std::string spki;  // canonical DER
  std::string uid;   // first 16 bytes of its SHA-256 (decisions 2)
  int algorithm = 0; // SignatureAlgorithm: 1 Ed25519, 2 ES256

  const char* jose_name() const { return algorithm == 1 ? "EdDSA" : "ES256"; }
};

/// RFC 8037 2, RFC 7518 6.2: the key as the one SPKI it has. Nothing if it is no key of these two
/// kinds, or no point that the strict rules accept (B1 3.2).
std::optional<key> key_of(const json* jwk);

/// Header and payload, decoded and parsed, and what the signature is over.
struct jws {
  json header;
  json claims;
  std::string signing_input;
  std::string signature;
};

/// Three parts of base64url, at most 16 KiB (security design 3.2.5), with JSON objects in the first
/// two and 64 bytes in the third.
std::optional<jws> take_apart(const std::string& text);

/// What is wrong with the header of a text of this `typ`; empty if nothing.
std::string check_jose_header(const json& x, const std::string& type);

/// An encoded point that the strict rules accept: on its curve, in its one encoding, not of small
/// order (B1 3.2).
bool is_sound_ed25519(std::string_view encoded);
bool is_sound_p256(std::string_view x, std::string_view y);

} // namespace rvi::simulation::reference
