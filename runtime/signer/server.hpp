// SPDX-License-Identifier: MPL-2.0
//
// The process that alone holds a node's key: one thread, one Unix socket, one verb. It hashes
// itself, so that nobody learns what it would make of a hash, and signs only what has the form of
// its purpose (purpose.hpp).

#pragma once

#include "runtime/crypto/crypto.hpp"
#include "runtime/signer/purpose.hpp"

#include <array>
#include <cstdint>
#include <sys/types.h>

namespace rvi::signer {

struct server_options {
  crypto::private_key key;
  int listening_fd = -1; // SOCK_SEQPACKET, not blocking
  int stop_fd = -1;      // readable: stop
  uid_t peer = 0;        // the router's user; nobody else is served
  size_t connections_max = 16;
  int report_interval_s = 60; // of counts, into the log, while there is something to count
};

/// What was asked for so far.
struct server_counts {
  std::array<uint64_t, purposes.size() + 1> drawn{}; // by purpose
  uint64_t refused = 0;                              // inputs without the form of their purpose
  uint64_t failed = 0;                               // the key did not sign (a token away)
  uint64_t strangers = 0;                            // connections of other users
};

/// Serves until `stop_fd` is readable. Error: `io_failed` if the listening socket fails.
expected<server_counts> serve(const server_options& options);

} // namespace rvi::signer
