// SPDX-License-Identifier: MPL-2.0
//
// Metrics that wait for a slow reader, a peer or a local service: of each topic only the newest, so
// that memory is bounded and the reader is never further behind than one value of each.

#pragma once

#include "messages/metric.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

namespace rvi {

struct metric_queue_limits {
  size_t topics_max = 4'096;
  size_t bytes_max = size_t{4} << 20;
  size_t backlog_bytes_max = size_t{256} << 10; // unsent output; beyond it metrics wait here
};

class metric_queue {
public:
  explicit metric_queue(metric_queue_limits limits = {}) : limits_(limits) {}

  /// Takes the place of an older value of its topic and source. At a bound, what has waited longest
  /// is given up. Returns how many values nobody will see now.
  size_t add(metric_value_ptr x);

  /// The one that waits longest; null if none does.
  metric_value_ptr take();

  /// The same, which goes on waiting.
  const metric_value* front() const {
    return waiting_.empty() ? nullptr : waiting_.begin()->second.get();
  }

  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }
  size_t bytes() const { return bytes_; }
  const metric_queue_limits& limits() const { return limits_; }

private:
  using key = std::pair<std::string_view, std::string_view>; // topic and source, of the value

  static key key_of(const metric_value& x) { return {x.topic, x.source}; }
  static size_t size_of(const metric_value& x);

  metric_queue_limits limits_;
  std::map<uint64_t, metric_value_ptr> waiting_; // in the order of their topics
  std::map<key, uint64_t> places_;
  uint64_t last_place_ = 0;
  size_t bytes_ = 0;
};

} // namespace rvi
