// SPDX-License-Identifier: MPL-2.0
//
// `rvi simulate` (it starts this program, `rvi-simulate`): a fleet in one process, on virtual time.

#include "tools/simulation/minimise.hpp"
#include "tools/simulation/seeds.hpp"
#include "tools/simulation/sequence.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace rvi::simulation {

namespace {

constexpr size_t sequence_lines_shown = 60;

struct command_line {
  std::string scenario;
  uint64_t seed = 1;
  std::string seeds;
  uint64_t nodes = 0;
  uint64_t hours = 0;
  std::string format = "text";
  std::string report;
  std::string regressions;
  uint64_t processes = 1;
  bool list = false;
  bool real_signatures = false;
  bool no_faults = false;
  bool no_minimise = false;
  std::string sequence;
};

int fail(const caf::error& err) {
  std::fprintf(stderr, "rvi simulate: %s\n", describe(err).c_str());
  return 1;
}

expected<scenario> find_scenario(const command_line& line) {
  bool is_file = line.scenario.ends_with(".toml") || std::filesystem::exists(line.scenario);
  auto found = is_file ? load_scenario(line.scenario) : built_in_scenario(line.scenario);
  if (!found)
    return found;
  if (line.nodes != 0)
    found->nodes = line.nodes;
  if (line.hours != 0)
    found->duration_ms = line.hours * 3'600'000;
  if (line.no_faults)
    found->faults = {};
  return found;
}

void print(const run_result& x) {
  auto& t = x.total;
  std::printf("%s, seed %lu: %s\n", x.scenario.c_str(), x.seed, x.title.c_str());
  std::printf("  %lu nodes, %s, %.0f node-hours; %s signatures\n", t.nodes,
              time_text(x.simulated_ms).c_str(), t.node_hours,
              x.real_signatures ? "real" : "simulated");
  std::printf("  requests: %lu made, %lu accepted, %lu dispatched (%lu judged by the reference "
              "verifier), %lu replies\n",
              t.submitted, t.accepted, t.dispatched, t.verified, t.replies);
  if (t.relayed != 0)
    std::printf("  relays brought %lu of these\n", t.relayed);
  std::printf("  outcomes:");
  for (auto& [status, count] : t.outcomes)
    std::printf(" %s %lu", status.c_str(), count);
  std::printf("\n  links: %lu; faults:", t.links);
  for (auto& [name, count] : t.faults)
    std::printf(" %s %lu,", name.c_str(), count);
  std::printf(
    "\n  %lu actor messages in %.2f CPU s (%.0f a CPU second), at most %lu MB of memory\n",
    t.actor_messages, static_cast<double>(x.cpu_ms) / 1'000,
    static_cast<double>(t.actor_messages) * 1'000
      / static_cast<double>(std::max<uint64_t>(x.cpu_ms, 1)),
    x.rss_bytes_max >> 20);
  std::printf("  trace %s\n", x.trace_hash.c_str());
  for (auto& v : x.violations)
    std::printf("  BROKEN %s at %s %s %s: %s\n", v.invariant.c_str(), time_text(v.at_ms).c_str(),
                v.node.c_str(), v.id.c_str(), v.what.c_str());
  if (x.sound())
    std::printf("  sound\n");
}

std::string replay_line(const command_line& line, uint64_t seed, bool real) {
  std::string result = "rvi simulate " + line.scenario + " --seed " + std::to_string(seed);
  if (line.nodes != 0)
    result += " --nodes " + std::to_string(line.nodes);
  if (line.hours != 0)
    result += " --hours " + std::to_string(line.hours);
  return result + (real ? " --real-signatures" : "");
}

/// Makes the failure small, shows it, keeps it as a file.
void explain(const command_line& line, const scenario& plan, const run_options& options,
             const std::string& invariant) {
  std::printf("replay: %s\n", replay_line(line, options.seed, options.real_signatures).c_str());
  if (line.no_minimise)
    return;
  auto small = minimise(plan, options, invariant);
  std::printf("\nminimised in %zu runs:\n\n", small.runs);
  auto text = to_toml(small.plan);
  auto header = "# " + invariant + " broke with: --seed " + std::to_string(options.seed)
                + (options.real_signatures ? " --real-signatures" : "") + "\n";
  if (!line.regressions.empty()) {
    std::filesystem::create_directories(line.regressions);
    auto path = line.regressions + "/" + plan.name + "-" + std::to_string(options.seed) + ".toml";
    std::ofstream{path} << header << text;
    std::printf("kept as %s\n", path.c_str());
  } else {
    std::printf("%s%s\n", header.c_str(), text.c_str());
  }
  auto& lines = small.result.sequence;
  auto from = lines.size() > sequence_lines_shown ? lines.size() - sequence_lines_shown : 0;
  std::printf("what happened%s:\n", from > 0 ? " (the last lines)" : "");
  for (auto i = from; i < lines.size(); ++i)
    std::printf("  %s\n", lines[i].c_str());
  for (auto& v : small.result.violations)
    std::printf("  %s  BROKEN %s %s: %s\n", time_text(v.at_ms).c_str(), v.invariant.c_str(),
                v.node.c_str(), v.what.c_str());
}

int run_many(const command_line& line, const scenario& plan) {
  seeds_options x;
  auto dots = line.seeds.find("..");
  x.first = std::stoull(line.seeds);
  x.last = dots == std::string::npos ? x.first : std::stoull(line.seeds.substr(dots + 2));
  x.processes = line.processes;
  auto result = run_seeds(plan, x);
  if (!result)
    return fail(result.error());
  if (line.format == "json")
    std::printf("%s\n", to_json(*result, plan.name).c_str());
  else
    std::printf("%s", to_text(*result, plan.name).c_str());
  if (result->sound())
    return 0;
  for (auto& f : result->failed)
    std::printf("seed %lu: %s at %s %s %s: %s\n", f.seed, f.first.invariant.c_str(),
                time_text(f.first.at_ms).c_str(), f.first.node.c_str(), f.first.id.c_str(),
                f.first.what.c_str());
  auto& first = result->failed.front();
  run_options options;
  options.seed = first.seed;
  options.real_signatures = first.real_signatures;
  explain(line, plan, options, first.first.invariant);
  return 1;
}

int run_one(const command_line& line, const scenario& plan) {
  run_options options;
  options.seed = line.seed;
  options.real_signatures = line.real_signatures;
  options.sequence = !line.sequence.empty();
  options.sequence_of = line.sequence == "all" ? std::string{} : line.sequence;
  auto result = simulate(plan, options);
  if (line.format == "json")
    std::printf("%s\n", to_json(result).c_str());
  else
    print(result);
  for (auto& x : result.sequence)
    std::printf("  %s\n", x.c_str());
  if (!line.report.empty()) {
    std::ofstream out{line.report};
    out << to_html(result);
    out.close();
    if (!out)
      return fail(caf::make_error(ec::io_failed, "cannot write " + line.report));
  }
  if (result.sound())
    return 0;
  if (line.sequence.empty() && line.format != "json")
    explain(line, plan, options, result.violations.front().invariant);
  return 1;
}

int run(int argc, char** argv) {
  command_line line;
  CLI::App app{
    "Run a fleet of nodes in one process on virtual time, with faults drawn from a seed, "
    "and check every promise"};
  app.name("rvi simulate");
  app.add_option("SCENARIO", line.scenario, "a name (see --list) or a .toml file");
  app.add_flag("--list", line.list, "the scenarios that come with the program");
  app.add_option("--seed", line.seed, "one run")->capture_default_str();
  app.add_option("--seeds", line.seeds, "many runs: A..B")
    ->check(CLI::Validator(
      [](std::string& x) {
        auto ok = !x.empty() && x.find_first_not_of("0123456789.") == std::string::npos
                  && std::isdigit(static_cast<unsigned char>(x.front())) != 0
                  && std::isdigit(static_cast<unsigned char>(x.back())) != 0;
        return ok ? std::string{} : std::string{"seeds are A..B"};
      },
      "A..B"));
  app.add_option("--nodes", line.nodes, "how many nodes, instead of the scenario's")
    ->check(CLI::Range(2, 100'000));
  app.add_option("--hours", line.hours, "how long, instead of the scenario's time")
    ->check(CLI::Range(1, 100'000));
  app.add_option("--jobs", line.processes, "processes for --seeds")
    ->check(CLI::Range(1, 256))
    ->capture_default_str();
  app.add_option("--format", line.format, "text or json")
    ->check(CLI::IsMember({"text", "json"}))
    ->capture_default_str();
  app.add_option("--report", line.report, "also write a page with the picture of the run (HTML)");
  app.add_option("--regressions", line.regressions, "where to keep a minimised failure");
  app.add_option("--sequence", line.sequence,
                 "print what happened to this transaction id, or `all`");
  app.add_flag("--real-signatures", line.real_signatures, "compute Ed25519 in full");
  app.add_flag("--no-faults", line.no_faults, "nothing goes wrong but what the scenario plans");
  app.add_flag("--no-minimise", line.no_minimise, "do not look for a smaller failure");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& x) {
    return app.exit(x) == 0 ? 0 : 2;
  }
  if (line.list) {
    for (auto& name : built_in_scenarios())
      std::printf("%-18s %s\n", name.c_str(), built_in_scenario(name)->title.c_str());
    return 0;
  }
  if (line.scenario.empty()) {
    std::fprintf(stderr, "rvi simulate: which scenario? see: rvi simulate --list\n");
    return 2;
  }
  auto plan = find_scenario(line);
  if (!plan)
    return fail(plan.error());
  return line.seeds.empty() ? run_one(line, *plan) : run_many(line, *plan);
}

} // namespace

} // namespace rvi::simulation

int main(int argc, char** argv) {
  return rvi::simulation::run(argc, argv);
}
