// SPDX-License-Identifier: MPL-2.0
//
// Numbers from the command line, CPU time, and checks inside forked children.

#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace test::faults {

/// The number after `name` on the command line.
uint64_t option(const std::string& name, uint64_t otherwise);

/// CPU time of this process and its ended children.
class stopwatch {
public:
  stopwatch();
  double cpu_seconds() const;

private:
  double start_;
};

/// Runs doctest assertions in a forked child: 0 if all held. What failed is printed.
int checked(const std::function<void()>& work);

} // namespace test::faults
