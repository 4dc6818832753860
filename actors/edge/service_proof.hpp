// SPDX-License-Identifier: MPL-2.0
//
// HLD 12.1: what a service signs of a request with a key of its own, so that nobody else who has
// its connection, token or user may ask in its name. Texts only: the node checks, the service
// signs.

#pragma once

#include "messages/service_api.hpp"
#include "runtime/crypto/crypto.hpp"

#include <string>

namespace rvi {

/// Header `typ` of the compact JWS in `service_signature` of an invoke.
inline constexpr const char* service_proof_type = "rvi-request+jwt";

/// The claims, all of them and no other: iss (the service, its full name), aud (node address),
/// method "invoke", service_transaction_id, target (as in the call), timeout (Unix milliseconds, as
/// in the call), arguments_sha256 (hex, of the bytes of `arguments` as they stand in the call), and
/// of an on_behalf_of user, role, authenticated (Unix milliseconds) and authentication (its
/// method), those that it has.
std::string service_proof_claims(const invoke_call& x, const std::string& service,
                                 const std::string& node_address);

/// Whether the call is signed by this key. Errors: `signature_invalid`; `bad_request` if it lacks
/// what the signature must name.
caf::error check_service_proof(const invoke_call& x, const std::string& service,
                               const std::string& node_address, const crypto::public_key& key);

} // namespace rvi
