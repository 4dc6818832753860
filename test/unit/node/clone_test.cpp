// SPDX-License-Identifier: MPL-2.0
//
// A node whose key and store were copied (HLD 3.2.7), and one that only crashes a lot.

#include "actors/routing/clone_guard.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"
#include "rvi.pb.h"
#include "test/support/loopback_node.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <random>

using namespace rvi;

namespace {

struct fixture : test::world {
  fixture() {
    (void)log::configure(std::getenv("RVI_LOG") ? log::level::debug : log::level::off,
                         log::format::text);
    for (auto* x : {&vehicle, &thief})
      x->routes = {{"+:jlr.com/cloud/#", {"loopback:cloud"}}};
    cloud.infix = "";
  }

  static void ask_for_link(test::loopback_node& from, const test::loopback_node& to) {
    from.w.self->send(
      from.data_link, atom::setup_v,
      setup_request{to.address, to.address, {to.loopback_address}, true, 60'000, {}});
  }

  /// One session with the cloud, then the node is off.
  bool visit(test::loopback_node& x) {
    x.start();
    ask_for_link(x, cloud);
    pass(1'000);
    auto table = x.context->routing->load();
    auto found = table->nodes.find(cloud.address);
    bool connected = found != table->nodes.end() && found->second->link != 0;
    x.kill();
    pass(1'000);
    return connected;
  }

  uint64_t count(const char* name) { return cloud.context->metrics->get_counter(name, "").value(); }

  void make_copy() {
    thief.key = vehicle.key;
    thief.credential = vehicle.credential;
    thief.disk = vehicle.disk->copy();
  }

  std::string stored(std::string_view prefix) {
    auto& nodes = cloud.disk->content(table::nodes);
    auto i = nodes.find(std::string{prefix} + to_string(vehicle.key.public_part().uid()));
    return i == nodes.end() ? std::string{} : i->second;
  }

  test::loopback_node vehicle{*this, "jlr.com/vin/1234", "vehicle", {"jlr.com/cloud/media_server"}};
  test::loopback_node thief{*this, "jlr.com/vin/1234", "thief", {"jlr.com/cloud/media_server"}};
  test::loopback_node cloud{*this, "jlr.com/cloud", "cloud", {"jlr.com/vin/+/services"}};
};

} // namespace

TEST_SUITE_BEGIN("copies of a key");

TEST_CASE_FIXTURE(fixture, "an honest node comes and goes without suspicion") {
  cloud.start();
  for (int i = 0; i < 10; ++i) {
    CHECK(visit(vehicle));
    if (i == 5) {
      cloud.kill();
      cloud.start();
    }
  }
  CHECK(count("rvi_clone_alarms_total") == 0);
  CHECK(count("rvi_clone_suspects_total") == 0);
  CHECK(count("rvi_sessions_admitted_total") > 0);
  CHECK_FALSE(stored(clone_asked_prefix).empty());
}

TEST_CASE_FIXTURE(fixture, "key and store in two places are found out") {
  cloud.start();
  REQUIRE(visit(vehicle));
  REQUIRE(visit(vehicle));
  make_copy();
  auto& first = vehicle;
  auto* early = &vehicle;
  auto* late = &thief;
  SUBCASE("the copy comes later") {}
  SUBCASE("the copy comes first") {
    std::swap(early, late);
  }
  REQUIRE(visit(*early));
  CHECK(count("rvi_clone_alarms_total") == 0);
  CHECK_FALSE(visit(*late));
  CHECK(count("rvi_clone_alarms_total") == 1);
  // Nobody can tell which of both is the right one.
  CHECK_FALSE(visit(*early));
  CHECK_FALSE(visit(*late));
  CHECK(count("rvi_clone_alarms_total") == 1);
  // Also after a restart of whoever noticed.
  cloud.kill();
  cloud.start();
  CHECK_FALSE(visit(*early));
  // A new credential for the key brings it back.
  first.credential = provisioning.issue(provisioning.claims(
    first.key.public_part(), {"jlr.com/vin/1234"}, {"jlr.com/cloud/media_server"}, now_s() + 1));
  pass(2'000);
  CHECK(visit(first));
  CHECK(visit(first));
}

TEST_CASE_FIXTURE(fixture, "the alarm ends the other one's session and what it has stored here") {
  cloud.start();
  REQUIRE(visit(vehicle));
  make_copy();
  thief.start();
  thief.register_service("media_player");
  thief.invoke("media_player", "rpc:jlr.com/cloud/media_server/stream_audio", "{}", 600'000);
  pass(2'000);
  auto connected = [&] {
    auto table = cloud.context->routing->load();
    auto node = table->nodes.find("jlr.com/vin/1234");
    return node != table->nodes.end() && node->second->link != 0;
  };
  REQUIRE(connected());
  CHECK_FALSE(visit(vehicle));
  CHECK(count("rvi_clone_alarms_total") == 1);
  CHECK_FALSE(connected());
  cloud.register_service("media_server");
  pass(2'000);
  CHECK(cloud.services->invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "the report carries what the accused key has signed") {
  cloud.start();
  REQUIRE(visit(vehicle));
  make_copy();
  visit(vehicle);
  visit(thief);
  auto report = json::parse(stored(clone_report_prefix));
  REQUIRE(report);
  auto bytes = [&](const char* name) {
    auto x = crypto::unbase64url(report->root()[name].as_string().value_or("?"));
    return x ? *x : std::string{};
  };
  auto key = crypto::public_key::from_spki(bytes("accused_spki"));
  REQUIRE(key);
  CHECK(key->uid() == vehicle.key.public_part().uid());
  auto client = report->root()["accused_dialled"].as_bool();
  REQUIRE(client);
  auto input = authorize_signing_input(*client, bytes("accused_spki"), bytes("reporter_spki"),
                                       bytes("exporter"), bytes("authorize_body"));
  CHECK(key->verify(input, bytes("authorize_signature")));
}

TEST_CASE_FIXTURE(fixture, "the issuer's service is told of a copy until it has taken that") {
  cloud.provisioned = true;
  cloud.clone_reports = "jlr.com/cloud/security";
  cloud.credential = provisioning.issue(
    provisioning.claims(cloud.key.public_part(), {"jlr.com/cloud", "jlr.com/cloud/provisioning"},
                        {"jlr.com/vin/+/services", "jlr.com/cloud/security"}, now_s()));
  cloud.start();
  REQUIRE(visit(vehicle));
  make_copy();
  visit(vehicle);
  visit(thief);
  REQUIRE(count("rvi_clone_alarms_total") == 1);
  auto told = [&] { return cloud.services->invoked.size(); };
  SUBCASE("at once") {}
  SUBCASE("after a restart, for nobody was there") {
    pass(60'000);
    cloud.kill();
    cloud.start();
  }
  CHECK(told() == 0);
  CHECK(stored(clone_reported_prefix) == "");
  cloud.register_service("security");
  pass(5'000);
  REQUIRE(told() >= 1);
  auto& got = *cloud.services->invoked.back().content;
  CHECK(got.header.target == "message:jlr.com/cloud/security/clone_report");
  CHECK(got.arguments == stored(clone_report_prefix));
  auto before = told();
  pass(2 * 3'600'000, 60'000);
  CHECK(told() == before);
  cloud.kill();
  cloud.start();
  cloud.register_service("security");
  pass(2 * 3'600'000, 60'000);
  CHECK(told() == before);
}

TEST_CASE_FIXTURE(fixture, "a lost store is suspect, not accused") {
  cloud.start();
  REQUIRE(visit(vehicle));
  REQUIRE(visit(vehicle));
  vehicle.disk = memory_disk::make();
  pass(1'000);
  visit(vehicle);
  CHECK(count("rvi_clone_alarms_total") == 0);
}

TEST_CASE_FIXTURE(fixture, "a power cut at any moment of a session is no sign of a copy") {
  cloud.start();
  std::mt19937_64 order{17};
  bool both = false;
  SUBCASE("of the vehicle") {}
  SUBCASE("of both, in any order of work") {
    both = true;
  }
  for (int jobs = 0; jobs < 100; jobs += 1 + jobs / 40) {
    CAPTURE(jobs);
    vehicle.start();
    ask_for_link(vehicle, cloud);
    for (int i = 0; i < jobs; ++i)
      if (!(both ? run_any(order) : sched.try_run_once()))
        break;
    vehicle.disk->crash(); // before anything else can become durable
    vehicle.kill();
    if (both) {
      cloud.kill();
      cloud.start();
    }
    pass(1'000);
    REQUIRE(count("rvi_clone_alarms_total") == 0);
    REQUIRE(count("rvi_clone_suspects_total") == 0);
  }
  CHECK(visit(vehicle));
  CHECK(visit(vehicle));
  CHECK(count("rvi_clone_alarms_total") == 0);
}

TEST_SUITE_END();
