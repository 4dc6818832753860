// SPDX-License-Identifier: MPL-2.0
//
// Requests and outcomes for services that registered an HTTP address: one POST each, in order, over
// one connection per address. Where such an address may point is limited, because whoever registers
// one makes the node call it.

#pragma once

#include "actors/sockets/sockets.hpp"
#include "messages/actors.hpp"

#include <caf/actor_system.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rvi {

struct service_callback_config {
  std::vector<std::string> hosts;  // besides loopback IP literals: names or addresses
  std::vector<uint16_t> own_ports; // never called
  size_t addresses_max = 256;      // at a time
  size_t queue_max = 256;          // requests waiting for one address
  size_t reply_bytes_max = size_t{64} << 10;
  uint64_t reply_timeout_ms = 5'000; // connecting and the service's answer, each
  uint64_t wait_ms_max = 30'000;     // in the queue
  uint64_t reuse_ms_max = 2'000;     // an idle connection is not trusted for longer
  uint64_t tick_ms = 100;
  service_edge_actor edge; // gets the receipts
};

/// A callback address, taken apart.
struct callback_target {
  std::string host; // without brackets
  uint16_t port = 80;
  std::string path;              // with the query
  std::string authority() const; // for the Host header
};

/// Reads `http://host[:port][/path]` and checks that the node may call it: a loopback IP literal or
/// a listed host, and none of our own ports. Errors: `bad_request`, `unauthorized`. The service
/// edge asks this at registration, the callback actor again at each call.
expected<callback_target>
check_callback_address(const std::string& address, const std::vector<std::string>& hosts,
                       const std::vector<uint16_t>& own_ports);

/// Takes what json_rpc passes on: hand-overs with client 0. Ends with `connector`'s owner: link to
/// it.
json_rpc_actor start_service_callback(caf::actor_system& system, service_callback_config config);

} // namespace rvi
