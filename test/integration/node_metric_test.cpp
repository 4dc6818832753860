// SPDX-License-Identifier: MPL-2.0
//
// Metrics between real nodes: the commands people use, restarts of both, and a subscriber that does
// not read beside one that does.

#include "runtime/json/json.hpp"
#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr const char* load = "metric:jlr.com/cloud/load";

struct metric {
  std::string target;
  std::string value;
  std::string source;
};

struct fixture : two_nodes {
  fixture() {
    vehicle.settings.destinations = {"metric:jlr.com/cloud"};
    cloud.settings.destinations = {"metric:jlr.com/cloud"};
    renew(vehicle);
    renew(cloud);
  }

  void renew(node_process& x) {
    x.write_credential("node.jwt", world.provisioning.issue(world.provisioning.claims(
                                     x.key.public_part(), {x.settings.name},
                                     x.settings.destinations, wall_ms() / 1'000)));
  }

  void start() {
    cloud.start();
    monitor.register_service("monitor");
    vehicle.start();
    dashboard.register_service("dashboard");
  }

  static call_answer
  subscribe(service_client& x, const std::string& service, const std::string& target) {
    return x.call("subscribe",
                  R"({"requesting_service":")" + service + R"(","target":")" + target + "\"}");
  }

  call_answer publish(const std::string& target, const std::string& value, bool retain = false) {
    return monitor.call("publish", R"({"source":"monitor","target":")" + target + R"(","value":)"
                                     + value + (retain ? R"(,"retain":true})" : "}"));
  }

  static std::vector<metric> metrics_of(const service_client& x) {
    std::vector<metric> result;
    for (auto& text : x.texts) {
      auto document = json::parse(text);
      REQUIRE(document);
      auto root = document->root();
      if (root["method"].as_string() != "metric")
        continue;
      CHECK_FALSE(root["id"]);
      auto params = root["params"];
      result.push_back({std::string{params["target"].as_string().value_or("")},
                        std::string{params["value"].raw()},
                        std::string{params["source"].as_string().value_or("")}});
    }
    return result;
  }

  bool gets(service_client& x, const std::string& value) {
    return wait_for({&x, &monitor}, [&] {
      auto all = metrics_of(x);
      return !all.empty() && all.back().value == value;
    });
  }

  service_client dashboard{vehicle.socket()};
  service_client monitor{cloud.socket()};
};

} // namespace

TEST_SUITE_BEGIN("metrics" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "values cross nodes, and outlive the end of both") {
  start();
  CHECK(subscribe(dashboard, "dashboard", load).code == "");
  CHECK(publish(load, R"({"cpu": 0.50})").code == "");
  REQUIRE_MESSAGE(gets(dashboard, R"({"cpu": 0.50})"), vehicle.log_tail());
  auto first = metrics_of(dashboard).back();
  CHECK(first.target == load);
  CHECK(first.source == "jlr.com/cloud/monitor");
  CHECK(publish(load, "2", true).code == "");
  REQUIRE(gets(dashboard, "2"));
  vehicle.kill();
  cloud.kill();
  dashboard.disconnect();
  dashboard.texts.clear();
  monitor.disconnect();
  vehicle.start();
  dashboard.register_service("dashboard"); // nobody subscribes again
  cloud.start();
  REQUIRE_MESSAGE(gets(dashboard, "2"), vehicle.log_tail());
  monitor.register_service("monitor");
  CHECK(publish(load, "3").code == "");
  REQUIRE(gets(dashboard, "3"));
  CHECK(vehicle.running());
  CHECK(cloud.running());
}

TEST_CASE_FIXTURE(fixture, "who does not read gets the newest later, and holds up nobody") {
  cloud.start();
  monitor.register_service("monitor");
  service_client slow{cloud.socket()};
  service_client fast{cloud.socket()};
  slow.register_service("slow");
  fast.register_service("fast");
  CHECK(subscribe(slow, "slow", "metric:jlr.com/cloud/#").code == "");
  CHECK(subscribe(fast, "fast", "metric:jlr.com/cloud/#").code == "");
  // Far more than sockets hold, on few topics.
  auto filler = std::string(32'000, 'x');
  constexpr int rounds = 500;
  for (int i = 1; i <= rounds; ++i) {
    auto value = "\"" + std::to_string(i) + filler + "\"";
    auto topic = std::string{load} + std::to_string(i % 4);
    REQUIRE(publish(topic, value).code == "");
    fast.pump(milliseconds{0});
  }
  auto newest = "\"" + std::to_string(rounds) + filler + "\"";
  REQUIRE(wait_for({&fast, &monitor},
                   [&] { return !fast.texts.empty() && metrics_of(fast).back().value == newest; }));
  std::map<std::string, std::string> wanted;
  for (int i = rounds - 3; i <= rounds; ++i)
    wanted[std::string{load} + std::to_string(i % 4)] = std::to_string(i);
  size_t seen = 0;
  std::map<std::string, std::string> last;
  auto has_newest = [&] {
    auto all = metrics_of(slow);
    for (; seen < all.size(); ++seen)
      last[all[seen].target] = all[seen].value.substr(1, 3);
    return last == wanted;
  };
  CHECK(wait_for({&slow}, has_newest));
  CHECK(seen < rounds); // older ones were replaced
  CHECK(slow.connected());
}

TEST_CASE_FIXTURE(fixture, "by the commands") {
  start();
  auto at_cloud = " --socket " + cloud.socket();
  auto at_vehicle = " --socket " + vehicle.socket();
  auto published = run_rvi("publish jlr.com/cloud/load 7 --retain" + at_cloud);
  CHECK_MESSAGE(published.code == 0, published.output);
  auto seen = run_rvi("subscribe 'jlr.com/cloud/#' --count 1 --format json" + at_vehicle);
  CHECK_MESSAGE(seen.code == 0, seen.output);
  CHECK(seen.output.find(R"("target":"metric:jlr.com/cloud/load","value":7)") != std::string::npos);
  auto bad = run_rvi("publish jlr.com/vin/9/load 7" + at_cloud);
  CHECK(bad.code == 1);
  CHECK(bad.output.find("unauthorized") != std::string::npos);
  CHECK(run_rvi("publish jlr.com/cloud/load '{'" + at_cloud).code == 2);
  CHECK(run_rvi("subscribe 'jlr.com/#/x'" + at_vehicle).code == 2);
  auto denied = run_rvi("subscribe 'jlr.com/#'" + at_vehicle);
  CHECK(denied.code == 1);
  CHECK(denied.output.find("unauthorized") != std::string::npos);
}

TEST_SUITE_END();
