// SPDX-License-Identifier: MPL-2.0
//
// A socket to a node, connected within a deadline.

#pragma once

#include "runtime/error.hpp"
#include "tools/descriptor.hpp"
#include "tools/node_endpoint.hpp"

#include <cstdint>

namespace rvi {

/// A connected socket that does not block. Errors: `unreachable` (nobody listens), `bad_request` (a
/// path that is too long), `io_failed`.
expected<descriptor> connect_socket(const node_endpoint& to, uint64_t timeout_ms);

} // namespace rvi
