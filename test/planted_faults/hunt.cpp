// SPDX-License-Identifier: MPL-2.0

#include "test/planted_faults/hunt.hpp"

#include "test/planted_faults/planted.hpp"
#include "tools/simulation/fleet.hpp"

#include <cstdio>
#include <map>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

namespace rvi::planted_faults {

namespace {

/// In the child: one line for each run, `run SEED CPU_MS INVARIANT WHAT`; the invariant of a sound
/// run is `-`.
void hunt_here(FILE* out, const hunt& x) {
  auto plan = simulation::load_scenario(PLANTED_SCENARIOS "/" + x.scenario + ".toml");
  if (!plan) {
    std::fprintf(out, "run 0 0 - %s\n", describe(plan.error()).c_str());
    std::fflush(out);
    ::_exit(1);
  }
  planted_fault = x.fault;
  for (uint64_t seed = 1; seed <= x.seeds_max; ++seed) {
    simulation::run_options options;
    options.seed = seed;
    auto result = simulation::simulate(*plan, options);
    auto first
      = result.sound() ? simulation::violation{"-", 0, {}, {}, "sound"} : result.violations.front();
    std::fprintf(out, "run %lu %lu %s %s\n", seed, result.cpu_ms, first.invariant.c_str(),
                 first.what.c_str());
    std::fflush(out);
    if (!result.sound())
      return;
  }
}

struct child {
  size_t number = 0;
  FILE* output = nullptr;
};

catch_report read(FILE* from, int status) {
  catch_report result;
  result.died = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
  std::rewind(from);
  std::string text;
  for (int c = std::fgetc(from); c != EOF; c = std::fgetc(from))
    text += static_cast<char>(c);
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in{line};
    std::string word;
    uint64_t cpu_ms = 0;
    in >> word >> result.seed >> cpu_ms >> result.invariant;
    std::getline(in >> std::ws, result.what);
    ++result.runs;
    result.cpu_ms += cpu_ms;
    result.caught = result.invariant != "-";
  }
  return result;
}

} // namespace

std::vector<catch_report> run_all(const std::vector<hunt>& hunts, size_t processes) {
  std::vector<catch_report> result(hunts.size());
  std::map<pid_t, child> running;
  for (size_t next = 0; next < hunts.size() || !running.empty();) {
    if (next < hunts.size() && running.size() < processes) {
      std::fflush(nullptr);
      // A file, not a pipe: nobody reads before the child has ended.
      child x{next, std::tmpfile()};
      auto pid = ::fork();
      if (pid == 0) {
        hunt_here(x.output, hunts[next]);
        std::fclose(x.output);
        ::_exit(0);
      }
      running[pid] = x;
      ++next;
      continue;
    }
    int status = 0;
    auto ended = running.find(::wait(&status));
    if (ended == running.end())
      continue;
    auto& [number, output] = ended->second;
    result[number] = read(output, status);
    std::fclose(output);
    running.erase(ended);
  }
  return result;
}

} // namespace rvi::planted_faults
