// SPDX-License-Identifier: MPL-2.0
//
// Metrics between nodes: what peers are told and sent, what they may want and send, and several
// links to one.

#include "test/support/silent_data_link.hpp"
#include "test/unit/routing/metric_hub_fixture.hpp"

using namespace rvi;
using namespace test;

namespace {

using texts = std::vector<std::string>;
constexpr const char* all_here = "metric:jlr.com/vin/1234/#";
constexpr const char* cloud_load = "metric:jlr.com/cloud/load";

struct fixture : metric_fixture {
  fixture() {
    connect(dashboard, 1);
    connect(sensor, 2);
  }

  metric_peer_ptr cloud() { return peer("jlr.com/cloud", {"metric:jlr.com/vin"}); }

  static texts got(const metric_peer_ptr& x) {
    texts result;
    for (auto& value : x->got)
      result.push_back(value->value);
    return result;
  }
};

} // namespace

TEST_SUITE_BEGIN("metric hub and peers");

// -- what we want -------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "a peer is told what is wanted of its own names, and of no others") {
  CHECK(subscribe(dashboard, cloud_load) == ec::none);
  CHECK(subscribe(dashboard, "metric:jlr.com/phone/#") == ec::none);
  CHECK(subscribe(dashboard, speed) == ec::none);
  auto x = cloud();
  REQUIRE(x->told.size() == 1);
  CHECK(x->told[0].full);
  REQUIRE(x->told[0].added.size() == 1);
  CHECK(x->told[0].added[0].pattern == cloud_load);
  CHECK(subscribe(dashboard, "metric:jlr.com/cloud/+/rate") == ec::none);
  REQUIRE(x->told.size() == 2);
  CHECK_FALSE(x->told[1].full);
  CHECK(x->told[1].added[0].pattern == "metric:jlr.com/cloud/+/rate");
  CHECK(unsubscribe(dashboard, cloud_load) == ec::none);
  REQUIRE(x->told.size() == 3);
  CHECK(x->told[2].ended == texts{cloud_load});
}

TEST_CASE_FIXTURE(fixture, "a peer of which nothing is wanted is told nothing") {
  CHECK(subscribe(dashboard, speed) == ec::none);
  auto x = cloud();
  CHECK(publish(speed, "1") == ec::none);
  CHECK(x->told.empty());
  CHECK(x->got.empty());
}

TEST_CASE_FIXTURE(fixture, "several services want the loosest of their filters together") {
  auto x = cloud();
  CHECK(subscribe(dashboard, cloud_load, {1'000, 2.0}) == ec::none);
  CHECK(subscribe(sensor, cloud_load, {500, 3.0}) == ec::none);
  REQUIRE(x->told.size() == 2);
  CHECK(x->told[1].added[0].filter.min_interval_ms == 500);
  CHECK(x->told[1].added[0].filter.min_change == 2.0);
  CHECK(subscribe(sensor, cloud_load) == ec::none);
  CHECK_FALSE(x->told.back().added[0].filter.min_change);
  CHECK(x->told.back().added[0].filter.min_interval_ms == 0);
  CHECK(unsubscribe(sensor, cloud_load) == ec::none);
  CHECK(x->told.back().ended.empty());
  CHECK(x->told.back().added[0].filter.min_interval_ms == 1'000);
}

TEST_CASE_FIXTURE(fixture, "everything is said anew after a restart and on each link") {
  CHECK(subscribe(dashboard, cloud_load) == ec::none);
  auto x = cloud();
  bring_down(x);
  bring_up(x);
  CHECK(x->told.size() == 2);
  CHECK(x->told[1].full);
  restart();
  bring_up(x);
  REQUIRE(x->told.size() == 3);
  CHECK(x->told[2].full);
  CHECK(x->told[2].added.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a link is asked for as long as one is wanted and there is none") {
  std::vector<setup_request> asked;
  self->send(hub, atom::attach_v,
             spawn(test::silent_data_link,
                   test::data_link_listener{[&asked](auto& x) { asked.push_back(x); }, {}}));
  CHECK(subscribe(dashboard, speed) == ec::none); // here
  pass(1'000);
  CHECK(asked.empty());
  CHECK(subscribe(dashboard, cloud_load) == ec::none);
  CHECK(subscribe(dashboard, "metric:jlr.com/cloud/+/rate") == ec::none);
  pass(1'000);
  REQUIRE(asked.size() == 1); // one link for both
  CHECK(asked[0].network_addresses == texts{"cloud.jlr.com:8810"});
  CHECK(asked[0].wanted_ms == config.demand_ms);
  pass(config.demand_ms, 1'000);
  CHECK(asked.size() >= 2);
  auto before = asked.size();
  auto x = cloud();
  pass(2 * config.demand_ms, 1'000);
  CHECK(asked.size() == before);
  bring_down(x);
  pass(1'000);
  CHECK(asked.size() == before + 1);
  CHECK(unsubscribe(dashboard, cloud_load) == ec::none);
  CHECK(unsubscribe(dashboard, "metric:jlr.com/cloud/+/rate") == ec::none);
  pass(2 * config.demand_ms, 1'000);
  CHECK(asked.size() == before + 1);
}

// -- what peers want ----------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "a peer gets what is kept and what comes") {
  auto x = cloud();
  CHECK(publish(speed, "1") == ec::none);
  wants(x, {all_here});
  CHECK(publish(speed, "2") == ec::none);
  CHECK(got(x) == texts{"1", "2"});
  wants(x, {"metric:jlr.com/vin/1234/fuel"}, true);
  CHECK(publish(speed, "3") == ec::none);
  CHECK(got(x) == texts{"1", "2"});
}

TEST_CASE_FIXTURE(fixture, "values published together leave together") {
  auto x = cloud();
  wants(x, {all_here});
  std::vector<metric_call> calls;
  for (int i = 0; i < 100; ++i) {
    publish_metric call;
    call.content.topic = speed + std::to_string(i);
    call.content.source = sensor;
    call.content.epoch = epoch;
    call.content.value = "1";
    calls.emplace_back(std::move(call));
  }
  auto answer = ask<std::vector<caf::error>>(hub, atom::call_v, std::move(calls));
  REQUIRE(answer);
  CHECK(x->got.size() == 100);
  CHECK(counted("rvi_metric_to_peers_total") == 100);
}

TEST_CASE_FIXTURE(fixture, "a peer gets nothing outside its rights") {
  auto x = peer("jlr.com/phone", {"metric:jlr.com/vin/1234/door", "rpc:jlr.com/vin/1234"});
  CHECK(publish(speed, "1") == ec::none);
  for (auto pattern : {all_here, speed, "metric:jlr.com/vin/+/door", "metric:jlr.com/#"})
    wants(x, {pattern}, false);
  CHECK(counted("rvi_metric_refused_total") == 4);
  wants(x, {"metric:jlr.com/vin/1234/door/#"}, false);
  CHECK(publish(speed, "2") == ec::none);
  CHECK(publish("metric:jlr.com/vin/1234/door/1", "3") == ec::none);
  CHECK(got(x) == texts{"3"});
  CHECK(x->closed.empty());
}

TEST_CASE_FIXTURE(fixture, "a peer whose credential is revoked gets nothing more") {
  auto x = cloud();
  wants(x, {all_here}, true, {1'000, {}});
  CHECK(publish(speed, "1") == ec::none);
  CHECK(publish(speed, "2") == ec::none); // waits
  revoke(x->credential);
  pass(2'000);
  CHECK(publish(speed, "3") == ec::none);
  CHECK(got(x) == texts{"1"});
}

TEST_CASE_FIXTURE(fixture, "subscriptions that are none end the link") {
  auto x = cloud();
  SUBCASE("another type") {
    wants(x, {"rpc:jlr.com/vin/1234/x"});
  }
  SUBCASE("no pattern") {
    wants(x, {"metric:jlr.com/#/x"});
  }
  SUBCASE("an interval beyond a day") {
    wants(x, {speed}, true, {metric_interval_ms_max + 1, {}});
  }
  CHECK(x->closed == "malformed");
  wants(x, {all_here});
  CHECK(publish(speed, "1") == ec::none);
  CHECK(x->got.empty());
}

TEST_CASE_FIXTURE(fixture, "subscriptions of all peers are bounded") {
  config.remote_subscriptions_max = 3;
  restart();
  auto x = cloud();
  wants(x, {"metric:jlr.com/vin/1234/a", "metric:jlr.com/vin/1234/b"});
  auto y = peer("jlr.com/phone", {"metric:jlr.com/vin"});
  wants(y, {"metric:jlr.com/vin/1234/a", "metric:jlr.com/vin/1234/b"});
  CHECK(counted("rvi_metric_refused_total") == 1);
  CHECK(publish("metric:jlr.com/vin/1234/a", "1") == ec::none);
  CHECK(publish("metric:jlr.com/vin/1234/b", "2") == ec::none);
  CHECK(got(x) == texts{"1", "2"});
  CHECK(got(y) == texts{"1"});
  bring_down(x); // its places are free
  wants(y, {"metric:jlr.com/vin/1234/b"}, false);
  CHECK(got(y) == texts{"1", "2"});
}

TEST_CASE_FIXTURE(fixture, "of several links to one peer the newest is served, then the older") {
  auto x = cloud();
  wants(x, {all_here});
  auto y = std::make_shared<metric_peer>(*x);
  y->told.clear();
  bring_up(y);
  wants(y, {all_here});
  CHECK(publish(speed, "1") == ec::none);
  CHECK(got(x).empty());
  CHECK(got(y) == texts{"1"});
  bring_down(y);
  CHECK(got(x) == texts{"1"});
  CHECK(publish(speed, "2") == ec::none);
  CHECK(got(x) == texts{"1", "2"});
}

// -- what peers publish -------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "values of a peer reach who subscribed; old ones and others do not") {
  CHECK(subscribe(dashboard, cloud_load) == ec::none);
  auto x = cloud();
  sends(x, of("jlr.com/cloud", "1", 5));
  sends(x, of("jlr.com/cloud", "41", 4));
  sends(x, of("jlr.com/cloud", "51", 5));
  sends(x, of("jlr.com/cloud", "2", 6));
  CHECK(values_of(1) == texts{"1", "2"});
  // The publisher has started again: its numbers begin anew, in a higher epoch.
  sends(x, of("jlr.com/cloud", "3", 1, 2));
  sends(x, of("jlr.com/cloud", "71", 7, 1));
  CHECK(values_of(1) == texts{"1", "2", "3"});
  auto other = of("jlr.com/cloud", "9", 9, 9);
  other.topic = "metric:jlr.com/cloud/unwanted";
  sends(x, other);
  CHECK(counted("rvi_metric_dropped_total") == 1);
  CHECK(x->closed.empty());
}

TEST_CASE_FIXTURE(fixture, "a peer that speaks for names of others is closed") {
  CHECK(subscribe(dashboard, "metric:jlr.com/phone/#") == ec::none);
  CHECK(subscribe(dashboard, "metric:jlr.com/cloud/#") == ec::none);
  auto x = cloud();
  auto value = of("jlr.com/cloud", "1", 1);
  SUBCASE("the topic of another node") {
    value.topic = "metric:jlr.com/phone/load";
  }
  SUBCASE("our own topic") {
    value.topic = speed;
  }
  SUBCASE("a name that only begins alike") {
    value.topic = "metric:jlr.com/cloudy/load";
  }
  SUBCASE("the service of another node") {
    value.source = "jlr.com/phone/monitor";
  }
  sends(x, value);
  CHECK(x->closed == "unauthorized");
  CHECK(seen.empty());
}

TEST_CASE_FIXTURE(fixture, "a peer that sends what is no metric is closed") {
  CHECK(subscribe(dashboard, "metric:jlr.com/cloud/#") == ec::none);
  auto x = cloud();
  auto value = of("jlr.com/cloud", "1", 1);
  SUBCASE("no JSON") {
    value.value = R"(1},"x":{)";
  }
  SUBCASE("another type") {
    value.topic = "rpc:jlr.com/cloud/load";
  }
  sends(x, value);
  CHECK(x->closed == "malformed");
  CHECK(seen.empty());
}

TEST_CASE_FIXTURE(fixture, "the newest of a peer waits for a service that is away") {
  CHECK(subscribe(dashboard, cloud_load) == ec::none);
  connect(dashboard, 0);
  auto x = cloud();
  sends(x, of("jlr.com/cloud", "1", 1));
  sends(x, of("jlr.com/cloud", "2", 2));
  bring_down(x);
  SUBCASE("and comes with it") {
    connect(dashboard, 3);
    CHECK(values_of(3) == texts{"2"});
  }
  SUBCASE("but not if its publisher is revoked meanwhile") {
    revoke(x->credential);
    connect(dashboard, 3);
    CHECK(values_of(3).empty());
  }
  SUBCASE("and goes with the last who wanted it") {
    CHECK(unsubscribe(dashboard, cloud_load) == ec::none);
    CHECK(subscribe(dashboard, cloud_load) == ec::none);
    connect(dashboard, 3);
    CHECK(values_of(3).empty());
  }
}

TEST_CASE_FIXTURE(fixture, "what is kept of one peer is bounded") {
  config.peer_topics_max = 2;
  restart();
  connect(dashboard, 1);
  CHECK(subscribe(dashboard, "metric:jlr.com/cloud/#") == ec::none);
  auto x = cloud();
  for (uint64_t i = 1; i <= 4; ++i) {
    auto value = of("jlr.com/cloud", std::to_string(i), i);
    value.topic += std::to_string(i);
    sends(x, value);
  }
  CHECK(values_of(1) == texts{"1", "2"});
  CHECK(counted("rvi_metric_dropped_total") == 2);
}

TEST_SUITE_END();
