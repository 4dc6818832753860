// SPDX-License-Identifier: MPL-2.0
//
// The node's key in a process of its own (`rvi signer`): how a router uses it.

#pragma once

#include "runtime/crypto/crypto.hpp"

#include <string>

namespace rvi::signer {

/// How long one signature may take, waiting for others' included.
inline constexpr int patience_ms = 2'000;

/// The key of the signer that listens on this Unix socket; asks it for the public part. Once that
/// is known the signer may go and come back: meanwhile signatures fail with `busy`, and a new
/// connection is tried at most every 50 ms, later every 2 s. A signer that comes back with another
/// key is refused (`unauthenticated`). What has none of the forms a node signs (purpose.hpp) is not
/// even sent (`bad_request`). Errors: `busy` if it does not answer, `malformed` if it is no signer,
/// `unauthenticated` if it serves another user.
expected<crypto::private_key> connect(const std::string& socket_path);

} // namespace rvi::signer
