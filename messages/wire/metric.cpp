// SPDX-License-Identifier: MPL-2.0

#include "messages/wire/metric.hpp"

#include "messages/name.hpp"
#include "messages/transaction_id.hpp"
#include "messages/wire/frame.hpp"
#include "runtime/json/json.hpp"
#include "rvi.pb.h"

#include <cmath>

namespace rvi::wire {

namespace {

constexpr uint32_t varint_type = 0;
constexpr uint32_t bytes_type = 2;

void append_varint(std::string& out, uint64_t x) {
  for (; x >= 0x80; x >>= 7)
    out.push_back(static_cast<char>((x & 0x7f) | 0x80));
  out.push_back(static_cast<char>(x));
}

void append_number(std::string& out, uint32_t field, uint64_t x) {
  if (x == 0)
    return; // as proto3 has it
  append_varint(out, field << 3 | varint_type);
  append_varint(out, x);
}

void append_bytes(std::string& out, uint32_t field, std::string_view x) {
  if (x.empty())
    return;
  append_varint(out, field << 3 | bytes_type);
  append_varint(out, x.size());
  out += x;
}

size_t varint_size(uint64_t x) {
  size_t result = 1;
  for (; x >= 0x80; x >>= 7)
    ++result;
  return result;
}

size_t number_size(uint64_t x) {
  return x == 0 ? 0 : 1 + varint_size(x);
}

size_t bytes_size(std::string_view x) {
  return x.empty() ? 0 : 1 + varint_size(x.size()) + x.size();
}

size_t value_size(const metric_value& x) {
  return bytes_size(x.topic) + bytes_size(x.source) + number_size(x.epoch) + number_size(x.seq)
         + number_size(x.published_ms) + number_size(x.expires_ms) + bytes_size(x.value);
}

} // namespace

metric_subscriptions decode_metric_subscriptions(const MetricSubscriptions& x) {
  metric_subscriptions result;
  result.full = x.full();
  result.added.reserve(static_cast<size_t>(x.added_size()));
  for (auto& added : x.added()) {
    auto& to = result.added.emplace_back();
    to.pattern = added.pattern();
    to.filter.min_interval_ms = added.min_interval_ms();
    if (added.has_min_change())
      to.filter.min_change = added.min_change();
  }
  result.ended.assign(x.ended().begin(), x.ended().end());
  return result;
}

std::vector<metric_value_ptr> decode_metric_values(const MetricValues& x) {
  std::vector<metric_value_ptr> result;
  result.reserve(static_cast<size_t>(x.values_size()));
  for (auto& value : x.values()) {
    auto to = std::make_shared<metric_value>();
    to->topic = value.topic();
    to->source = value.source();
    to->epoch = value.epoch();
    to->seq = value.seq();
    to->published_ms = value.published_ms();
    to->expires_ms = value.expires_ms();
    to->value = value.value();
    result.push_back(std::move(to));
  }
  return result;
}

void append_metric_subscriptions(std::string& out, const metric_subscriptions& x,
                                 size_t frame_bytes_max) {
  constexpr size_t entry_bytes_max = 64; // without its pattern
  Frame frame;
  frame.mutable_metric_subscriptions()->set_full(x.full);
  size_t bytes = entry_bytes_max;
  bool written = false;
  auto make_room = [&](size_t more) {
    if (bytes + more > frame_bytes_max && bytes > entry_bytes_max) {
      append_frame(out, frame);
      written = true;
      frame.Clear();
      frame.mutable_metric_subscriptions();
      bytes = entry_bytes_max;
    }
    bytes += more;
  };
  for (auto& pattern : x.ended) {
    make_room(pattern.size() + entry_bytes_max);
    frame.mutable_metric_subscriptions()->add_ended(pattern);
  }
  for (auto& added : x.added) {
    make_room(added.pattern.size() + entry_bytes_max);
    auto& to = *frame.mutable_metric_subscriptions()->add_added();
    to.set_pattern(added.pattern);
    to.set_min_interval_ms(added.filter.min_interval_ms);
    if (added.filter.min_change)
      to.set_min_change(*added.filter.min_change);
  }
  if (!written || bytes > entry_bytes_max)
    append_frame(out, frame);
}

// -- values -------------------------------------------------------------------------------------

size_t metric_values_frame::bytes_max(const metric_value& x) {
  auto size = value_size(x);
  return 1 + varint_size(size) + size + head_bytes_max;
}

void metric_values_frame::add(const metric_value& x) {
  append_varint(body_, MetricValues::kValuesFieldNumber << 3 | bytes_type);
  append_varint(body_, value_size(x));
  append_bytes(body_, MetricValue::kTopicFieldNumber, x.topic);
  append_bytes(body_, MetricValue::kSourceFieldNumber, x.source);
  append_number(body_, MetricValue::kEpochFieldNumber, x.epoch);
  append_number(body_, MetricValue::kSeqFieldNumber, x.seq);
  append_number(body_, MetricValue::kPublishedMsFieldNumber, x.published_ms);
  append_number(body_, MetricValue::kExpiresMsFieldNumber, x.expires_ms);
  append_bytes(body_, MetricValue::kValueFieldNumber, x.value);
  ++count_;
}

void metric_values_frame::append_to(std::string& out) const {
  if (empty())
    return;
  std::string head;
  append_varint(head, Frame::kMetricValues << 3 | bytes_type);
  append_varint(head, body_.size());
  append_u32(out, static_cast<uint32_t>(head.size() + body_.size()));
  out += head;
  out += body_;
}

} // namespace rvi::wire

namespace rvi {

namespace {

caf::error malformed(std::string why) {
  return caf::make_error(ec::malformed, std::move(why));
}

} // namespace

caf::error check_metric(const metric_value& x) {
  auto topic = normalise_name(x.topic);
  if (!topic || *topic != x.topic || type_of(x.topic) != name_type::metric)
    return malformed("a metric's topic is no name of the type metric");
  auto source = normalise_name(x.source);
  if (!source || *source != x.source || type_of(x.source))
    return malformed("a metric's source is no service");
  if (x.value.size() > metric_value_bytes_max)
    return caf::make_error(ec::too_large, "a metric of " + std::to_string(x.value.size())
                                            + " bytes, at most "
                                            + std::to_string(metric_value_bytes_max));
  if (!json::parse(x.value))
    return malformed("a metric's value is no JSON");
  return {};
}

caf::error check_metric_subscription(const metric_subscription& x) {
  auto pattern = normalise_pattern(x.pattern);
  if (!pattern || *pattern != x.pattern || type_of(x.pattern) != name_type::metric)
    return malformed("a subscription is to no pattern of the type metric");
  if (x.filter.min_interval_ms > metric_interval_ms_max)
    return malformed("a subscription's interval is longer than a day");
  auto change = x.filter.min_change.value_or(0);
  if (!std::isfinite(change) || change < 0)
    return malformed("a subscription's change is no amount");
  return {};
}

bool may_match_below(std::string_view pattern, std::string_view node_address) {
  auto levels = without_type(pattern);
  auto address = without_type(node_address);
  auto next = [](std::string_view& rest) {
    auto slash = rest.find('/');
    auto level = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
    return level;
  };
  while (!address.empty()) {
    if (levels.empty())
      return false;
    auto wanted = next(levels);
    auto level = next(address);
    if (wanted == "#")
      return true;
    if (wanted != "+" && wanted != level)
      return false;
  }
  return true;
}

std::string_view literal_part(std::string_view pattern) {
  for (size_t begin = 0;;) {
    auto slash = pattern.find('/', begin);
    auto level = pattern.substr(begin, slash == std::string_view::npos ? slash : slash - begin);
    if (level == "+" || level == "#")
      return pattern.substr(0, begin == 0 ? 0 : begin - 1);
    if (slash == std::string_view::npos)
      return pattern;
    begin = slash + 1;
  }
}

} // namespace rvi
