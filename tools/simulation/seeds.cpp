// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/seeds.hpp"

#include "runtime/json/json.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

namespace rvi::simulation {

namespace {

/// A child process and the end of the pipe that it writes to.
struct child {
  pid_t pid = -1;
  FILE* output = nullptr;
};

/// Runs `work` in a process of its own; what it writes to the file arrives here.
template <class F>
child in_process(F work) {
  std::fflush(nullptr);
  int ends[2];
  if (::pipe(ends) != 0)
    return {};
  child result;
  result.pid = ::fork();
  if (result.pid == 0) {
    ::close(ends[0]);
    auto out = ::fdopen(ends[1], "w");
    work(out);
    std::fclose(out);
    ::_exit(0);
  }
  ::close(ends[1]);
  result.output = ::fdopen(ends[0], "r");
  return result;
}

bool ended_well(child& x) {
  int status = 0;
  ::waitpid(x.pid, &status, 0);
  std::fclose(x.output);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string next_line(FILE* from) {
  std::string result;
  for (int c = std::fgetc(from); c != EOF && c != '\n'; c = std::fgetc(from))
    result += static_cast<char>(c);
  return result;
}

/// The trace of the same run in another process.
std::string repeat(const scenario& plan, const run_options& options) {
  auto other = in_process([&](FILE* out) {
    // Memory lies elsewhere, so that an order by address shows.
    auto ballast = std::make_unique<std::vector<std::string>>(1'000, std::string(777, 'x'));
    auto x = simulate(plan, options);
    std::fprintf(out, "%s\n", x.trace_hash.c_str());
  });
  auto result = other.output ? next_line(other.output) : std::string{};
  return ended_well(other) ? result : std::string{"no trace"};
}

uint64_t sum(const std::map<std::string, uint64_t>& counts) {
  uint64_t result = 0;
  for (auto& [name, n] : counts)
    result += n;
  return result;
}

void report(FILE* out, uint64_t seed, const run_options& options, const run_result& x,
            bool repeated) {
  auto& t = x.total;
  std::fprintf(out, "run %lu %d %d %.6f %lu %lu %lu %lu %lu %lu %lu\n", seed, repeated,
               options.real_signatures, t.node_hours, t.accepted, t.dispatched, t.verified,
               t.relayed, sum(t.faults), t.actor_messages, x.cpu_ms);
  if (!x.sound()) {
    auto& v = x.violations.front();
    std::fprintf(out, "broken %lu %d %s %lu %s %s %s\n", seed, options.real_signatures,
                 v.invariant.c_str(), v.at_ms, v.id.empty() ? "-" : v.id.c_str(),
                 v.node.empty() ? "-" : v.node.c_str(), v.what.c_str());
  }
  std::fflush(out);
}

void run_share(FILE* out, const scenario& plan, const seeds_options& options, uint64_t share) {
  for (auto seed = options.first + share; seed <= options.last; seed += options.processes) {
    auto at = [seed](uint64_t every) { return every != 0 && seed % every == 0; };
    run_options x;
    x.seed = seed;
    x.real_signatures = at(options.real_every);
    std::fprintf(out, "start %lu\n", seed);
    std::fflush(out);
    auto result = simulate(plan, x);
    bool repeated = at(options.repeat_every);
    if (repeated && repeat(plan, x) != result.trace_hash)
      result.violations.push_back({"I13", 0, "", "", "another process ran it differently"});
    report(out, seed, x, result, repeated);
    if (!result.sound() && options.stop_at_first)
      return;
  }
}

void take(seeds_result& all, const std::string& line) {
  std::istringstream in{line};
  std::string word;
  in >> word;
  if (word == "run") {
    uint64_t seed = 0, accepted = 0, dispatched = 0, verified = 0, relayed = 0, faults = 0,
             messages = 0, cpu = 0;
    int repeated = 0, real = 0;
    double hours = 0;
    in >> seed >> repeated >> real >> hours >> accepted >> dispatched >> verified >> relayed
      >> faults >> messages >> cpu;
    ++all.seeds;
    all.repeated += static_cast<uint64_t>(repeated);
    all.node_hours += hours;
    all.accepted += accepted;
    all.dispatched += dispatched;
    all.verified += verified;
    all.relayed += relayed;
    all.faults += faults;
    all.actor_messages += messages;
    all.cpu_ms += cpu;
  } else if (word == "broken") {
    failed_seed x;
    int real = 0;
    in >> x.seed >> real >> x.first.invariant >> x.first.at_ms >> x.first.id >> x.first.node;
    std::getline(in >> std::ws, x.first.what);
    x.real_signatures = real != 0;
    all.failed.push_back(std::move(x));
  }
}

} // namespace

expected<seeds_result> run_seeds(const scenario& plan, const seeds_options& options) {
  std::vector<child> workers;
  for (uint64_t i = 0; i < options.processes; ++i)
    workers.push_back(in_process([&](FILE* out) { run_share(out, plan, options, i); }));
  seeds_result result;
  std::string died;
  for (auto& worker : workers) {
    if (!worker.output)
      return caf::make_error(ec::internal, std::string{"cannot start a process"});
    std::string last;
    for (auto line = next_line(worker.output); !line.empty(); line = next_line(worker.output)) {
      take(result, line);
      last = line;
    }
    if (!ended_well(worker))
      died = last;
  }
  if (!died.empty())
    return caf::make_error(ec::internal, "a process died after: " + died);
  std::sort(result.failed.begin(), result.failed.end(),
            [](auto& x, auto& y) { return x.seed < y.seed; });
  return result;
}

std::string to_json(const seeds_result& x, const std::string& scenario) {
  json::writer out;
  out.begin_object()
    .member("scenario", scenario)
    .member("sound", x.sound())
    .member("seeds", x.seeds)
    .member("repeated", x.repeated)
    .key("node_hours")
    .number(x.node_hours)
    .member("accepted", x.accepted)
    .member("dispatched", x.dispatched)
    .member("verified", x.verified)
    .member("relayed", x.relayed)
    .member("faults", x.faults)
    .member("actor_messages", x.actor_messages)
    .member("cpu_ms", x.cpu_ms);
  out.key("failed").begin_array();
  for (auto& f : x.failed)
    out.begin_object()
      .member("seed", f.seed)
      .member("real_signatures", f.real_signatures)
      .member("invariant", f.first.invariant)
      .member("what", f.first.what)
      .end_object();
  out.end_array().end_object();
  return out.take();
}

std::string to_text(const seeds_result& x, const std::string& scenario) {
  char text[512];
  std::snprintf(
    text, sizeof text,
    "%s: %lu seeds, %.0f node-hours, %lu requests accepted, %lu dispatched (%lu judged "
    "by the reference verifier), %lu faults, %lu actor messages in %.1f CPU s; %lu runs "
    "repeated alike in a second process: %s\n",
    scenario.c_str(), x.seeds, x.node_hours, x.accepted, x.dispatched, x.verified, x.faults,
    x.actor_messages, static_cast<double>(x.cpu_ms) / 1'000, x.repeated,
    x.sound() ? "sound" : "BROKEN");
  return text;
}

} // namespace rvi::simulation
