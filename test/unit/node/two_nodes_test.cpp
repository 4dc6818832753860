// SPDX-License-Identifier: MPL-2.0
//
// Two whole nodes on virtual time: HLD chapter 8 from the first step to the reply, and what happens
// when links and nodes go away in between.

#include "messages/name.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/vehicle_and_cloud.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

using namespace rvi;
using namespace std::chrono_literals;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";
constexpr const char* song = R"([{"file":"xyzzy.mp3"},{"start":0},{"quality":10}])";

struct fixture : test::vehicle_and_cloud {
  fixture()
    : vehicle_and_cloud({{"jlr.com/cloud/media_server"}, "media_player"},
                        {{"jlr.com/vin/+/services"}, "media_server"}) {}

  /// The transaction id of the last accepted invoke.
  transaction_id accepted() {
    REQUIRE_FALSE(vehicle.services->answers.empty());
    auto& last = vehicle.services->answers.back();
    REQUIRE_MESSAGE(!last.error, describe(last.error));
    auto* result = std::get_if<accepted_result>(&last.answer);
    REQUIRE(result);
    return result->id;
  }

  caf::error refused() {
    REQUIRE_FALSE(vehicle.services->answers.empty());
    return vehicle.services->answers.back().error;
  }

  std::set<int> steps(test::loopback_node& x, const transaction_id& id, bool reply) {
    std::set<int> result;
    for (auto& event : x.context->trace->find(to_bytes(id)))
      if (event.reply == reply)
        result.insert(event.step);
    return result;
  }

  /// Messages the actors have sent themselves for later.
  size_t waiting() { return sched.clock().schedule().size(); }

  bool connected() {
    auto table = vehicle.context->routing->load();
    return std::any_of(table->nodes.begin(), table->nodes.end(),
                       [](auto& x) { return x.second->link != 0; });
  }

  /// How often an actor woke itself in this time.
  uint64_t wakes_in(uint64_t ms) {
    uint64_t result = 0;
    for (uint64_t passed = 0; passed < ms; passed += 1'000) {
      time->elapse_ms(1'000);
      result += sched.advance_time(1s);
      settle();
    }
    return result;
  }
};

} // namespace

TEST_SUITE_BEGIN("two nodes");

TEST_CASE_FIXTURE(fixture, "an rpc passes every step of chapter 8 and brings its reply back") {
  start_cloud();
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 30'000);
  auto id = accepted();
  pass(500);
  REQUIRE(cloud.services->invoked.size() == 1);
  auto& given = *cloud.services->invoked[0].content;
  CHECK(given.header.id == id);
  CHECK(given.arguments == song);
  CHECK(given.header.source == "jlr.com/vin/1234/services/media_player");
  cloud.reply(id, R"({"stream":"bytes"})");
  pass(500);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  auto& notice = vehicle.services->outcomes[0].notice;
  CHECK(notice.status == "ok");
  CHECK(notice.arguments == R"({"stream":"bytes"})");
  CHECK(notice.id == id);
  auto sent = steps(vehicle, id, false);
  for (int step : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12})
    CHECK_MESSAGE(sent.count(step) == 1, "step ", step, " on the vehicle");
  auto taken = steps(cloud, id, false);
  for (int step : {10, 13, 14, 15, 16, 17, 18, 19})
    CHECK_MESSAGE(taken.count(step) == 1, "step ", step, " on the cloud");
  CHECK(steps(vehicle, id, true).count(20) == 1);
}

TEST_CASE_FIXTURE(fixture, "what is too much for a node's open rpcs comes once some have ended") {
  cloud.open_requests_max = 2;
  start_cloud();
  start_vehicle();
  for (int i = 0; i < 3; ++i)
    vehicle.invoke("media_player", stream_audio, song, 30'000);
  pass(500);
  REQUIRE(cloud.services->invoked.size() == 2);
  cloud.reply(cloud.services->invoked[0].content->header.id, "1");
  pass(500);
  CHECK(cloud.services->invoked.size() == 3);
}

TEST_CASE_FIXTURE(fixture, "what a busy connection gave back comes when it takes requests again") {
  cloud.services->takes_receipts = false;
  start_cloud();
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 30'000);
  pass(500);
  REQUIRE(cloud.services->invoked.size() == 1);
  auto id = cloud.services->invoked[0].content->header.id;
  self->send(cloud.edge, atom::receipt_v,
             std::vector<receipt>{{id, false, receipt::status::lost, true, {}}});
  pass(5'000);
  CHECK(cloud.services->invoked.size() == 1);
  self->send(cloud.edge, atom::credit_v, client_id{1});
  pass(500);
  CHECK(cloud.services->invoked.size() == 2);
}

TEST_CASE_FIXTURE(fixture, "a synchronous rpc is answered with its outcome") {
  start_cloud();
  start_vehicle();
  auto before = vehicle.services->answers.size();
  vehicle.invoke("media_player", stream_audio, song, 30'000, true);
  pass(500);
  CHECK(vehicle.services->answers.size() == before);
  REQUIRE(cloud.services->invoked.size() == 1);
  cloud.reply(cloud.services->invoked[0].content->header.id, "42");
  pass(500);
  REQUIRE(vehicle.services->answers.size() == before + 1);
  auto* notice = std::get_if<outcome_notice>(&vehicle.services->answers.back().answer);
  REQUIRE(notice);
  CHECK(notice->status == "ok");
  CHECK(notice->arguments == "42");
}

TEST_CASE_FIXTURE(fixture, "a message gets no reply and is forgotten once it is taken") {
  start_cloud();
  start_vehicle();
  vehicle.invoke("media_player", "message:jlr.com/cloud/media_server/log", "{}", 30'000);
  auto id = accepted();
  pass(500);
  REQUIRE(cloud.services->invoked.size() == 1);
  CHECK(vehicle.services->outcomes.empty());
  cloud.reply(id, "1");
  CHECK(code_of(cloud.services->answers.back().error) == ec::not_found);
  CHECK(cloud.disk->content(table::records).empty());
  CHECK(vehicle.disk->content(table::records).empty());
}

TEST_CASE_FIXTURE(fixture, "a request waits for a node that is down") {
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 600'000);
  auto id = accepted();
  pass(20'000);
  CHECK(vehicle.services->outcomes.empty());
  start_cloud();
  pass(120'000, 500);
  REQUIRE(cloud.services->invoked.size() == 1);
  CHECK(cloud.services->invoked[0].content->header.id == id);
}

TEST_CASE_FIXTURE(fixture, "a request waits for a service that is not registered") {
  cloud.start();
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 600'000);
  pass(5'000);
  CHECK(cloud.services->invoked.empty());
  CHECK(vehicle.disk->content(table::records).empty()); // the cloud has custody
  cloud.register_service("media_server");
  pass(1'000);
  CHECK(cloud.services->invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a killed vehicle keeps its request and it runs once") {
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 600'000);
  auto id = accepted();
  vehicle.kill();
  start_cloud();
  start_vehicle();
  pass(5'000);
  REQUIRE(cloud.services->invoked.size() == 1);
  cloud.reply(id, "{}");
  pass(1'000);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  CHECK(vehicle.services->outcomes[0].notice.status == "ok");
  vehicle.kill();
  start_vehicle();
  pass(5'000);
  CHECK(cloud.services->invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a request without a right is refused at once and stored nowhere") {
  start_vehicle();
  vehicle.invoke("media_player", "rpc:jlr.com/cloud/billing/charge", "{}", 30'000);
  CHECK(code_of(refused()) == ec::unauthorized);
  CHECK(vehicle.disk->content(table::ids).empty());
}

TEST_CASE_FIXTURE(fixture, "an undeliverable rpc times out at its time, not before") {
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 10'000);
  auto id = accepted();
  pass(9'950);
  CHECK(vehicle.services->outcomes.empty());
  pass(1'000);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  auto& notice = vehicle.services->outcomes[0].notice;
  CHECK(notice.id == id);
  CHECK(notice.status == "timeout");
  CHECK(notice.dispatched == "no");
  pass(700'000, 1'000);
  CHECK(vehicle.disk->content(table::ids).empty()); // and is forgotten in the end
  CHECK(vehicle.disk->content(table::due).empty());
}

TEST_CASE_FIXTURE(fixture, "a node that dies between hand-over and reply reports outcome_unknown") {
  start_cloud();
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 600'000);
  pass(500);
  REQUIRE(cloud.services->invoked.size() == 1);
  cloud.kill();
  start_cloud();
  pass(120'000, 500);
  CHECK(cloud.services->invoked.size() == 1); // not run again
  REQUIRE(vehicle.services->outcomes.size() == 1);
  auto& notice = vehicle.services->outcomes[0].notice;
  CHECK(notice.status == "error");
  CHECK(notice.error.find("outcome_unknown") != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "an idempotent service is given its request again") {
  cloud.start();
  cloud.register_service("media_server", 1, true);
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 600'000);
  pass(500);
  REQUIRE(cloud.services->invoked.size() == 1);
  cloud.kill();
  cloud.start();
  cloud.register_service("media_server", 1, true);
  pass(2'000);
  REQUIRE(cloud.services->invoked.size() == 2);
  CHECK(cloud.services->invoked[0].content->header.id
        == cloud.services->invoked[1].content->header.id);
}

TEST_CASE_FIXTURE(fixture, "a service on the same node is reached without a link") {
  vehicle.credential = provisioning.issue(provisioning.claims(
    vehicle.key.public_part(), {"jlr.com/vin/1234"}, {"jlr.com/vin/1234"}, now_s()));
  start_vehicle();
  vehicle.register_service("radio", 2);
  vehicle.invoke("media_player", "rpc:jlr.com/vin/1234/services/radio/tune", "{}", 30'000);
  auto id = accepted();
  pass(100);
  REQUIRE(vehicle.services->invoked.size() == 1);
  vehicle.reply(id, "\"ok\"");
  pass(100);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  CHECK(vehicle.services->outcomes[0].notice.arguments == "\"ok\"");
}

TEST_CASE_FIXTURE(fixture, "replies wait for the requesting service to come back") {
  start_cloud();
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 600'000);
  auto id = accepted();
  pass(500);
  self->send(vehicle.edge, atom::closed_v, client_id{1});
  cloud.reply(id, "7");
  pass(500);
  CHECK(vehicle.services->outcomes.empty());
  vehicle.register_service("media_player", 9);
  pass(500);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  CHECK(vehicle.services->outcomes[0].client == 9);
}

TEST_CASE_FIXTURE(fixture, "nodes with nothing to do never wake, for a day") {
  vehicle.idle_ms = cloud.idle_ms = 60'000;
  start_cloud();
  start_vehicle();
  pass(2'000);
  CHECK(waiting() == 0);
  SUBCASE("from the start") {}
  SUBCASE("after an rpc, once it is forgotten and its link has gone") {
    vehicle.invoke("media_player", stream_audio, song, 30'000);
    pass(500);
    REQUIRE(cloud.services->invoked.size() == 1);
    cloud.reply(accepted(), "{}");
    pass(500);
    CHECK(connected());
    pass(62'000);
    CHECK_FALSE(connected());
    pass(12 * 60'000, 1'000);
  }
  CHECK(waiting() == 0);
  CHECK(wakes_in(24 * 3'600'000) == 0);
  CHECK_FALSE(connected());
}

TEST_CASE_FIXTURE(fixture, "an idle link wakes its two ends for its keepalive, not more") {
  start_cloud();
  start_vehicle();
  vehicle.invoke("media_player", "message:jlr.com/cloud/media_server/log", "{}", 1'000);
  pass(500);
  SUBCASE("every half minute") {
    pass(15 * 60'000, 1'000);
    CHECK(wakes_in(3'600'000) <= 2 * 130);
    CHECK(connected());
  }
  SUBCASE("none is configured") {
    vehicle.kill();
    cloud.kill();
    vehicle.keepalive_ms = cloud.keepalive_ms = 0;
    start_cloud();
    start_vehicle();
    vehicle.invoke("media_player", "message:jlr.com/cloud/media_server/log", "{}", 1'000);
    pass(15 * 60'000, 1'000);
    CHECK(wakes_in(24 * 3'600'000) <= 2 * 25);
    CHECK(connected());
  }
}

TEST_CASE_FIXTURE(fixture, "traffic on a link costs no timers") {
  start_cloud();
  start_vehicle();
  size_t most = 0;
  for (int i = 0; i < 500; ++i) {
    vehicle.invoke("media_player", stream_audio, song, 3'600'000);
    cloud.reply(accepted(), "{}");
    pass(10, 10);
    most = std::max(most, waiting());
  }
  CHECK(vehicle.services->outcomes.size() == 500);
  CHECK(most <= 20);
}

TEST_CASE_FIXTURE(fixture, "a link ends when the peer's credential does") {
  auto claims = provisioning.claims(cloud.key.public_part(), {"jlr.com/cloud"}, {}, now_s());
  claims.expires_s = now_s() + 3'600;
  cloud.credential = provisioning.issue(claims);
  vehicle.keepalive_ms = cloud.keepalive_ms = 0;
  start_cloud();
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 30'000);
  pass(3'599'000, 500);
  CHECK(connected());
  pass(1'500);
  CHECK_FALSE(connected());
}

TEST_CASE_FIXTURE(fixture, "hundreds of requests drain in order after the link comes") {
  start_vehicle();
  for (int i = 0; i < 3'000; ++i)
    vehicle.invoke("media_player", stream_audio, std::to_string(i), 3'600'000);
  start_cloud();
  pass(60'000, 500);
  REQUIRE(cloud.services->invoked.size() == 3'000);
  for (int i = 0; i < 3'000; ++i)
    REQUIRE(cloud.services->invoked[static_cast<size_t>(i)].content->arguments
            == std::to_string(i));
}

TEST_CASE_FIXTURE(fixture, "a full store refuses new requests and keeps accepted ones") {
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 600'000);
  accepted();
  vehicle.disk->set_capacity(vehicle.disk->bytes_used() + 100);
  vehicle.invoke("media_player", stream_audio, song, 600'000);
  CHECK(code_of(refused()) == ec::store_full);
  vehicle.disk->set_capacity(1 << 30);
  start_cloud();
  pass(10'000);
  CHECK(cloud.services->invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a peer of an untrusted organization is not let in") {
  test::authority stranger{"jlr.com"};
  cloud.credential = stranger.issue(
    stranger.claims(cloud.key.public_part(), {"jlr.com/cloud"}, {"jlr.com/vin/+"}, now_s()));
  start_cloud();
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 30'000);
  pass(5'000);
  CHECK(cloud.services->invoked.empty());
  CHECK(vehicle.context->routing->load()->nodes.empty());
}

TEST_CASE_FIXTURE(fixture, "expired and future credentials are not let in") {
  auto claims = provisioning.claims(cloud.key.public_part(), {"jlr.com/cloud"}, {}, now_s());
  SUBCASE("expired") {
    claims.expires_s = now_s() - 1;
  }
  SUBCASE("future") {
    claims.not_before_s = now_s() + 1'000;
  }
  cloud.credential = provisioning.issue(claims);
  REQUIRE(cloud.credential);
  start_cloud();
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, song, 30'000);
  pass(5'000);
  CHECK(cloud.services->invoked.empty());
}

TEST_SUITE_END();
