// SPDX-License-Identifier: MPL-2.0
//
// Draws from one seed. Every concern has a generator of its own, so that a change in one does not
// change what the others draw.

#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

namespace rvi::simulation {

/// SplitMix64: eight bytes of state, so that every node and path can have one.
class random_source {
public:
  random_source(uint64_t seed, std::string_view concern, uint64_t number = 0)
    : state_(seed * 0x9e3779b97f4a7c15 + number * 0xd1342543de82ef95) {
    for (auto c : concern)
      state_ = (state_ ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    draw();
  }

  uint64_t draw() {
    auto x = state_ += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  /// From 0 to n - 1; 0 if n is 0.
  uint64_t below(uint64_t n) {
    auto x = draw();
    return n == 0 ? 0 : x % n;
  }

  uint64_t between(uint64_t min, uint64_t max) {
    return min + below(max < min ? 1 : max - min + 1);
  }

  bool percent(uint64_t p) { return p != 0 && below(100) < p; }

  /// A gap of a memoryless process with this mean, at least 1.
  uint64_t gap(uint64_t mean) {
    auto u = (static_cast<double>(draw() >> 11) + 1) / 9007199254740993.0;
    return 1 + static_cast<uint64_t>(-std::log(u) * static_cast<double>(mean));
  }

private:
  uint64_t state_;
};

} // namespace rvi::simulation
