// SPDX-License-Identifier: MPL-2.0
//
// The simulator itself, in short runs that also pass under sanitizers.

#include "tools/simulation/minimise.hpp"
#include "tools/simulation/seeds.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::simulation;

namespace {

scenario shortened(const std::string& name, uint64_t nodes, uint64_t minutes) {
  auto plan = built_in_scenario(name);
  REQUIRE(plan);
  plan->nodes = nodes;
  plan->duration_ms = minutes * 60'000;
  plan->heal_ms = 15 * 60'000;
  return *plan;
}

run_options with_seed(uint64_t seed, bool real = false) {
  run_options result;
  result.seed = seed;
  result.real_signatures = real;
  return result;
}

} // namespace

TEST_CASE("a run is a function of its seed") {
  auto plan = shortened("garage", 9, 60);
  auto once = simulate(plan, with_seed(7));
  auto again = simulate(plan, with_seed(7));
  auto other = simulate(plan, with_seed(8));
  CHECK(once.trace_hash == again.trace_hash);
  CHECK(once.total.actor_messages == again.total.actor_messages);
  CHECK(once.trace_hash != other.trace_hash);
  CHECK(once.sound());
}

TEST_CASE("every scenario is sound in a short run, with real signatures, too") {
  for (auto& name : built_in_scenarios())
    for (uint64_t seed : {1, 2}) {
      auto result = simulate(shortened(name, 10, 45), with_seed(seed, seed == 2));
      INFO(name << " seed " << seed);
      for (auto& x : result.violations)
        FAIL_CHECK(x.invariant << " " << x.node << " " << x.id << ": " << x.what);
      CHECK(result.total.accepted > 0);
      CHECK(result.total.verified == result.total.dispatched);
      CHECK(result.real_signatures == (seed == 2));
    }
}

TEST_CASE("scenario files are read back as written") {
  for (auto& name : built_in_scenarios()) {
    auto plan = built_in_scenario(name);
    REQUIRE(plan);
    auto text = to_toml(*plan);
    auto again = parse_scenario(text, name);
    REQUIRE_MESSAGE(again, describe(again.error()));
    CHECK(to_toml(*again) == text);
  }
}

TEST_CASE("a wrong scenario is refused with its place") {
  auto refusal = [](const char* text) {
    auto result = parse_scenario(text, "wrong.toml");
    REQUIRE_FALSE(result);
    return detail_of(result.error());
  };
  CHECK(refusal("nodes = 3\n").find("[[group]]") != std::string::npos);
  CHECK(
    refusal("nodes = 3\nspeed = 4\n[[group]]\nname=\"a\"\naddress=\"x.org/{n}\"\n").find("speed")
    != std::string::npos);
  CHECK(refusal("[[group]]\nname=\"a\"\naddress=\"x.org/{n}\"\n[[link]]\nfrom=\"a\"\nto=\"b\"\n")
          .find("names no group")
        != std::string::npos);
}

TEST_CASE("unknown scenarios are named with those there are") {
  auto result = built_in_scenario("nowhere");
  REQUIRE_FALSE(result);
  CHECK(code_of(result.error()) == ec::not_found);
  CHECK(detail_of(result.error()).find("garage") != std::string::npos);
}

TEST_CASE("seeds in several processes add up, and repeat") {
  seeds_options options;
  options.last = 6;
  options.processes = 2;
  options.repeat_every = 3;
  options.real_every = 0;
  auto result = run_seeds(shortened("restart-storm", 8, 40), options);
  REQUIRE(result);
  CHECK(result->sound());
  CHECK(result->seeds == 6);
  CHECK(result->repeated == 2);
  CHECK(result->node_hours > 6 * 8 * 0.9);
}

TEST_CASE("a broken promise is found, made small and told") {
  // Links that never come: whatever is asked for in the healing phase cannot arrive.
  auto plan = shortened("restart-storm", 12, 40);
  plan.heal_ms = 61'000; // too short for what is asked in it
  auto result = simulate(plan, with_seed(3));
  REQUIRE_FALSE(result.sound());
  auto invariant = result.violations.front().invariant;
  auto small = minimise(plan, with_seed(3), invariant, 30);
  CHECK(small.plan.nodes <= plan.nodes);
  CHECK(small.plan.faults.crash_every_ms == 0);
  CHECK_FALSE(small.result.sequence.empty());
  CHECK(small.runs > 0);
}
