// SPDX-License-Identifier: MPL-2.0
//
// What happened to each request lately, step by step (HLD chapter 8), in memory: `rvi trace` reads
// it.

#pragma once

#include "runtime/time_source.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

struct trace_event {
  std::string id;   // transaction id, 28 bytes
  uint8_t step = 0; // HLD chapter 8; 20 is the reply's delivery (8.20)
  bool reply = false;
  uint64_t boot_us = 0; // comparable between nodes on one machine
  uint64_t wall_ms = 0;
  std::string detail;
};

/// A ring of the latest events; older ones are overwritten. Thread-safe.
class trace_buffer {
public:
  trace_buffer(time_source_ptr time, size_t events_max)
    : time_(std::move(time)),
      events_max_(events_max) {}

  void add(std::string_view id, uint8_t step, bool reply, std::string_view detail) {
    add_at(time_->boot_us(), id, step, reply, detail);
  }

  /// Something that happened before the request came: a link that carries it came up.
  void
  add_at(uint64_t boot_us, std::string_view id, uint8_t step, bool reply, std::string_view detail) {
    if (events_max_ == 0)
      return;
    assert(id.size() <= id_bytes_max);
    std::lock_guard guard{mutex_};
    if (boot_us >= wall_again_us_)
      read_wall();
    auto wall_ms = boot_us / 1'000 + wall_ahead_ms_;
    if (events_.size() < events_max_)
      events_.emplace_back();
    auto& x = events_[next_];
    next_ = (next_ + 1) % events_max_;
    std::copy(id.begin(), id.end(), x.id.begin());
    x.id_bytes = static_cast<uint8_t>(id.size());
    x.step = step;
    x.reply = reply;
    x.boot_us = boot_us;
    x.wall_ms = wall_ms;
    x.detail.assign(detail);
  }

  /// All events of one id, oldest first; of every id if it is empty.
  std::vector<trace_event> find(std::string_view id) const {
    std::vector<trace_event> result;
    std::lock_guard guard{mutex_};
    for (size_t i = 0; i < events_.size(); ++i) {
      auto& x = events_[(next_ + i) % events_.size()];
      auto of = std::string_view{x.id.data(), x.id_bytes};
      if (id.empty() || of == id)
        result.push_back({std::string{of}, x.step, x.reply, x.boot_us, x.wall_ms, x.detail});
    }
    return result;
  }

private:
  static constexpr size_t id_bytes_max = 28;

  /// A `trace_event` in one piece, as there may be thousands.
  struct entry {
    std::array<char, id_bytes_max> id{};
    uint8_t id_bytes = 0;
    uint8_t step = 0;
    bool reply = false;
    uint64_t boot_us = 0;
    uint64_t wall_ms = 0;
    std::string detail;
  };

  /// A request leaves ten events and more: reading the wall clock for each shows in a profile.
  void read_wall() {
    auto boot_us = time_->boot_us();
    wall_ahead_ms_ = time_->wall_ms() - boot_us / 1'000;
    wall_again_us_ = boot_us + 1'000;
  }

  time_source_ptr time_;
  size_t events_max_;
  uint64_t wall_ahead_ms_ = 0; // of the boot clock
  uint64_t wall_again_us_ = 0; // it may have been set since
  mutable std::mutex mutex_;
  std::vector<entry> events_;
  size_t next_ = 0;
};

} // namespace rvi
