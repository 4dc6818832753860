// SPDX-License-Identifier: MPL-2.0
//
// Metrics of one node: filters, rights, what is kept, what outlives a restart, and bounds.

#include "test/unit/routing/metric_hub_fixture.hpp"

using namespace rvi;
using namespace test;

namespace {

using texts = std::vector<std::string>;

struct fixture : metric_fixture {
  fixture() {
    connect(dashboard, 1);
    connect(sensor, 2);
  }
};

} // namespace

TEST_SUITE_BEGIN("metric hub");

TEST_CASE_FIXTURE(fixture, "a value reaches who subscribed, and nobody else") {
  CHECK(subscribe(dashboard, speed) == ec::none);
  CHECK(publish(speed, "87.50") == ec::none);
  CHECK(publish("metric:jlr.com/vin/1234/fuel", "3") == ec::none);
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].client == 1);
  CHECK(seen[0].value->value == "87.50");
  CHECK(seen[0].value->topic == speed);
  CHECK(seen[0].value->source == sensor);
  CHECK(seen[0].value->published_ms == now_ms());
  CHECK(unsubscribe(dashboard, speed) == ec::none);
  CHECK(unsubscribe(dashboard, speed) == ec::not_found);
  CHECK(publish(speed, "88") == ec::none);
  CHECK(seen.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "patterns take what MQTT says they do") {
  auto topics = [&] {
    std::set<std::string> result;
    for (auto& x : seen)
      result.insert(x.value->topic.substr(std::string{"metric:jlr.com/vin/1234/"}.size()));
    return result;
  };
  auto publish_all = [&] {
    for (auto topic : {"tyre", "tyre/1", "tyre/1/pressure", "tyre/2/pressure", "door/1/pressure"})
      CHECK(publish("metric:jlr.com/vin/1234/" + std::string{topic}, "1") == ec::none);
  };
  SUBCASE("one level") {
    CHECK(subscribe(dashboard, "metric:jlr.com/vin/1234/tyre/+/pressure") == ec::none);
    publish_all();
    CHECK(topics() == std::set<std::string>{"tyre/1/pressure", "tyre/2/pressure"});
  }
  SUBCASE("the rest, with its parent") {
    CHECK(subscribe(dashboard, "metric:jlr.com/vin/1234/tyre/#") == ec::none);
    publish_all();
    CHECK(topics()
          == std::set<std::string>{"tyre", "tyre/1", "tyre/1/pressure", "tyre/2/pressure"});
  }
  SUBCASE("the name alone, nothing below it") {
    CHECK(subscribe(dashboard, "metric:jlr.com/vin/1234/tyre") == ec::none);
    publish_all();
    CHECK(topics() == std::set<std::string>{"tyre"});
  }
}

TEST_CASE_FIXTURE(fixture, "who has several subscriptions to a topic gets a value once") {
  CHECK(subscribe(dashboard, speed) == ec::none);
  CHECK(subscribe(dashboard, "metric:jlr.com/vin/1234/#", {1'000, {}}) == ec::none);
  for (auto x : {"1", "2", "3"})
    CHECK(publish(speed, x) == ec::none);
  CHECK(values_of(1) == texts{"1", "2", "3"});
  pass(5'000);
  CHECK(values_of(1) == texts{"1", "2", "3"});
}

TEST_CASE_FIXTURE(fixture, "within the interval the newest waits, and comes when it ends") {
  CHECK(subscribe(dashboard, speed, {1'000, {}}) == ec::none);
  for (auto x : {"1", "2", "3"})
    CHECK(publish(speed, x) == ec::none);
  CHECK(values_of(1) == texts{"1"});
  pass(950);
  CHECK(values_of(1) == texts{"1"});
  pass(100);
  CHECK(values_of(1) == texts{"1", "3"});
  pass(10'000);
  CHECK(values_of(1) == texts{"1", "3"});
  CHECK(publish(speed, "4") == ec::none); // nothing for long: at once
  CHECK(values_of(1) == texts{"1", "3", "4"});
}

TEST_CASE_FIXTURE(fixture, "an expired value does not come when the interval ends") {
  CHECK(subscribe(dashboard, speed, {1'000, {}}) == ec::none);
  CHECK(publish(speed, "1") == ec::none);
  CHECK(publish(speed, "2", false, now_ms() + 500) == ec::none);
  pass(2'000);
  CHECK(values_of(1) == texts{"1"});
}

TEST_CASE_FIXTURE(fixture, "small changes of a number are left out, others never") {
  CHECK(subscribe(dashboard, speed, {0, 0.5}) == ec::none);
  for (auto x : {"10", "10.4", "9.6", "10.5", "10.9", "11.0", R"("n/a")", R"("n/a")", "11"})
    CHECK(publish(speed, x) == ec::none);
  CHECK(values_of(1) == texts{"10", "10.5", "11.0", R"("n/a")", "11"});
}

TEST_CASE_FIXTURE(fixture, "with a change of 0 equal values are left out") {
  CHECK(subscribe(dashboard, speed, {0, 0.0}) == ec::none);
  for (auto x : {"1", "1", "1.0", "2", "true", "true", "false"})
    CHECK(publish(speed, x) == ec::none);
  CHECK(values_of(1) == texts{"1", "2", "true", "false"});
}

TEST_CASE_FIXTURE(fixture, "what has changed back when the interval ends is not sent") {
  CHECK(subscribe(dashboard, speed, {1'000, 0.5}) == ec::none);
  CHECK(publish(speed, "1") == ec::none);
  CHECK(publish(speed, "5") == ec::none);
  CHECK(publish(speed, "1.1") == ec::none);
  pass(5'000);
  CHECK(values_of(1) == texts{"1"});
}

TEST_CASE_FIXTURE(fixture, "who subscribes gets what is kept, as long as it holds") {
  CHECK(publish(speed, "1") == ec::none);
  CHECK(publish("metric:jlr.com/vin/1234/fuel", "2", false, now_ms() + 1'000) == ec::none);
  pass(1'500);
  CHECK(subscribe(dashboard, "metric:jlr.com/vin/1234/#") == ec::none);
  CHECK(values_of(1) == texts{"1"});
}

TEST_CASE_FIXTURE(fixture, "a service that comes again gets the newest values") {
  CHECK(subscribe(dashboard, speed) == ec::none);
  connect(dashboard, 0);
  for (auto x : {"1", "2"})
    CHECK(publish(speed, x) == ec::none);
  CHECK(seen.empty());
  connect(dashboard, 7);
  CHECK(values_of(7) == texts{"2"});
  // But not if the name is somebody else's now.
  connect(dashboard, 0);
  connect(dashboard, 8, "uid:2");
  CHECK(publish(speed, "3") == ec::none);
  CHECK(values_of(8).empty());
}

TEST_CASE_FIXTURE(fixture, "a service that unregisters has no subscriptions any more") {
  CHECK(subscribe(dashboard, speed) == ec::none);
  self->send(hub, atom::unreg_v, std::string{dashboard});
  settle();
  connect(dashboard, 1);
  CHECK(publish(speed, "1") == ec::none);
  restart();
  connect(dashboard, 1);
  CHECK(publish(speed, "2") == ec::none);
  CHECK(seen.empty());
}

TEST_CASE_FIXTURE(fixture, "a node publishes names of its own, and no reserved ones") {
  CHECK(publish("metric:jlr.com/vin/12345/speed", "1") == ec::unauthorized);
  CHECK(publish("metric:jlr.com/cloud/load", "1") == ec::unauthorized);
  CHECK(publish("metric:jlr.com/vin/1234/admin/x", "1") == ec::unauthorized);
  CHECK(publish(speed, "\"" + std::string(metric_value_bytes_max, 'x') + "\"") == ec::too_large);
  revoke(credential);
  CHECK(publish(speed, "1") == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "a right to the whole pattern is needed to subscribe") {
  CHECK(subscribe(dashboard, "metric:jlr.com/vin/1234/#") == ec::none);
  CHECK(subscribe(dashboard, "metric:jlr.com/vin/+/speed") == ec::unauthorized);
  CHECK(subscribe(dashboard, "metric:jlr.com/#") == ec::unauthorized);
  CHECK(subscribe(dashboard, "metric:jlr.com/vin/1235/speed") == ec::unauthorized);
  CHECK(subscribe(dashboard, "metric:jlr.com/vin/1234/admin/#") == ec::unauthorized);
  CHECK(subscribe("jlr.com/vin/9/services/x", speed) == ec::unauthorized);
  CHECK(subscribe(dashboard, "metric:jlr.com/cloud/+/load") == ec::none);
}

TEST_CASE_FIXTURE(fixture, "without its right a subscriber gets nothing more") {
  CHECK(subscribe(dashboard, speed, {1'000, {}}) == ec::none);
  CHECK(publish(speed, "1") == ec::none);
  CHECK(publish(speed, "2") == ec::none); // waits
  auto other = provisioning.issue(
    provisioning.claims(key.public_part(), {own_address}, {"metric:jlr.com/cloud"}, now_s()));
  auto next = std::make_shared<rights>(*context->rights->load());
  next->own = {other};
  context->rights->publish(next);
  pass(2'000);
  CHECK(publish(speed, "3") == ec::none);
  CHECK(values_of(1) == texts{"1"});
  // It may come back.
  next = std::make_shared<rights>(*next);
  next->own = {credential};
  context->rights->publish(next);
  CHECK(publish(speed, "4") == ec::none);
  CHECK(values_of(1) == texts{"1", "4"});
}

TEST_CASE_FIXTURE(fixture, "a right that ends with its credential is noticed") {
  CHECK(subscribe(dashboard, speed) == ec::none);
  CHECK(publish(speed, "1") == ec::none);
  time->set_wall_ms(credential->expires_s * 1'000 + 1);
  CHECK(publish(speed, "2") == ec::unauthorized); // of the publisher too
  auto renewed = provisioning.issue(
    provisioning.claims(key.public_part(), {own_address}, {"metric:jlr.com/cloud"}, now_s()));
  auto next = std::make_shared<rights>(*context->rights->load());
  next->own = {credential, renewed};
  context->rights->publish(next);
  CHECK(publish(speed, "3") == ec::none);
  CHECK(values_of(1) == texts{"1"});
}

TEST_CASE_FIXTURE(fixture, "subscriptions and retained values outlive a restart") {
  CHECK(subscribe(dashboard, "metric:jlr.com/vin/1234/#", {500, 0.5}) == ec::none);
  CHECK(publish(speed, "1", true) == ec::none);
  CHECK(publish("metric:jlr.com/vin/1234/fuel", "2") == ec::none);
  CHECK(publish("metric:jlr.com/vin/1234/door", "3", true, now_ms() + 1'000) == ec::none);
  pass(2'000);
  restart();
  connect(dashboard, 4);
  CHECK(values_of(4) == texts{"1"});
  CHECK(publish(speed, "1.2") == ec::none); // the filter too
  CHECK(publish(speed, "9") == ec::none);
  CHECK(values_of(4) == texts{"1"});
  pass(600);
  CHECK(values_of(4) == texts{"1", "9"});
  CHECK(unsubscribe(dashboard, "metric:jlr.com/vin/1234/#") == ec::none);
  restart();
  connect(dashboard, 5);
  CHECK(publish(speed, "10") == ec::none);
  CHECK(seen.empty());
}

TEST_CASE_FIXTURE(fixture, "subscribing again changes the filter") {
  CHECK(subscribe(dashboard, speed, {60'000, {}}) == ec::none);
  CHECK(publish(speed, "1") == ec::none);
  CHECK(publish(speed, "2") == ec::none);
  CHECK(subscribe(dashboard, speed) == ec::none);
  CHECK(publish(speed, "3") == ec::none);
  CHECK(values_of(1) == texts{"1", "2", "3"});
}

TEST_CASE_FIXTURE(fixture, "at a bound there is `busy`, and what was taken is kept") {
  config.subscriptions_per_service_max = 2;
  config.subscriptions_max = 3;
  config.topics_max = 2;
  restart();
  CHECK(subscribe(dashboard, speed) == ec::none);
  CHECK(subscribe(dashboard, "metric:jlr.com/vin/1234/a") == ec::none);
  CHECK(subscribe(dashboard, "metric:jlr.com/vin/1234/b") == ec::busy);
  CHECK(subscribe(dashboard, speed, {1, {}}) == ec::none); // a change is no new one
  CHECK(subscribe(sensor, "metric:jlr.com/vin/1234/a") == ec::none);
  CHECK(subscribe(sensor, "metric:jlr.com/vin/1234/b") == ec::busy);
  CHECK(publish(speed, "1", false, now_ms() + 1'000) == ec::none);
  CHECK(publish("metric:jlr.com/vin/1234/a", "1") == ec::none);
  CHECK(publish("metric:jlr.com/vin/1234/b", "1") == ec::busy);
  CHECK(publish("metric:jlr.com/vin/1234/a", "2") == ec::none);
  pass(1'500); // one has expired: its room is free
  CHECK(publish("metric:jlr.com/vin/1234/b", "1") == ec::none);
}

TEST_CASE_FIXTURE(fixture, "bytes are bounded too") {
  config.bytes_max = 2'000;
  restart();
  CHECK(publish(speed, "1") == ec::none);
  CHECK(publish(speed, "\"" + std::string(2'000, 'x') + "\"") == ec::busy);
  CHECK(publish(speed, "2") == ec::none);
  CHECK(subscribe(dashboard, speed) == ec::none);
}

TEST_CASE_FIXTURE(fixture, "a thousand subscribers get a value in one message") {
  config.subscriptions_max = 2'000;
  restart();
  for (client_id i = 1; i <= 1'000; ++i) {
    auto name = "jlr.com/vin/1234/services/s" + std::to_string(i);
    connect(name, i);
    REQUIRE(subscribe(name, speed) == ec::none);
  }
  messages = 0;
  CHECK(publish(speed, "1") == ec::none);
  CHECK(seen.size() == 1'000);
  CHECK(messages == 1);
}

TEST_CASE_FIXTURE(fixture, "a hub with nothing to do does not wake itself") {
  CHECK(subscribe(dashboard, speed, {1'000, {}}) == ec::none);
  CHECK(publish(speed, "1") == ec::none);
  pass(5'000);
  CHECK(sched.clock().schedule().empty());
}

TEST_SUITE_END();
