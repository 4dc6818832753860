// SPDX-License-Identifier: MPL-2.0
//
// The time that requests expire by (decisions 2, TTL): the wall clock at start, carried on by the
// boot clock. A wall clock that jumps further than the skew bound is reported once and not
// followed, so that it neither expires anything early nor keeps anything alive.

#pragma once

#include "runtime/time_source.hpp"

#include <cstdint>
#include <utility>

namespace rvi {

class expiry_clock {
public:
  expiry_clock(time_source_ptr time, uint64_t skew_ms_max)
    : time_(std::move(time)),
      skew_ms_max_(skew_ms_max),
      base_wall_ms_(time_->wall_ms()),
      base_boot_ms_(time_->boot_ms()) {}

  uint64_t now_ms() const { return base_wall_ms_ + (time_->boot_ms() - base_boot_ms_); }

  /// Follows small corrections of the wall clock. True at each new jump beyond the bound.
  bool follow_wall() {
    auto wall = time_->wall_ms();
    auto own = now_ms();
    auto distance = wall > own ? wall - own : own - wall;
    if (distance <= skew_ms_max_) {
      base_wall_ms_ = wall;
      base_boot_ms_ = time_->boot_ms();
      jumped_ = false;
      return false;
    }
    return !std::exchange(jumped_, true);
  }

private:
  time_source_ptr time_;
  uint64_t skew_ms_max_;
  uint64_t base_wall_ms_;
  uint64_t base_boot_ms_;
  bool jumped_ = false;
};

} // namespace rvi
