// SPDX-License-Identifier: MPL-2.0
//
// Looks for a planted fault: runs a scenario with seed after seed in processes of its own until an
// invariant breaks.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rvi::planted_faults {

/// What to run: scenario files are found by name in `scenarios/`.
struct hunt {
  int fault = 0; // 0: none is planted
  std::string scenario;
  uint64_t seeds_max = 500;
};

struct catch_report {
  bool caught = false;
  bool died = false; // its process did not end well
  uint64_t runs = 0;
  uint64_t seed = 0; // of the last run
  uint64_t cpu_ms = 0;
  std::string invariant; // of the first violation
  std::string what;
};

/// All of them, `processes` at a time; the results stand in the same order.
std::vector<catch_report> run_all(const std::vector<hunt>& hunts, size_t processes);

} // namespace rvi::planted_faults
