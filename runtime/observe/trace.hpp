// SPDX-License-Identifier: MPL-2.0
//
// What happened to each request lately, step by step (HLD chapter 8), in memory: `rvi trace` reads
// it.

#pragma once

#include "runtime/time_source.hpp"

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
    auto wall_ms = time_->wall_ms() - (time_->boot_us() - boot_us) / 1'000;
    std::lock_guard guard{mutex_};
    if (events_.size() < events_max_)
      events_.emplace_back();
    auto& x = events_[next_];
    next_ = (next_ + 1) % events_max_;
    x.id.assign(id);
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
      if (id.empty() || x.id == id)
        result.push_back(x);
    }
    return result;
  }

private:
  time_source_ptr time_;
  size_t events_max_;
  mutable std::mutex mutex_;
  std::vector<trace_event> events_;
  size_t next_ = 0;
};

} // namespace rvi
