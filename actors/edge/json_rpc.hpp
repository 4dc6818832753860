// SPDX-License-Identifier: MPL-2.0
//
// The server that services connect to (HLD chapter 7, 8.1, 8.19, 8.20): JSON-RPC 2.0 over WebSocket
// and HTTP POST, and frames (rvi.proto, part 2, ServiceFrame), on a TCP port and on a Unix socket.
// What a connection speaks is told by its first byte. One broker, in the middleman's thread.

#pragma once

#include "actors/edge/json_rpc_access.hpp"
#include "actors/edge/json_rpc_connection.hpp"
#include "actors/edge/service_callback.hpp"
#include "messages/actors.hpp"
#include "runtime/observe/metrics.hpp"
#include "runtime/time_source.hpp"

#include <caf/actor_system.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace rvi {

struct json_rpc_config {
  std::string address = "127.0.0.1"; // an IP literal; empty: no TCP
  uint16_t port = 8801;              // 0: any free one
  std::string unix_socket;           // empty: none
  access_rules access;               // its port is filled in
  service_connection_config connection;
  service_callback_config callback;            // its edge and our own port are filled in
  size_t connections_max = 10'000;             // more are closed at once
  size_t report_bytes_max = size_t{256} << 10; // unread by a service: it gets no more changes
  size_t output_bytes_max = size_t{32} << 20;  // waiting for one slow consumer, then it is closed
  uint64_t handshake_timeout_ms = 10'000;      // to the first whole request
  uint64_t idle_timeout_ms = 60'000;  // HTTP: between requests; a request must be whole by then
  uint64_t ping_interval_ms = 15'000; // WebSocket: silence before a ping
  uint64_t pong_timeout_ms = 45'000;  // WebSocket: silence before the end
  uint64_t linger_ms = 5'000;         // an orderly close waits so long for the peer
  uint64_t tick_ms = 1'000;           // deadlines this close to each other share a wake-up
  time_source_ptr time = system_time();
  std::shared_ptr<metrics::registry> metrics; // null: one of its own
  service_edge_actor edge;
};

/// Raises the bounds of texts and output to what arguments of this size need.
void allow_requests_of(json_rpc_config& config, uint64_t request_bytes_max);

struct json_rpc_server {
  json_rpc_actor actor; // link to it, or send it an exit
  uint16_t port = 0;    // of TCP; 0 without
};

/// Listens, then serves. Everything is bound when this returns. Error: `io_failed`.
///
/// The edge gets `(atom::closed, client)` for every WebSocket and every connection in frames that
/// ends, and for an HTTP request whose connection ended before its calls were answered; for others
/// it gets none. What was handed to a client and not answered is reported lost before that.
expected<json_rpc_server> start_json_rpc(caf::actor_system& system, json_rpc_config config);

} // namespace rvi
