// SPDX-License-Identifier: MPL-2.0
//
// Metrics between two whole nodes on virtual time: links that are asked for, that go, and nodes
// that start again.

#include "runtime/observe/log.hpp"
#include "test/support/vehicle_and_cloud.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace rvi;

namespace {

using texts = std::vector<std::string>;
constexpr const char* load = "metric:jlr.com/cloud/load";

struct fixture : test::vehicle_and_cloud {
  fixture()
    : vehicle_and_cloud({{"metric:jlr.com/cloud"}, "dashboard"},
                        {{"jlr.com/vin/+/services"}, "monitor"}) {}

  ec last_answer(test::loopback_node& x) { return code_of(x.services->answers.back().error); }

  ec subscribe(const std::string& pattern, metric_filter filter = {}) {
    vehicle.call(subscribe_call{"dashboard", pattern, filter});
    return last_answer(vehicle);
  }

  ec publish(const std::string& topic, const std::string& value, bool retain = false) {
    cloud.call(publish_call{"monitor", topic, value, 0, retain});
    return last_answer(cloud);
  }

  texts seen() {
    texts result;
    for (auto& x : vehicle.services->metrics)
      result.push_back(x.value->value);
    return result;
  }

  bool connected() {
    auto table = vehicle.context->routing->load();
    return std::any_of(table->nodes.begin(), table->nodes.end(),
                       [](auto& x) { return x.second->link != 0; });
  }
};

} // namespace

TEST_SUITE_BEGIN("metrics of two nodes");

TEST_CASE_FIXTURE(fixture, "a subscription brings up the link, then kept and new values") {
  start_cloud();
  start_vehicle();
  CHECK(publish(load, "1") == ec::none);
  CHECK_FALSE(connected());
  CHECK(subscribe(load) == ec::none);
  pass(2'000);
  CHECK(connected());
  CHECK(seen() == texts{"1"});
  CHECK(publish(load, "2") == ec::none);
  CHECK(publish("metric:jlr.com/cloud/other", "3") == ec::none);
  pass(500);
  CHECK(seen() == texts{"1", "2"});
}

TEST_CASE_FIXTURE(fixture, "the publisher keeps the interval and the newest comes in the end") {
  start_cloud();
  start_vehicle();
  CHECK(subscribe(load, {1'000, {}}) == ec::none);
  pass(2'000);
  for (int i = 1; i <= 20; ++i) {
    CHECK(publish(load, std::to_string(i)) == ec::none);
    pass(100);
  }
  pass(3'000);
  auto values = seen();
  REQUIRE(values.size() >= 3);
  CHECK(values.size() <= 5);
  CHECK(values.back() == "20");
  auto passed = cloud.context->metrics->get_counter("rvi_metric_to_peers_total", "").value();
  CHECK(passed <= 5);
}

TEST_CASE_FIXTURE(fixture, "what was missed while the link was away comes with the next one") {
  start_cloud();
  start_vehicle();
  CHECK(subscribe(load) == ec::none);
  pass(2'000);
  CHECK(publish(load, "1") == ec::none);
  pass(500);
  cloud.kill();
  pass(1'000);
  start_cloud();
  CHECK(publish(load, "2") == ec::none);
  CHECK(publish(load, "3") == ec::none);
  pass(120'000, 500);
  CHECK(seen() == texts{"1", "3"});
  CHECK(publish(load, "4") == ec::none);
  pass(500);
  CHECK(seen() == texts{"1", "3", "4"});
}

TEST_CASE_FIXTURE(fixture, "a subscriber that starts again gets what is kept") {
  start_cloud();
  start_vehicle();
  CHECK(subscribe(load) == ec::none);
  pass(2'000);
  vehicle.kill();
  CHECK(publish(load, "1") == ec::none);
  vehicle.services->metrics.clear();
  start_vehicle();
  pass(120'000, 500);
  CHECK(seen() == texts{"1"});
}

TEST_CASE_FIXTURE(fixture, "both start again: the subscription and the retained value are there") {
  start_cloud();
  start_vehicle();
  CHECK(subscribe(load) == ec::none);
  CHECK(publish(load, "1", true) == ec::none);
  pass(2'000);
  vehicle.kill();
  cloud.kill();
  vehicle.services->metrics.clear();
  start_cloud();
  start_vehicle();
  pass(120'000, 500);
  CHECK(seen() == texts{"1"});
}

TEST_CASE_FIXTURE(fixture, "an idle link stays while there are subscriptions on it") {
  vehicle.idle_ms = cloud.idle_ms = 5'000;
  start_cloud();
  start_vehicle();
  CHECK(subscribe(load) == ec::none);
  pass(60'000, 500);
  CHECK(connected());
  CHECK(publish(load, "1") == ec::none);
  pass(100);
  CHECK(seen() == texts{"1"});
  vehicle.call(unsubscribe_call{"dashboard", load});
  CHECK(last_answer(vehicle) == ec::none);
  pass(60'000, 500);
  CHECK_FALSE(connected());
}

TEST_CASE_FIXTURE(fixture, "names and rights are looked at before anything is kept") {
  start_cloud();
  start_vehicle();
  CHECK(subscribe("rpc:jlr.com/cloud/load") == ec::invalid_name);
  CHECK(subscribe("jlr.com/cloud/load") == ec::invalid_name);
  CHECK(subscribe("metric:jlr.com/#/load") == ec::invalid_name);
  CHECK(subscribe("metric:jlr.com/#") == ec::unauthorized);
  CHECK(publish("metric:jlr.com/cloud/+", "1") == ec::invalid_name);
  CHECK(publish("message:jlr.com/cloud/load", "1") == ec::invalid_name);
  CHECK(publish("metric:jlr.com/vin/1234/load", "1") == ec::unauthorized);
  cloud.call(publish_call{"nobody", load, "1", 0, false});
  CHECK(last_answer(cloud) == ec::unauthorized);
  cloud.call(publish_call{"monitor", load, "1", now_ms() - 1, false});
  CHECK(last_answer(cloud) == ec::timeout);
  vehicle.call(subscribe_call{"dashboard", load, {}}, 1, "uid:2");
  CHECK(last_answer(vehicle) == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "a subscription is for a service with a connection") {
  start_cloud();
  vehicle.start();
  vehicle.call(register_service_call{"logger", "http://127.0.0.1:9/x", {}, false});
  vehicle.call(unregister_service_call{"logger"});
  service_call held;
  held.principal = {"uid:1000", true};
  held.request = register_service_call{"logger", {}, {}, false};
  self->send(vehicle.edge, atom::call_v, std::vector<service_call>{held});
  settle();
  vehicle.call(subscribe_call{"logger", load, {}});
  CHECK(last_answer(vehicle) == ec::bad_request);
}

TEST_SUITE_END();
