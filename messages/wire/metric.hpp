// SPDX-License-Identifier: MPL-2.0
//
// Frames of metrics (rvi.proto's MetricSubscriptions and MetricValues). What they say is checked by
// whoever believes it (check_metric, check_metric_subscription).

#pragma once

#include "messages/metric.hpp"
#include "runtime/error.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::wire {

class MetricSubscriptions;
class MetricValues;

metric_subscriptions decode_metric_subscriptions(const MetricSubscriptions& x);
std::vector<metric_value_ptr> decode_metric_values(const MetricValues& x);

/// Appends as many frames as it takes.
void append_metric_subscriptions(std::string& out, const metric_subscriptions& x,
                                 size_t frame_bytes_max);

/// A frame of values, written one by one without a message object for each.
class metric_values_frame {
public:
  static constexpr size_t values_max = 4'096;

  void add(const metric_value& x);
  bool empty() const { return count_ == 0; }
  bool full() const { return count_ == values_max; }
  /// Of the whole frame, its length included.
  size_t bytes() const { return body_.size() + head_bytes_max; }
  /// Never less than what the value takes in a frame.
  static size_t bytes_max(const metric_value& x);
  void append_to(std::string& out) const;

  static constexpr size_t head_bytes_max = 16;

private:
  std::string body_; // of MetricValues
  size_t count_ = 0;
};

} // namespace rvi::wire

namespace rvi {

/// A value a peer sent: names normal and of the right kind, a value of at most 64 KiB, one JSON
/// value. Errors: `malformed`, `too_large`.
caf::error check_metric(const metric_value& x);

/// The same of a subscription. Error: `malformed`.
caf::error check_metric_subscription(const metric_subscription& x);

/// True if some name below the node address may match the pattern.
bool may_match_below(std::string_view pattern, std::string_view node_address);

/// The levels of a pattern before its first wildcard; with its type.
std::string_view literal_part(std::string_view pattern);

} // namespace rvi
