// SPDX-License-Identifier: MPL-2.0
//
// Many vehicles that come at once: thousands of peers without a router of their own in one loop,
// each with its own key, credential and address, who connect to one real cloud node, stay, lose all
// links at the same time and come again with their TLS tickets.

#pragma once

#include "runtime/error.hpp"
#include "tools/bench_nodes.hpp"

#include <cstdint>
#include <string>

namespace rvi {

struct storm_config {
  uint32_t peers = 1'000;
  uint64_t idle_ms = 10'000; // how long they stay before they come again
};

/// All come at once, and try again until they are up.
struct storm_phase {
  double duration_s = 0; // until the last is up
  uint64_t p50_ms = 0;   // from the first attempt to up
  uint64_t p99_ms = 0;
  uint64_t max_ms = 0;
  uint64_t up = 0;
  uint64_t resumed = 0;  // without a certificate, by a ticket
  uint64_t attempts = 0; // connections begun
  double node_cpu_us_per_peer = 0;
};

struct storm_result {
  storm_config config;
  storm_phase connect;
  storm_phase reconnect;
  uint64_t lost_while_idle = 0;
  double idle_cpu_percent = 0; // of one core, of the node
  uint64_t rss_bytes = 0;      // of the node, with all peers up and idle
  uint64_t rss_bytes_before = 0;

  bool sound() const {
    return connect.up == config.peers && reconnect.up == config.peers && lost_while_idle == 0;
  }
};

/// Errors: of the node, `io_failed`, `shutting_down` after a stop signal. Who is not up after five
/// minutes is given up.
expected<storm_result> run_storm(const storm_config& config);

/// One JSON object.
std::string to_json(const storm_result& x);

} // namespace rvi
