// SPDX-License-Identifier: MPL-2.0
//
// A smaller scenario in which the same promise is still broken: for people to read, and to keep as
// a regression test.

#pragma once

#include "tools/simulation/fleet.hpp"

namespace rvi::simulation {

struct minimised {
  scenario plan;
  run_result result; // of the smaller scenario, with the sequence of messages
  size_t runs = 0;
};

/// Drops faults, events, traffic, links, nodes and time while `invariant` still breaks under the
/// same seed. At most `runs_max` runs.
minimised minimise(const scenario& plan, const run_options& options, const std::string& invariant,
                   size_t runs_max = 80);

} // namespace rvi::simulation
