// SPDX-License-Identifier: MPL-2.0
//
// The scenarios that come with the program, each with many seeds: every promise holds, and the same
// seed gives the same run in another process. SEEDS=N runs N seeds of each scenario instead.

#include "tools/simulation/minimise.hpp"
#include "tools/simulation/seeds.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace rvi;
using namespace rvi::simulation;

namespace {

/// Holds a scenario to its promises with `seeds` seeds, shortened to `minutes`.
seeds_result run(const std::string& name, uint64_t seeds, uint64_t nodes, uint64_t minutes) {
  auto plan = built_in_scenario(name);
  REQUIRE(plan);
  plan->nodes = nodes;
  plan->duration_ms = minutes * 60'000;
  plan->heal_ms = std::min(plan->heal_ms, uint64_t{20} * 60'000);
  seeds_options options;
  options.last = seeds;
  if (auto wanted = std::getenv("SEEDS"))
    options.last = std::stoull(wanted);
  options.processes = std::max(1U, std::thread::hardware_concurrency());
  auto result = run_seeds(*plan, options);
  if (!result)
    FAIL(describe(result.error()));
  MESSAGE(to_text(*result, name));
  for (auto& x : result->failed)
    FAIL_CHECK("seed " << x.seed << " breaks " << x.first.invariant << " at " << x.first.at_ms
                       << " ms: " << x.first.what << " (" << x.first.node << " " << x.first.id
                       << "); nodes " << nodes << ", minutes " << minutes);
  CHECK(result->seeds == options.last);
  CHECK(result->repeated == options.last / 50);
  CHECK(result->dispatched > 0);
  return std::move(*result);
}

} // namespace

TEST_CASE("garage") {
  run("garage", 200, 21, 150);
}

TEST_CASE("commuter fleet") {
  run("commuter-fleet", 100, 40, 300);
}

TEST_CASE("dealer campaign") {
  run("dealer-campaign", 200, 31, 240);
}

TEST_CASE("stolen phone") {
  run("stolen-phone", 200, 25, 150);
}

TEST_CASE("clone") {
  run("clone", 200, 20, 270);
}

TEST_CASE("two organizations") {
  run("two-organisations", 300, 32, 540);
}

TEST_CASE("relay") {
  auto result = run("relay", 100, 14, 480);
  CHECK(result.relayed > result.dispatched / 10);
}

TEST_CASE("flapping links") {
  run("flapping-links", 150, 20, 8);
}

TEST_CASE("slow peers") {
  run("slow-peers", 150, 20, 25);
}

TEST_CASE("clock skew") {
  run("clock-skew", 250, 20, 200);
}

TEST_CASE("restart storm") {
  run("restart-storm", 200, 40, 50);
}

TEST_CASE("weekly meetings") {
  run("weekly", 50, 20, 20'160);
}

TEST_CASE("what broke once stays mended") {
  std::string folder = RVI_REGRESSIONS;
  size_t files = 0;
  for (auto& file : std::filesystem::directory_iterator{folder}) {
    auto plan = load_scenario(file.path().string());
    REQUIRE(plan);
    std::ifstream in{file.path()};
    std::string first;
    std::getline(in, first);
    auto at = first.find("--seed ");
    REQUIRE(at != std::string::npos);
    run_options options;
    options.seed = std::stoull(first.substr(at + 7));
    options.real_signatures = first.find("--real-signatures") != std::string::npos;
    auto result = simulate(*plan, options);
    INFO(file.path().string());
    for (auto& x : result.violations)
      FAIL_CHECK(x.invariant << ": " << x.what);
    ++files;
  }
  CHECK(files > 0);
}
