// SPDX-License-Identifier: MPL-2.0
//
// One measurement: fresh nodes, a load, and what it cost.

#pragma once

#include "runtime/error.hpp"
#include "tools/bench_connection.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace rvi {

enum class bench_scenario {
  rpc,
  message,
  metric,
  fan_out, // messages of one service at the cloud to one at each vehicle
  fan_in,  // messages of one service at each vehicle to one at the cloud
  queue_drain,
};
inline constexpr std::array bench_scenarios = {
  bench_scenario::rpc,     bench_scenario::message, bench_scenario::metric,
  bench_scenario::fan_out, bench_scenario::fan_in,  bench_scenario::queue_drain,
};
const char* to_string(bench_scenario x);

struct bench_config {
  bench_scenario scenario = bench_scenario::rpc;
  uint32_t outstanding = 1;
  uint32_t vehicles = 4; // fan_out, fan_in
  size_t size = 256;     // bytes of the arguments
  uint64_t duration_ms = 10'000;
  uint64_t requests = 200'000; // queue_drain: how many wait
  std::string durability = "full";
  bench_api api = bench_api::frames;
};

/// What waited for an absent node, and how it left.
struct drain_result {
  uint64_t anonymous_growth_bytes = 0; // of node a while they came
  uint64_t start_us = 0;               // node a with them in its queue, until it answers
  uint64_t first_delivery_us = 0;      // after node a answers
};

struct bench_result {
  bench_config config;
  std::optional<drain_result> drain;
  double duration_s = 0;
  double messages_per_s = 0; // from end to end
  double accepted_per_s = 0;
  std::array<uint64_t, 3> latency_us{};       // p50, p99, p999; see README, "Performance"
  std::array<double, 3> cpu_us_per_message{}; // this client, node a (all vehicles), node b
  std::array<uint64_t, 2> rss_bytes{};        // node a (all vehicles), node b
  std::array<uint64_t, 2> rss_anonymous_bytes{};
  uint64_t fdatasync_count = 0;
  // Of the whole run, warm-up and drain included:
  uint64_t accepted = 0;
  uint64_t refused = 0;
  uint64_t delivered = 0;
  uint64_t failed = 0;
  uint64_t lost = 0;
  uint64_t doubled = 0;

  bool sound() const { return lost == 0 && doubled == 0 && failed == 0; }
};

/// Errors: of the nodes and connections, `shutting_down` after a stop signal. Nothing is left
/// behind.
expected<bench_result> run_bench(const bench_config& config);

/// To two decimals, which is what a measurement is worth.
double rounded(double x);

/// One JSON object.
std::string to_json(const bench_result& x);

} // namespace rvi
