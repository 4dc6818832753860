// SPDX-License-Identifier: MPL-2.0
//
// What was measured, for people. Programs read the JSON.

#pragma once

#include "tools/bench.hpp"
#include "tools/bench_storm.hpp"

namespace rvi {

void print_table(const bench_result& x);
void print_table(const storm_result& x);

} // namespace rvi
