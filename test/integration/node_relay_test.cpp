// SPDX-License-Identifier: MPL-2.0
//
// A vehicle that no network reaches but a phone's, as real processes: the phone takes its requests
// to the cloud and brings the replies, and the cloud's to the vehicle.

#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";
constexpr const char* play = "rpc:jlr.com/vin/1234/services/media_player/play";
constexpr uint64_t minute_ms = 60'000;

struct fixture : two_nodes {
  fixture() {
    make_echo(media_server);
    make_echo(media_player);
    vehicle.settings.route_to = 0; // it cannot even find the cloud
    vehicle.settings.tls_port = vehicle_port;
    vehicle.write_config();
    auto claims = world.provisioning.claims(phone.key.public_part(), {"jlr.com/phone/1"}, {},
                                            wall_ms() / 1'000);
    claims.relay = {"jlr.com/vin/1234", "jlr.com/cloud"};
    phone.write_credential("node.jwt", world.provisioning.issue(claims));
  }

  node_settings phone_settings() const {
    node_settings x;
    x.name = "jlr.com/phone/1";
    x.role = "mobile";
    x.links = "connect = [\"127.0.0.1:" + std::to_string(cloud_port)
              + "\", \"127.0.0.1:" + std::to_string(vehicle_port) + "\"]\n";
    return x;
  }

  void start_vehicle() {
    vehicle.start();
    media_player.register_service("media_player");
  }

  void start_cloud() {
    cloud.start();
    media_server.register_service("media_server");
  }

  static std::string
  ask(service_client& from, const std::string& service, const std::string& target) {
    auto answer = from.invoke(service, target, "[7]", wall_ms() + minute_ms);
    REQUIRE_MESSAGE(answer.code.empty(), answer.code << ": " << answer.message);
    return answer.transaction_id;
  }

  bool wait(const std::function<bool()>& holds) {
    return wait_for({&media_player, &media_server}, holds, node_patience);
  }

  uint16_t vehicle_port = free_port();
  node_process phone{world, "phone", phone_settings()};
  service_client media_player{vehicle.socket()};
  service_client media_server{cloud.socket()};
};

} // namespace

TEST_SUITE_BEGIN("relaying by real nodes" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "rpcs go both ways through a phone") {
  start_cloud();
  start_vehicle();
  phone.start();
  auto to_cloud = ask(media_player, "media_player", stream_audio);
  auto to_vehicle = ask(media_server, "media_server", play);
  REQUIRE_MESSAGE(wait([&] {
                    return outcome_of(media_player, to_cloud)
                           && outcome_of(media_server, to_vehicle);
                  }),
                  phone.log_tail());
  CHECK(outcome_of(media_player, to_cloud)->status == "ok");
  CHECK(outcome_of(media_player, to_cloud)->arguments == "[7]");
  CHECK(outcome_of(media_server, to_vehicle)->status == "ok");
  CHECK(media_server.invoked.size() == 1);
  CHECK(media_player.invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "the phone carries it from one to the other, also over its own end") {
  start_vehicle();
  phone.start();
  auto id = ask(media_player, "media_player", stream_audio);
  REQUIRE_MESSAGE(wait([&] {
                    return vehicle.log().find("link up") != std::string::npos
                           && phone.log().find("link up") != std::string::npos;
                  }),
                  phone.log_tail());
  REQUIRE_MESSAGE(wait([&] {
                    auto status = media_player.call("get_status", "{}").result;
                    return status.find("$entrusted/") != std::string::npos;
                  }),
                  vehicle.log_tail());
  vehicle.kill(); // it drives on; the phone has it
  media_player.disconnect();
  phone.kill();
  phone.start();
  start_cloud();
  REQUIRE_MESSAGE(wait([&] { return media_server.invoked.size() == 1; }), phone.log_tail());
  start_vehicle();
  REQUIRE_MESSAGE(wait([&] { return outcome_of(media_player, id) != nullptr; }), phone.log_tail());
  CHECK(outcome_of(media_player, id)->status == "ok");
  CHECK(media_server.invoked.size() == 1);
}

TEST_SUITE_END();
