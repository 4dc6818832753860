// SPDX-License-Identifier: MPL-2.0
//
// `rvi bench`: how fast two nodes of this machine carry requests, and whether all arrive once.

#include "tools/bench.hpp"
#include "tools/bench_storm.hpp"
#include "tools/bench_table.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/stop_signal.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace rvi {

namespace {

constexpr size_t size_min = 32;
constexpr size_t size_max = 512 << 10;
constexpr const char* storm_scenario = "connect-storm";
constexpr int vehicles_max = 64;
constexpr int peers_max = 60'000;
constexpr uint32_t outstanding_max = 4'000; // a node takes 4096 open calls of a connection

struct bench_options {
  bench_config config;
  storm_config storm;
  std::string scenario;
  bool json = false;
  uint64_t seconds = 10;
  output_format format;
};

std::vector<std::string> scenario_names() {
  std::vector<std::string> result;
  for (auto x : bench_scenarios)
    result.emplace_back(to_string(x));
  result.emplace_back(storm_scenario);
  return result;
}

template <class Result>
void print_result(const bench_options& options, const Result& x) {
  if (options.format.json())
    print_line(to_json(x));
  else
    print_table(x);
}

int run_storm_command(const bench_options& options) {
  auto config = options.storm;
  config.idle_ms = options.seconds * 1'000;
  auto result = run_storm(config);
  if (!result)
    return fail("bench", result.error());
  print_result(options, *result);
  if (result->sound())
    return exit_done;
  return fail("bench", caf::make_error(ec::internal, std::string{"peers were not linked, or lost "
                                                                 "their links"}));
}

int run_bench_command(const bench_options& options) {
  catch_stop_signals();
  if (options.scenario == storm_scenario)
    return run_storm_command(options);
  auto config = options.config;
  for (auto x : bench_scenarios)
    if (options.scenario == to_string(x))
      config.scenario = x;
  if (config.scenario == bench_scenario::queue_drain)
    config.outstanding = std::max(config.outstanding, uint32_t{256});
  if (config.scenario != bench_scenario::fan_out && config.scenario != bench_scenario::fan_in)
    config.vehicles = 1;
  config.duration_ms = options.seconds * 1'000;
  config.api = options.json ? bench_api::json : bench_api::frames;
  auto result = run_bench(config);
  if (!result)
    return fail("bench", result.error());
  print_result(options, *result);
  if (result->sound())
    return exit_done;
  return fail("bench", caf::make_error(ec::internal, std::string{"requests were lost, doubled or "
                                                                 "failed: see the counts"}));
}

} // namespace

void add_bench_command(CLI::App& app, command& chosen) {
  auto x = std::make_shared<bench_options>();
  auto sub = app.add_subcommand("bench", "Measure linked nodes on this machine: rate, latency, "
                                         "CPU, memory, syncs, and whether all arrive once");
  sub
    ->add_option(
      "SCENARIO", x->scenario,
      "rpc: call and reply; message: one way; metric: values, from published to seen by a "
      "subscriber; fan-out: messages from the cloud to vehicles; fan-in: from vehicles to the "
      "cloud; queue-drain: messages that waited for the other; connect-storm: many peers that come "
      "at once, stay, and come again")
    ->check(CLI::IsMember(scenario_names()))
    ->required();
  sub->add_option("--outstanding", x->config.outstanding, "requests under way at a time")
    ->check(CLI::Range(uint32_t{1}, outstanding_max))
    ->capture_default_str();
  sub->add_option("--size", x->config.size, "bytes of a request's arguments")
    ->check(CLI::Range(size_min, size_max))
    ->capture_default_str();
  sub->add_option("--seconds", x->seconds, "how long to measure, after 1 s of warm-up")
    ->check(CLI::Range(1, 86'400))
    ->capture_default_str();
  sub->add_option("--requests", x->config.requests, "queue-drain: how many wait")
    ->check(CLI::Range(1, 1'000'000))
    ->capture_default_str();
  sub->add_option("--peers", x->storm.peers, "connect-storm: how many")
    ->check(CLI::Range(1, peers_max))
    ->capture_default_str();
  sub->add_option("--durability", x->config.durability, "full: on disk at both; none: in memory")
    ->check(CLI::IsMember({"full", "none"}))
    ->capture_default_str();
  sub->add_flag("--json-rpc", x->json, "services speak JSON-RPC over a WebSocket, not frames");
  sub
    ->add_option("--vehicles", x->config.vehicles,
                 "fan-out, fan-in: how many nodes beside the cloud")
    ->check(CLI::Range(1, vehicles_max))
    ->capture_default_str();
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_bench_command(*x); }; });
}

} // namespace rvi
