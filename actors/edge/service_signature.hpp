// SPDX-License-Identifier: MPL-2.0
//
// What a node says with its key to a local service (HLD 8.19, figure 32: service_signature): the
// claims of a compact JWS that any JOSE library verifies against `service_edge_key`. Texts only;
// the signature is drawn elsewhere.

#pragma once

#include "messages/service_api.hpp"
#include "runtime/crypto/crypto.hpp"

#include <string>

namespace rvi {

/// Header `typ`: for nothing else does a node sign under it, and nothing else is taken under it.
inline constexpr const char* service_signature_type = "rvi-service+jwt";

/// The request, as it is handed to this service:
///   iss (node address), aud (the service), iat, exp (Unix seconds), method "invoke",
///   transaction_id, target, timeout (ms), source (the requesting service), node (uid of the node
///   it was made at, hex), arguments_sha256 (hex, over the bytes of `arguments` as written), and
///   role and user if it is made for one.
std::string invocation_claims(const envelope& x, const std::string& node_address,
                              const std::string& service, uint64_t now_ms);

/// The outcome, as it is handed to the requesting service: iss, aud, iat, method "reply",
/// transaction_id, target, status, dispatched if the service is told, and arguments_sha256 and
/// error_sha256 over what there is of both as written. The notice's error must be JSON.
std::string
outcome_claims(const outcome_notice& x, const std::string& node_address, uint64_t now_ms);

/// What the signature is over; a dot and the signature in base64url make it whole.
std::string service_signing_input(const crypto::public_key& key, const std::string& claims);

} // namespace rvi
