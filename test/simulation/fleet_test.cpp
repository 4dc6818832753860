// SPDX-License-Identifier: MPL-2.0
//
// Ten thousand nodes for a hundred hours in one process: a million node-hours.

#include "tools/simulation/fleet.hpp"

#include <doctest/doctest.h>

using namespace rvi::simulation;

TEST_CASE("a fleet of 10,000 cars for 100 hours") {
  auto plan = built_in_scenario("commuter-fleet");
  REQUIRE(plan);
  plan->nodes = 10'000;
  plan->duration_ms = 100 * 3'600'000ULL;
  run_options options;
  options.seed = 1;
  auto result = simulate(*plan, options);
  auto rate = static_cast<double>(result.total.actor_messages) * 1'000
              / static_cast<double>(std::max<uint64_t>(result.cpu_ms, 1));
  MESSAGE(result.total.node_hours << " node-hours, " << result.total.accepted << " requests, "
                                  << result.total.links << " links, " << result.total.actor_messages
                                  << " actor messages, " << rate << " a CPU second, "
                                  << (result.rss_bytes_max >> 20) << " MB");
  for (auto& x : result.violations)
    FAIL_CHECK(x.invariant << " " << x.node << " " << x.id << ": " << x.what);
  CHECK(result.total.node_hours >= 1'000'000);
  CHECK(result.rss_bytes_max < 1'500'000'000);
}
