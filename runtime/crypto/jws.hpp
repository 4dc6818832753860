// SPDX-License-Identifier: MPL-2.0
//
// JSON Web Signature, compact serialization (RFC 7515), with EdDSA (RFC 8037) and ES256 only. The
// algorithm comes from the key; the header must agree, it never decides (RFC 8725 3.1).

#pragma once

#include "runtime/crypto/crypto.hpp"

#include <string>
#include <string_view>

namespace rvi::crypto {

/// What is signed and by whom, of a JWS or of its sibling in CBOR (runtime/crypto/cose.hpp).
struct signed_payload {
  std::string type;          // header `typ`
  std::string key_id;        // header `kid`
  std::string algorithm;     // header `alg`, by its JOSE name
  std::string payload;       // decoded
  std::string signing_input; // of a JWS header.payload as carried, of COSE its Sig_structure
  std::string signature;     // decoded, 64 bytes
};

/// True if the signature verifies and the header's alg is the key's.
bool verify(const signed_payload& x, const public_key& key);

struct jws : signed_payload {};

/// Header members are written in the order alg, kid, typ. Errors: those of the key.
expected<std::string> sign_jws(const private_key& key, std::string_view type,
                               std::string_view key_id, std::string_view payload);

/// What a signature is over: header and payload. Whoever has the key elsewhere adds a dot and the
/// signature in base64url.
std::string jws_signing_input(algorithm key, std::string_view type, std::string_view key_id,
                              std::string_view payload);

/// Takes the text apart. Refuses: over 16 KiB, non-canonical base64url, duplicate header members,
/// any of crit/jku/x5u/jwk/x5c/b64, alg none or HS*, a missing typ or kid, more than 256 values in
/// the header or 8 levels. Verifies nothing. Error: `malformed`.
expected<jws> parse_jws(std::string_view compact);

} // namespace rvi::crypto
