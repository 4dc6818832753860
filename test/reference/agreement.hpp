// SPDX-License-Identifier: MPL-2.0
//
// Counts what the router and the reference say, and tells how to see a disagreement again.

#pragma once

#include "runtime/error.hpp"
#include "test/reference/pins.hpp"
#include "test/unit/simulation/reference_world.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace test {

/// From the command line: `--seed`, `--count` (of all subjects), `--index` (that one alone).
struct agreement_options {
  uint64_t seed = 1;
  uint64_t count = 106'000;
  uint64_t index = UINT64_MAX;
};

extern agreement_options asked_for;

/// One kind of subject.
class agreement {
public:
  /// `share`: of a thousand of all subjects.
  agreement(std::string subject, uint64_t share);

  uint64_t first() const;
  uint64_t last() const; // not included
  /// Draws of this subject, the same whatever came before it.
  dice dice_of(uint64_t index) const;

  /// The router's code must be one of the reference's, `none` if there are none. `input` replays
  /// it.
  void add(uint64_t index, rvi::ec router, const reference::reasons& other,
           const std::string& input, const std::string& why);
  /// Both accept; do they take it to mean the same?
  void same(uint64_t index, bool equal, const std::string& input, const std::string& what);

  /// Prints the counts. Every one of `codes` was met, a tenth was accepted, nobody disagreed.
  void conclude(const std::vector<rvi::ec>& codes) const;

private:
  void tell(uint64_t index, const std::string& what, const std::string& input);

  std::string subject_;
  uint64_t share_;
  uint64_t asked_ = 0;
  uint64_t disagreed_ = 0;
  std::map<std::string, uint64_t> verdicts_;
};

} // namespace test
