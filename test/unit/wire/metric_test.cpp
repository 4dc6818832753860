// SPDX-License-Identifier: MPL-2.0
//
// Frames of metrics, byte by byte, and what of them is refused.

#include "messages/wire/frame.hpp"
#include "messages/wire/metric.hpp"
#include "runtime/crypto/crypto.hpp"
#include "rvi.pb.h"

#include <doctest/doctest.h>

#include <limits>

using namespace rvi;

namespace {

metric_value some_value() {
  metric_value x;
  x.topic = "metric:a.org/n1/speed";
  x.source = "a.org/n1/services/sensor";
  x.epoch = 7;
  x.seq = 300;
  x.published_ms = 1'700'000'000'123;
  x.expires_ms = 1'700'000'060'000;
  x.value = "87.5";
  return x;
}

std::string frame_of(std::initializer_list<metric_value> values) {
  wire::metric_values_frame frame;
  for (auto& x : values)
    frame.add(x);
  std::string result;
  frame.append_to(result);
  return result;
}

/// All frames of a stream.
std::vector<wire::Frame> frames_in(const std::string& stream) {
  wire::frame_reader reader{1 << 20};
  reader.append(stream);
  std::vector<wire::Frame> result;
  for (;;) {
    auto bytes = reader.next();
    REQUIRE(bytes);
    if (!*bytes)
      return result;
    REQUIRE_FALSE(wire::parse_frame(**bytes, {}, result.emplace_back()));
  }
}

ec code_for(const wire::Frame& frame) {
  return code_of(wire::check_frame(frame.SerializeAsString(), {}));
}

metric_subscription pattern(std::string x) {
  return {std::move(x), {}};
}

} // namespace

TEST_SUITE_BEGIN("metric frames");

TEST_CASE("the bytes of values never change") {
  CHECK(crypto::hex(frame_of({some_value()}))
        == "0000004f82014c0a4a0a156d65747269633a612e6f72672f6e312f73706565641218612e6f72672f"
           "6e312f73657276696365732f73656e736f72180720ac0228fbd095ffbc3130e0a499ffbc313a0438"
           "372e35");
  // As protobuf would write them.
  wire::Frame frame;
  auto& x = *frame.mutable_metric_values()->add_values();
  x.set_topic("metric:a.org/n1/speed");
  x.set_source("a.org/n1/services/sensor");
  x.set_epoch(7);
  x.set_seq(300);
  x.set_published_ms(1'700'000'000'123);
  x.set_expires_ms(1'700'000'060'000);
  x.set_value("87.5");
  std::string expected;
  wire::append_frame(expected, frame);
  CHECK(frame_of({some_value()}) == expected);
}

TEST_CASE("the bytes of subscriptions never change") {
  std::string stream;
  wire::append_metric_subscriptions(stream, {true, {{"metric:a.org/+/speed", {500, 0.5}}}, {}},
                                    1 << 20);
  CHECK(crypto::hex(stream)
        == "000000287a26080112220a146d65747269633a612e6f72672f2b2f737065656410f4031900000000"
           "0000e03f");
}

TEST_CASE("values come back as they were") {
  auto second = some_value();
  second.expires_ms = 0;
  second.value.clear();
  auto frames = frames_in(frame_of({some_value(), second}));
  REQUIRE(frames.size() == 1);
  auto values = wire::decode_metric_values(frames[0].metric_values());
  REQUIRE(values.size() == 2);
  CHECK(values[0]->topic == "metric:a.org/n1/speed");
  CHECK(values[0]->source == "a.org/n1/services/sensor");
  CHECK(values[0]->epoch == 7);
  CHECK(values[0]->seq == 300);
  CHECK(values[0]->published_ms == 1'700'000'000'123);
  CHECK(values[0]->expires_ms == 1'700'000'060'000);
  CHECK(values[0]->value == "87.5");
  CHECK(values[1]->expires_ms == 0);
  CHECK(wire::metric_values_frame::bytes_max(some_value()) >= frame_of({some_value()}).size());
}

TEST_CASE("large sets of subscriptions take several frames, the first one full") {
  metric_subscriptions x{true, {}, {}};
  for (int i = 0; i < 1'000; ++i)
    x.added.push_back(pattern("metric:a.org/" + std::string(1'900, 'x') + std::to_string(i)));
  x.added.back().filter.min_change = 0;
  std::string stream;
  wire::append_metric_subscriptions(stream, x, 1 << 20);
  auto frames = frames_in(stream);
  REQUIRE(frames.size() == 2);
  auto first = wire::decode_metric_subscriptions(frames[0].metric_subscriptions());
  auto second = wire::decode_metric_subscriptions(frames[1].metric_subscriptions());
  CHECK(first.full);
  CHECK_FALSE(second.full);
  CHECK(first.added.size() + second.added.size() == 1'000);
  CHECK(second.added.back().filter.min_change == 0.0);
  CHECK_FALSE(first.added.front().filter.min_change);
}

TEST_CASE("an empty set is said") {
  std::string stream;
  wire::append_metric_subscriptions(stream, {true, {}, {}}, 1 << 20);
  auto frames = frames_in(stream);
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].metric_subscriptions().full());
}

TEST_CASE("lists are counted before they are parsed") {
  wire::Frame x;
  for (int i = 0; i < 1'025; ++i)
    x.mutable_metric_subscriptions()->add_added()->set_pattern("metric:a.org/b/c");
  CHECK(code_for(x) == ec::limit_exceeded);
  x.Clear();
  for (int i = 0; i < 1'025; ++i)
    x.mutable_metric_subscriptions()->add_ended("metric:a.org/b/c");
  CHECK(code_for(x) == ec::limit_exceeded);
  x.Clear();
  for (int i = 0; i < 4'097; ++i)
    x.mutable_metric_values()->add_values();
  CHECK(code_for(x) == ec::limit_exceeded);
  x.mutable_metric_values()->mutable_values()->RemoveLast();
  CHECK(code_for(x) == ec::none);
}

TEST_CASE("values that cannot be are told from those that can") {
  CHECK_FALSE(check_metric(some_value()));
  auto code = [](auto change) {
    auto x = some_value();
    change(x);
    return code_of(check_metric(x));
  };
  CHECK(code([](auto& x) { x.topic = "rpc:a.org/n1/speed"; }) == ec::malformed);
  CHECK(code([](auto& x) { x.topic = "a.org/n1/speed"; }) == ec::malformed);
  CHECK(code([](auto& x) { x.topic = "metric:a.org/n1/+"; }) == ec::malformed);
  CHECK(code([](auto& x) { x.topic = "metric:a.org/n1/$x"; }) == ec::malformed);
  CHECK(code([](auto& x) { x.topic = "metric:A.org/n1/speed"; }) == ec::malformed);
  CHECK(code([](auto& x) { x.topic = ""; }) == ec::malformed);
  CHECK(code([](auto& x) { x.source = "metric:a.org/n1/x"; }) == ec::malformed);
  CHECK(code([](auto& x) { x.source = ""; }) == ec::malformed);
  CHECK(code([](auto& x) { x.value = "{"; }) == ec::malformed);
  CHECK(code([](auto& x) { x.value = ""; }) == ec::malformed);
  CHECK(code([](auto& x) { x.value = "1}"; }) == ec::malformed);
  CHECK(code([](auto& x) { x.value = "\"" + std::string(64 << 10, 'x') + "\""; }) == ec::too_large);
}

TEST_CASE("subscriptions that cannot be are told from those that can") {
  CHECK_FALSE(check_metric_subscription(pattern("metric:a.org/+/speed")));
  CHECK_FALSE(check_metric_subscription(pattern("metric:a.org/#")));
  for (auto x : {"", "metric:", "a.org/n1/x", "rpc:a.org/n1/x", "+:a.org/n1/x", "metric:a.org/#/x",
                 "metric:a.org/x+", "metric:a.org/$x", "metric:A.org/x", "metric:a.org/x/"})
    CHECK_MESSAGE(code_of(check_metric_subscription(pattern(x))) == ec::malformed, x);
  metric_subscription x = pattern("metric:a.org/n1/x");
  x.filter.min_interval_ms = metric_interval_ms_max + 1;
  CHECK(code_of(check_metric_subscription(x)) == ec::malformed);
  x.filter.min_interval_ms = 0;
  for (auto change :
       {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    x.filter.min_change = change;
    CHECK(code_of(check_metric_subscription(x)) == ec::malformed);
  }
}

TEST_CASE("which nodes a pattern may concern") {
  CHECK(may_match_below("metric:a.org/n1/speed", "a.org/n1"));
  CHECK(may_match_below("metric:a.org/+/speed", "a.org/n1"));
  CHECK(may_match_below("metric:a.org/#", "a.org/vin/1"));
  CHECK(may_match_below("metric:#", "a.org/vin/1"));
  CHECK(may_match_below("metric:a.org/vin/1", "a.org/vin/1"));
  CHECK_FALSE(may_match_below("metric:a.org/n2/speed", "a.org/n1"));
  CHECK_FALSE(may_match_below("metric:a.org/+", "a.org/vin/1"));
  CHECK_FALSE(may_match_below("metric:a.org/n1x/speed", "a.org/n1"));
  CHECK(literal_part("metric:a.org/n1/speed") == "metric:a.org/n1/speed");
  CHECK(literal_part("metric:a.org/+/speed") == "metric:a.org");
  CHECK(literal_part("metric:a.org/n1/#") == "metric:a.org/n1");
}

TEST_SUITE_END();
