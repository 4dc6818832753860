// SPDX-License-Identifier: MPL-2.0
//
// Where wall-clock time comes from. Actors take it from here, so that a simulation can jump it;
// timers use the actor's own clock (steady time).

#pragma once

#include <cstdint>
#include <memory>

namespace rvi {

class time_source {
public:
  virtual ~time_source() = default;
  /// Unix time in milliseconds, UTC; may jump.
  virtual uint64_t wall_ms() const = 0;
  /// Milliseconds since boot, suspend included; never jumps.
  virtual uint64_t boot_ms() const = 0;
  /// Microseconds since boot, for traces and measurements.
  virtual uint64_t boot_us() const = 0;
};

using time_source_ptr = std::shared_ptr<const time_source>;

/// CLOCK_REALTIME and CLOCK_BOOTTIME.
time_source_ptr system_time();

/// Stands still until moved; for tests.
class manual_time : public time_source {
public:
  explicit manual_time(uint64_t wall_ms) : wall_ms_(wall_ms) {}
  uint64_t wall_ms() const override { return wall_ms_; }
  uint64_t boot_ms() const override { return boot_us_ / 1'000; }
  uint64_t boot_us() const override { return boot_us_; }
  /// Time passes on both clocks.
  void elapse_ms(uint64_t x) {
    wall_ms_ += x;
    boot_us_ += x * 1'000;
  }
  /// Somebody sets the wall clock.
  void set_wall_ms(uint64_t x) { wall_ms_ = x; }

private:
  uint64_t wall_ms_;
  uint64_t boot_us_ = 3'600'000'000;
};

} // namespace rvi
