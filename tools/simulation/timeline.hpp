// SPDX-License-Identifier: MPL-2.0
//
// The time of a simulated fleet: what is to happen, in order of time and then of planning, and the
// clocks that nodes read.

#pragma once

#include "runtime/time_source.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <utility>
#include <vector>

namespace rvi::simulation {

/// Unix time at the start of every run, in ms.
inline constexpr uint64_t start_wall_ms = 1'795'000'000'000;

class timeline {
public:
  uint64_t now_ms() const { return now_ms_; }

  void at(uint64_t ms, std::function<void()> what) {
    plans_.push({std::max(ms, now_ms_), next_++, std::move(what)});
  }
  void after(uint64_t ms, std::function<void()> what) { at(now_ms_ + ms, std::move(what)); }

  /// When the next thing happens; ~0 if nothing is planned.
  uint64_t next_ms() const { return plans_.empty() ? ~uint64_t{0} : plans_.top().ms; }

  void advance_to(uint64_t ms) { now_ms_ = ms; }

  /// Does what is due now, one thing; false if there is none.
  bool step() {
    if (plans_.empty() || plans_.top().ms > now_ms_)
      return false;
    auto what = std::move(const_cast<plan&>(plans_.top()).what);
    plans_.pop();
    what();
    return true;
  }

  void clear() { plans_ = {}; }

private:
  struct plan {
    uint64_t ms;
    uint64_t number;
    std::function<void()> what;
    bool operator<(const plan& x) const {
      return ms != x.ms ? ms > x.ms : number > x.number; // the heap's top is the largest
    }
  };
  uint64_t now_ms_ = 0;
  uint64_t next_ = 0;
  std::priority_queue<plan> plans_;
};

/// One node's clocks: the wall clock may be set wrong and may run wrong, boot time is the fleet's.
class node_time : public time_source {
public:
  explicit node_time(std::shared_ptr<const timeline> fleet) : fleet_(std::move(fleet)) {}

  uint64_t wall_ms() const override {
    auto now = static_cast<int64_t>(fleet_->now_ms());
    return static_cast<uint64_t>(static_cast<int64_t>(start_wall_ms) + now + offset_ms_
                                 + (now - drift_since_ms_) * drift_ppm_ / 1'000'000);
  }
  uint64_t boot_ms() const override { return 3'600'000 + fleet_->now_ms(); }
  uint64_t boot_us() const override { return boot_ms() * 1'000; }

  void jump(int64_t ms) { offset_ms_ += ms; }
  void drift(int64_t ppm) {
    auto now = static_cast<int64_t>(fleet_->now_ms());
    offset_ms_ += (now - drift_since_ms_) * drift_ppm_ / 1'000'000;
    drift_since_ms_ = now;
    drift_ppm_ = ppm;
  }
  /// Right again, as after a time server was reached.
  void correct() {
    drift(0);
    offset_ms_ = 0;
  }
  int64_t error_ms() const {
    return static_cast<int64_t>(wall_ms()) - static_cast<int64_t>(start_wall_ms)
           - static_cast<int64_t>(fleet_->now_ms());
  }

private:
  std::shared_ptr<const timeline> fleet_;
  int64_t offset_ms_ = 0;
  int64_t drift_ppm_ = 0;
  int64_t drift_since_ms_ = 0;
};

} // namespace rvi::simulation
