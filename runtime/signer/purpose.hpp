// SPDX-License-Identifier: MPL-2.0
//
// What a node's key is for. Each purpose has inputs of a form of its own, told apart by their first
// bytes, so that a signature drawn for one can never be shown as another. A signer signs nothing
// else: whoever takes over the router can use the key for these, and only while he is there.

#pragma once

#include "runtime/crypto/crypto.hpp"

#include <array>
#include <cstdint>
#include <string_view>

namespace rvi::signer {

/// Numbers are those of the wire (client.hpp, server.hpp); they are never given again.
enum class purpose : uint8_t {
  batch_root = 1,   // RVI-B1 (batch_signature.hpp)
  authorize = 2,    // HLD 7.6, naming this key as its own
  announcement = 3, // of a service; names this node's uid
  tls_server = 4,   // RFC 8446 4.4.3, over a SHA-256 or SHA-384 transcript
  tls_client = 5,
  certificate = 6, // RFC 5280 TBSCertificate: of this key, issued by its own subject
  grant = 7,       // HLD 9.6: JWS with typ rvi-grant+jwt and this key's id
  service = 8,     // HLD 8.19: what a local service is handed; typ rvi-service+jwt
};

inline constexpr std::array purposes{
  purpose::batch_root, purpose::authorize,   purpose::announcement, purpose::tls_server,
  purpose::tls_client, purpose::certificate, purpose::grant,        purpose::service,
};

/// Larger than any of them.
inline constexpr size_t input_bytes_max = 20 * 1'024;

const char* to_string(purpose x);

/// What the key `own` would sign this for. Error: `bad_request`, saying what does not fit.
expected<purpose> purpose_of(std::string_view input, const crypto::public_key& own);

} // namespace rvi::signer
