// SPDX-License-Identifier: MPL-2.0
//
// Many seeds of one scenario, in several processes: what broke, and whether a run repeats.

#pragma once

#include "tools/simulation/fleet.hpp"

#include <map>
#include <string>
#include <vector>

namespace rvi::simulation {

struct seeds_options {
  uint64_t first = 1;
  uint64_t last = 1;
  uint64_t processes = 1;
  uint64_t repeat_every = 50; // this often a seed runs in a second process, too; 0: never
  uint64_t real_every = 50;   // this often with real signatures; 0: never
  bool stop_at_first = true;  // a process ends with its first broken seed
};

struct failed_seed {
  uint64_t seed = 0;
  bool real_signatures = false;
  violation first;
};

/// What all runs gave together.
struct seeds_result {
  uint64_t seeds = 0;
  uint64_t repeated = 0;
  double node_hours = 0;
  uint64_t accepted = 0;
  uint64_t dispatched = 0;
  uint64_t verified = 0;
  uint64_t relayed = 0; // of these, brought by a relay
  uint64_t faults = 0;
  uint64_t actor_messages = 0;
  uint64_t cpu_ms = 0;
  std::vector<failed_seed> failed;

  bool sound() const { return failed.empty(); }
};

/// Errors: `internal` (a process died; the text says with which seed).
expected<seeds_result> run_seeds(const scenario& plan, const seeds_options& options);

std::string to_json(const seeds_result& x, const std::string& scenario);
std::string to_text(const seeds_result& x, const std::string& scenario);

} // namespace rvi::simulation
