// SPDX-License-Identifier: MPL-2.0
//
// Two nodes and what their services learn of each other (HLD 4.6, 7.3, 10.2): reports while they
// come and go, and what is remembered through a power cut.

#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/loopback_node.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

using names = std::vector<std::string>;

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";
constexpr const char* media_server = "jlr.com/cloud/media_server";

struct fixture : test::world {
  fixture() {
    (void)log::configure(log::level::off, log::format::text);
    cloud.infix = "";
  }

  void connect() {
    self->send(
      vehicle.data_link, atom::setup_v,
      setup_request{cloud.address, cloud.address, {cloud.loopback_address}, true, 60'000, {}});
    pass(1'000);
  }

  void start() {
    cloud.start();
    cloud.register_service("media_server");
    vehicle.start();
    vehicle.register_service("media_player");
  }

  caf::error subscribe(test::loopback_node& x, const std::string& pattern, client_id client = 1) {
    x.call(subscribe_availability_call{{}, pattern}, client);
    settle();
    return x.services->answers.back().error;
  }

  /// The reports since the last look: "client reason state service ...".
  names heard(test::loopback_node& x) {
    names result;
    for (auto& report : std::exchange(x.services->reports, {})) {
      std::string text = std::to_string(report.client) + " " + report.reason + " " + report.state;
      for (auto& service : report.services)
        text += " " + service;
      result.push_back(text);
    }
    return result;
  }

  std::string channels(test::loopback_node& x) {
    x.call(get_data_channels_call{});
    settle();
    auto result = std::get_if<json_result>(&x.services->answers.back().answer);
    return result ? result->json : "none";
  }

  test::loopback_node vehicle{*this, "jlr.com/vin/1234", "vehicle", {media_server}};
  test::loopback_node cloud{*this, "jlr.com/cloud", "cloud", {"jlr.com/vin/+/services"}};
};

} // namespace

TEST_SUITE_BEGIN("awareness");

TEST_CASE_FIXTURE(fixture, "a service hears of a remote service while links and services change") {
  start();
  CHECK_FALSE(subscribe(vehicle, media_server));
  CHECK(heard(vehicle).empty());
  connect();
  auto up = vehicle.services->reports;
  CHECK(heard(vehicle)
        == names{"1 link_up linked jlr.com/cloud/media_server",
                 "1 measured linked jlr.com/cloud/media_server"});
  CHECK(up[0].kind == "loopback");
  CHECK(up[0].node == "jlr.com/cloud");
  CHECK(up[1].round_trip_us != 0);
  self->send(cloud.edge, atom::closed_v, client_id{1}); // its service's connection
  pass(100);
  CHECK(heard(vehicle) == names{"1 withdrawn gone jlr.com/cloud/media_server"});
  cloud.register_service("media_server");
  pass(100);
  CHECK(heard(vehicle) == names{"1 announced linked jlr.com/cloud/media_server"});
  CHECK_FALSE(subscribe(vehicle, "#", 2));
  CHECK(heard(vehicle)
        == names{"2 subscribed local jlr.com/vin/1234/services/media_player",
                 "2 subscribed linked jlr.com/cloud/media_server"});
  cloud.kill();
  pass(100'000, 500);
  CHECK(heard(vehicle)
        == names{"1 link_down away jlr.com/cloud/media_server",
                 "2 link_down away jlr.com/cloud/media_server"});
  vehicle.invoke("media_player", stream_audio, "{}", 30'000); // away is still taken
  CHECK_FALSE(vehicle.services->answers.back().error);
}

TEST_CASE_FIXTURE(fixture, "a local service is reported, to others at once") {
  start();
  CHECK_FALSE(subscribe(vehicle, "jlr.com/vin/1234/#", 5));
  CHECK(heard(vehicle) == names{"5 subscribed local jlr.com/vin/1234/services/media_player"});
  vehicle.register_service("hvac", 2);
  settle();
  CHECK(heard(vehicle) == names{"5 registered local jlr.com/vin/1234/services/hvac"});
  self->send(vehicle.edge, atom::closed_v, client_id{2});
  settle();
  CHECK(heard(vehicle) == names{"5 unregistered gone jlr.com/vin/1234/services/hvac"});
  self->send(vehicle.edge, atom::closed_v, client_id{5});
  vehicle.register_service("hvac", 2);
  settle();
  CHECK(heard(vehicle).empty()); // the subscription went with its connection
}

TEST_CASE_FIXTURE(fixture,
                  "a service whose connection ends while it registers is not left behind") {
  start();
  service_call x;
  x.client = 9;
  x.deliverable = true;
  x.principal = {"uid:1000", true};
  x.request = register_service_call{"hvac", {}, {}, false};
  self->send(vehicle.edge, atom::call_v, std::vector<service_call>{std::move(x)});
  self->send(vehicle.edge, atom::closed_v, client_id{9});
  pass(100);
  CHECK_FALSE(vehicle.context->routing->load()->local.contains("jlr.com/vin/1234/services/hvac"));
  vehicle.register_service("hvac", 9); // numbers are never used again, but if they were
  CHECK(vehicle.context->routing->load()->local.contains("jlr.com/vin/1234/services/hvac"));
}

TEST_CASE_FIXTURE(fixture, "subscriptions over HTTP and in somebody's name are refused") {
  start();
  service_call x;
  x.client = 3;
  x.principal = {"uid:1000", true};
  x.request = subscribe_availability_call{{}, "#"};
  self->send(vehicle.edge, atom::call_v, std::vector<service_call>{std::move(x)});
  settle();
  CHECK(code_of(vehicle.services->answers.back().error) == ec::bad_request);
  vehicle.call(subscribe_availability_call{"nobody", "#"});
  CHECK(code_of(vehicle.services->answers.back().error) == ec::unauthorized);
  vehicle.call(subscribe_availability_call{"media_player", "#"});
  CHECK_FALSE(vehicle.services->answers.back().error);
  vehicle.call(subscribe_availability_call{{}, "a//b"});
  CHECK(code_of(vehicle.services->answers.back().error) == ec::invalid_name);
  vehicle.call(unsubscribe_availability_call{"#"});
  CHECK_FALSE(vehicle.services->answers.back().error);
  vehicle.call(unsubscribe_availability_call{"#"});
  CHECK(code_of(vehicle.services->answers.back().error) == ec::not_found);
}

TEST_CASE_FIXTURE(fixture, "after a power cut a request finds its node without any route") {
  start();
  connect();
  vehicle.kill();
  SUBCASE("the service asks after the start") {
    vehicle.start();
    vehicle.register_service("media_player");
    CHECK_FALSE(subscribe(vehicle, "jlr.com/cloud/#"));
    CHECK(heard(vehicle) == names{"1 subscribed away jlr.com/cloud/media_server"});
    vehicle.invoke("media_player", stream_audio, "{}", 60'000);
    CHECK_FALSE(vehicle.services->answers.back().error);
    pass(2'000);
    CHECK(cloud.services->invoked.size() == 1);
    cloud.reply(cloud.services->invoked[0].content->header.id, "7");
    pass(1'000);
    REQUIRE(vehicle.services->outcomes.size() == 1);
    CHECK(vehicle.services->outcomes[0].notice.status == "ok");
  }
  SUBCASE("what was kept before the cut is sent by itself") {
    cloud.kill();
    vehicle.start();
    vehicle.register_service("media_player");
    vehicle.invoke("media_player", stream_audio, "{}", 600'000);
    pass(1'000);
    vehicle.kill();
    cloud.start();
    cloud.register_service("media_server");
    vehicle.start();
    vehicle.register_service("media_player");
    pass(5'000);
    CHECK(cloud.services->invoked.size() == 1);
  }
}

TEST_CASE_FIXTURE(fixture, "a revoked node is not used any more, also after a restart") {
  start();
  connect();
  subscribe(vehicle, media_server);
  heard(vehicle);
  auto list = provisioning.revocation_list(1, {revocation_entry_of(*cloud.credential)}, now_s());
  REQUIRE(ask<atom::done>(vehicle.authorization, atom::revoke_v, list->text));
  pass(1'000);
  CHECK(heard(vehicle) == names{"1 revoked revoked jlr.com/cloud/media_server"});
  auto where = [&] { return vehicle.context->routing->load()->resolve(stream_audio); };
  CHECK(where().network_addresses.empty());
  vehicle.kill();
  vehicle.start();
  pass(100);
  REQUIRE(where().node);
  CHECK(where().node->fallen == ec::revoked);
  CHECK(where().network_addresses.empty());
}

TEST_CASE_FIXTURE(fixture, "an ordinary service sees the data channels to nodes it may reach") {
  start();
  CHECK(channels(vehicle) == "[]");
  connect();
  auto text = channels(vehicle);
  CHECK(text.find(R"("node":"jlr.com/cloud","kind":"loopback","up":true,"state":"up")")
        != text.npos);
  CHECK(text.find(R"("round_trip_us":0)") == text.npos);
  vehicle.credential = provisioning.issue(provisioning.claims(
    vehicle.key.public_part(), {"jlr.com/vin/1234"}, {"jlr.com/elsewhere"}, now_s()));
  vehicle.kill();
  vehicle.start();
  vehicle.register_service("media_player");
  connect();
  CHECK(channels(vehicle) == "[]");
}

TEST_CASE_FIXTURE(fixture, "a new service edge withdraws what the one before had registered") {
  start();
  REQUIRE(vehicle.context->routing->load()->local.size() == 1);
  service_edge_config again;
  again.node = vehicle.context;
  again.store = vehicle.store;
  again.authorization = vehicle.authorization;
  again.service_discovery = vehicle.discovery;
  again.store_and_forward = vehicle.store_and_forward;
  auto edge = spawn(service_edge, again);
  settle();
  CHECK(vehicle.context->routing->load()->local.empty());
  caf::anon_send_exit(edge, caf::exit_reason::kill);
}

TEST_SUITE_END();
