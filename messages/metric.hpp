// SPDX-License-Identifier: MPL-2.0
//
// Metrics as the HLD means them (6.1.3): values published under a topic and delivered to those who
// subscribed. Only the newest value of a topic counts. The node's own counters are something else
// (runtime/observe/metrics.hpp).

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace rvi {

inline constexpr size_t metric_value_bytes_max = size_t{64} << 10;
inline constexpr uint64_t metric_interval_ms_max = uint64_t{24} * 3'600 * 1'000;
/// Distinct patterns that one node may have at another.
inline constexpr size_t metric_subscriptions_per_peer_max = 1'024;

/// One value of a topic. Of two with the same topic and source the one with the higher (epoch, seq)
/// is newer.
struct metric_value {
  std::string topic;  // normalised, with the prefix metric:
  std::string source; // the publishing service, full name without type
  uint32_t epoch = 0; // of the publishing node; rises with each of its starts
  uint64_t seq = 0;   // of the publishing node; rises with each value
  uint64_t published_ms = 0;
  uint64_t expires_ms = 0; // 0: it holds until it is replaced
  std::string value;       // one JSON value, as written
};

using metric_value_ptr = std::shared_ptr<const metric_value>;

inline bool is_newer(const metric_value& x, const metric_value& than) {
  return x.epoch != than.epoch ? x.epoch > than.epoch : x.seq > than.seq;
}

inline bool has_expired(const metric_value& x, uint64_t now_ms) {
  return x.expires_ms != 0 && x.expires_ms <= now_ms;
}

/// What a subscriber does not want to see of a topic. A value that comes too soon waits until its
/// time; one that differs too little is left out.
struct metric_filter {
  uint64_t min_interval_ms = 0;     // between two values
  std::optional<double> min_change; // of numbers: absolute difference; else: any
};

/// What one node wants from another.
struct metric_subscription {
  std::string pattern; // normalised, with the prefix metric:
  metric_filter filter;
};

/// Rvi.proto's `MetricSubscriptions`.
struct metric_subscriptions {
  bool full = false;                      // replaces all said before; else changes
  std::vector<metric_subscription> added; // or changed
  std::vector<std::string> ended;         // patterns
};

/// What a local service asks of the metric hub. Names are full and normalised, and the principal
/// holds them.
struct subscribe_metric {
  std::string service;
  std::string principal;
  metric_subscription what;
};
struct unsubscribe_metric {
  std::string service;
  std::string principal;
  std::string pattern;
};
struct publish_metric {
  metric_value content; // without seq
  bool retain = false;  // keep it through a restart of this node
};

using metric_call = std::variant<subscribe_metric, unsubscribe_metric, publish_metric>;

/// A value on its way to local services.
struct metric_delivery {
  std::vector<uint64_t> clients; // client_id of each connection
  metric_value_ptr value;
};

} // namespace rvi
