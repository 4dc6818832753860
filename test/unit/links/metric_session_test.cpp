// SPDX-License-Identifier: MPL-2.0
//
// Metrics on one session: what a peer may send and when, and what becomes of values that a slow
// peer does not read.

#include "actors/links/native_session.hpp"
#include "rvi.pb.h"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

std::string framed(const wire::Frame& x) {
  std::string result;
  wire::append_frame(result, x);
  return result;
}

metric_value_ptr value(const std::string& topic, uint64_t seq, std::string text = "1") {
  auto x = std::make_shared<metric_value>();
  x->topic = "metric:a.org/n1/" + topic;
  x->source = "a.org/n1/sensor";
  x->epoch = 1;
  x->seq = seq;
  x->value = std::move(text);
  return x;
}

struct fixture {
  ec feed(const wire::Frame& x) { return code_of(session.receive(framed(x))); }

  template <class T>
  std::optional<T> take() {
    while (auto event = session.next())
      if (auto* x = std::get_if<T>(&*event))
        return std::move(*x);
    return std::nullopt;
  }

  void bring_up(uint64_t frame_bytes_max = 1 << 20) {
    wire::Frame authorize;
    authorize.mutable_authorize()->set_body("\x08\x02");
    REQUIRE(feed(authorize) == ec::none);
    session.introduce("\x08\x02", "signature");
    REQUIRE_FALSE(session.admitted(frame_bytes_max));
    session.announce(true, {});
    wire::Frame announce;
    announce.mutable_announce()->set_full(true);
    REQUIRE(feed(announce) == ec::none);
    session.announcement_accepted();
    REQUIRE(session.is_up());
    session.take_output();
  }

  /// The values of all frames sent.
  std::vector<wire::MetricValue> sent(size_t* frames = nullptr) {
    wire::frame_reader reader{1 << 20};
    reader.append(session.take_output());
    std::vector<wire::MetricValue> result;
    for (auto bytes = reader.next(); bytes && *bytes; bytes = reader.next()) {
      wire::Frame frame;
      REQUIRE_FALSE(wire::parse_frame(**bytes, {}, frame));
      for (auto& x : frame.metric_values().values())
        result.push_back(x);
      if (frames)
        ++*frames;
    }
    return result;
  }

  native_session session{native_session_limits{}};
};

wire::Frame wanting(const std::string& pattern) {
  wire::Frame x;
  x.mutable_metric_subscriptions()->set_full(true);
  x.mutable_metric_subscriptions()->add_added()->set_pattern(pattern);
  return x;
}

} // namespace

TEST_SUITE_BEGIN("metrics on a session");

TEST_CASE_FIXTURE(fixture, "nothing of metrics is taken before both are up") {
  auto x = wanting("metric:a.org/n1/x");
  SUBCASE("before Authorize") {}
  SUBCASE("before the announcement") {
    wire::Frame authorize;
    authorize.mutable_authorize()->set_body("\x08\x02");
    REQUIRE(feed(authorize) == ec::none);
    REQUIRE_FALSE(session.admitted(1 << 20));
  }
  SUBCASE("values") {
    x.Clear();
    x.mutable_metric_values()->add_values()->set_topic("metric:a.org/n1/x");
  }
  CHECK(feed(x) == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "subscriptions and values are passed on") {
  bring_up();
  REQUIRE(feed(wanting("metric:a.org/n1/x")) == ec::none);
  auto wanted = take<peer_subscriptions>();
  REQUIRE(wanted);
  CHECK(wanted->content.full);
  REQUIRE(wanted->content.added.size() == 1);
  CHECK(wanted->content.added[0].pattern == "metric:a.org/n1/x");
  wire::Frame x;
  x.mutable_metric_values()->add_values()->set_topic("metric:a.org/n1/x");
  REQUIRE(feed(x) == ec::none);
  auto values = take<peer_values>();
  REQUIRE(values);
  CHECK(values->values.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a frame of metrics over the limits ends the session") {
  bring_up();
  wire::Frame x;
  for (int i = 0; i < 4'097; ++i)
    x.mutable_metric_values()->add_values();
  CHECK(feed(x) == ec::limit_exceeded);
}

TEST_CASE_FIXTURE(fixture, "what waits leaves in one frame") {
  bring_up();
  metric_queue waiting;
  for (uint64_t i = 1; i <= 100; ++i)
    waiting.add(value("t" + std::to_string(i), i));
  session.publish(waiting, 1 << 20);
  CHECK(waiting.empty());
  size_t frames = 0;
  CHECK(sent(&frames).size() == 100);
  CHECK(frames == 1);
}

TEST_CASE_FIXTURE(fixture, "no frame is larger than the peer takes") {
  bring_up(1'000);
  metric_queue waiting;
  waiting.add(value("large", 1, "\"" + std::string(2'000, 'x') + "\"")); // can never go
  for (uint64_t i = 2; i <= 20; ++i)
    waiting.add(value("t" + std::to_string(i), i, "\"" + std::string(100, 'x') + "\""));
  size_t frames = 0;
  while (!waiting.empty())
    session.publish(waiting, 1 << 20);
  CHECK(sent(&frames).size() == 19);
  CHECK(frames >= 3);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("metrics that wait");

TEST_CASE("the newest of each topic waits") {
  metric_queue x;
  CHECK(x.add(value("a", 1)) == 0);
  CHECK(x.add(value("b", 2)) == 0);
  CHECK(x.add(value("a", 3)) == 1);
  CHECK(x.add(value("a", 2)) == 1); // came late
  CHECK(x.size() == 2);
  CHECK(x.take()->seq == 3); // it keeps its place
  CHECK(x.take()->seq == 2);
  CHECK(x.take() == nullptr);
  CHECK(x.bytes() == 0);
}

TEST_CASE("sources of one topic are told apart") {
  metric_queue x;
  x.add(value("a", 1));
  auto other = std::make_shared<metric_value>(*value("a", 2));
  other->source = "a.org/n1/other";
  CHECK(x.add(other) == 0);
  CHECK(x.size() == 2);
}

TEST_CASE("at a bound the one that waits longest is given up") {
  metric_queue x{{3, 1 << 20, 1 << 18}};
  for (uint64_t i = 1; i <= 3; ++i)
    CHECK(x.add(value(std::to_string(i), i)) == 0);
  CHECK(x.add(value("4", 4)) == 1);
  CHECK(x.size() == 3);
  CHECK(x.front()->seq == 2);
  metric_queue small{{100, 1'000, 1 << 18}};
  for (uint64_t i = 1; i <= 50; ++i)
    small.add(value(std::to_string(i), i, "\"" + std::string(100, 'x') + "\""));
  CHECK(small.bytes() <= 1'000);
  CHECK(small.size() >= 1);
  // A larger value in the place of a small one counts too.
  small.add(value("50", 51, "\"" + std::string(800, 'x') + "\""));
  CHECK(small.size() == 1);
  CHECK(small.take()->seq == 51);
}

TEST_SUITE_END();
