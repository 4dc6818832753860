// SPDX-License-Identifier: MPL-2.0
//
// A vehicle and a cloud as real processes: requests, messages and their ends over TLS, with nodes
// that are late, stopped in order, or told to read their credentials again.

#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <set>
#include <sys/stat.h>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";
constexpr const char* song = R"([{"file":"xyzzy.mp3"},{"start":0},{"quality":10}])";
constexpr uint64_t minute_ms = 60'000;

struct fixture : two_nodes {
  fixture() { make_echo(media_server); }

  void start_vehicle() {
    vehicle.start();
    CHECK(media_player.register_service("media_player")
          == "jlr.com/vin/1234/services/media_player");
  }

  void start_cloud() {
    cloud.start();
    CHECK(media_server.register_service("media_server") == "jlr.com/cloud/media_server");
  }

  std::string
  accepted(const std::string& target, const std::string& arguments, uint64_t expires_ms) {
    auto answer = media_player.invoke("media_player", target, arguments, expires_ms);
    REQUIRE_MESSAGE(answer.code.empty(), answer.code << ": " << answer.message);
    CHECK(answer.transaction_id.size() == 56);
    return answer.transaction_id;
  }

  bool wait(const std::function<bool()>& holds, milliseconds time = node_patience) {
    return wait_for({&media_player, &media_server}, holds, time);
  }

  service_client media_player{vehicle.socket()};
  service_client media_server{cloud.socket()};
};

} // namespace

TEST_SUITE_BEGIN("real nodes" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "an rpc over TLS on demand brings its reply back") {
  start_cloud();
  start_vehicle();
  auto expires = wall_ms() + minute_ms;
  auto id = accepted(stream_audio, song, expires);
  REQUIRE_MESSAGE(wait([&] { return !media_player.outcomes.empty(); }), vehicle.log_tail());
  REQUIRE(media_server.invoked.size() == 1);
  auto& given = media_server.invoked.front();
  CHECK(given.transaction_id == id);
  CHECK(given.target == stream_audio);
  CHECK(given.requesting_service == "jlr.com/vin/1234/services/media_player");
  CHECK(given.arguments == song);
  CHECK(given.timeout_ms == expires);
  auto& outcome = media_player.outcomes.front();
  CHECK(outcome.transaction_id == id);
  CHECK(outcome.status == "ok");
  CHECK(outcome.arguments == song);
  CHECK(outcome.target == stream_audio);
  CHECK(
    media_player.call("get_outcome", R"({"transaction_id":")" + id + "\"}").result.find("\"ok\"")
    != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "a synchronous rpc is answered with its outcome") {
  start_cloud();
  start_vehicle();
  auto id
    = media_player.send_call("invoke", R"({"timeout":)" + std::to_string(wall_ms() + minute_ms)
                                         + R"(,"requesting_service":"media_player","target":")"
                                         + stream_audio + R"(","arguments":[7],"synch":true})");
  std::optional<call_answer> answer;
  REQUIRE(wait([&] { return (answer = media_player.take_answer(id)).has_value(); }));
  CHECK_MESSAGE(answer->code.empty(), answer->message);
  CHECK(answer->result.find(R"("status":"ok")") != std::string::npos);
  CHECK(answer->result.find(R"("arguments":[7])") != std::string::npos);
  CHECK(media_player.outcomes.empty());
}

TEST_CASE_FIXTURE(fixture, "a message reaches its service once and has no outcome") {
  start_cloud();
  start_vehicle();
  media_server.on_invoke = nullptr;
  accepted("message:jlr.com/cloud/media_server/log", R"({"level":"info"})", wall_ms() + minute_ms);
  REQUIRE_MESSAGE(wait([&] { return !media_server.invoked.empty(); }), vehicle.log_tail());
  CHECK(media_server.invoked.front().arguments == R"({"level":"info"})");
  // What comes after it shows that nothing of it is left on the way.
  media_server.on_invoke = nullptr;
  make_echo(media_server);
  auto id = accepted(stream_audio, "1", wall_ms() + minute_ms);
  REQUIRE(wait([&] { return !media_player.outcomes.empty(); }));
  CHECK(media_player.outcomes.front().transaction_id == id);
  CHECK(media_player.outcomes.size() == 1);
  CHECK(media_server.invoked.size() == 2);
}

TEST_CASE_FIXTURE(fixture, "a request outside the rights is refused at once") {
  start_cloud();
  start_vehicle();
  auto answer = media_player.invoke("media_player", "rpc:jlr.com/cloud/billing/charge", "{}",
                                    wall_ms() + minute_ms);
  CHECK(answer.code == "unauthorized");
  CHECK(!answer.message.empty());
}

TEST_CASE_FIXTURE(fixture, "a timeout is reported at its time and not before") {
  start_vehicle();
  auto expires = wall_ms() + 3'000;
  auto id = accepted(stream_audio, song, expires);
  REQUIRE(wait([&] { return !media_player.outcomes.empty(); }));
  auto& outcome = media_player.outcomes.front();
  CHECK(outcome.transaction_id == id);
  CHECK(outcome.status == "timeout");
  CHECK(outcome.dispatched == "no");
  CHECK(outcome.received_ms >= expires);
  CHECK(outcome.received_ms <= expires + 1'000);
}

TEST_CASE_FIXTURE(fixture, "the timeout of a request whose service never answers is unknown") {
  start_cloud();
  start_vehicle();
  media_server.on_invoke = nullptr;
  auto expires = wall_ms() + 5'000;
  accepted(stream_audio, song, expires);
  REQUIRE(wait([&] { return !media_player.outcomes.empty(); }));
  CHECK(media_server.invoked.size() == 1);
  CHECK(media_player.outcomes.front().status == "timeout");
  CHECK(media_player.outcomes.front().dispatched == "unknown");
  CHECK(media_player.outcomes.front().received_ms >= expires);
  CHECK(media_player.outcomes.front().received_ms <= expires + 1'000);
}

TEST_CASE_FIXTURE(fixture, "a request is held while the cloud is down and runs when it is there") {
  start_vehicle();
  auto id = accepted(stream_audio, song, wall_ms() + minute_ms);
  CHECK_FALSE(wait([&] { return !media_player.outcomes.empty(); }, milliseconds{1'500}));
  start_cloud();
  REQUIRE_MESSAGE(wait([&] { return !media_player.outcomes.empty(); }), vehicle.log_tail());
  CHECK(media_player.outcomes.front().transaction_id == id);
  CHECK(media_player.outcomes.front().status == "ok");
  CHECK(media_server.invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a request waits at the cloud for a service that registers late") {
  cloud.start();
  start_vehicle();
  auto id = accepted(stream_audio, song, wall_ms() + minute_ms);
  CHECK_FALSE(wait([&] { return !media_player.outcomes.empty(); }, milliseconds{1'500}));
  media_server.register_service("media_server");
  REQUIRE_MESSAGE(wait([&] { return !media_player.outcomes.empty(); }), cloud.log_tail());
  CHECK(media_player.outcomes.front().transaction_id == id);
  CHECK(media_player.outcomes.front().status == "ok");
}

TEST_CASE_FIXTURE(fixture, "an outcome waits for a requesting service that was away") {
  start_vehicle();
  auto id = accepted(stream_audio, song, wall_ms() + minute_ms);
  media_player.disconnect();
  start_cloud();
  REQUIRE(wait([&] { return !media_server.invoked.empty(); }));
  REQUIRE(media_player.connect());
  media_player.register_service("media_player");
  REQUIRE_MESSAGE(wait([&] { return !media_player.outcomes.empty(); }), vehicle.log_tail());
  CHECK(media_player.outcomes.front().transaction_id == id);
  CHECK(media_player.outcomes.front().status == "ok");
}

TEST_CASE_FIXTURE(fixture, "a vehicle that is stopped in order loses nothing") {
  start_vehicle();
  std::set<std::string> ids;
  for (int i = 0; i < 20; ++i)
    ids.insert(accepted(stream_audio, std::to_string(i), wall_ms() + 2 * minute_ms));
  auto code = vehicle.terminate(milliseconds{2'000});
  REQUIRE_MESSAGE(code.has_value(), "still runs 2 s after SIGTERM: " << vehicle.log_tail());
  CHECK(*code == 0);
  media_player.disconnect();
  start_cloud();
  start_vehicle();
  REQUIRE_MESSAGE(wait([&] { return media_player.outcomes.size() >= ids.size(); }),
                  vehicle.log_tail());
  for (auto& id : ids) {
    auto outcome = outcome_of(media_player, id);
    REQUIRE(outcome);
    CHECK(outcome->status == "ok");
  }
  CHECK(media_server.invoked.size() == ids.size());
}

TEST_CASE_FIXTURE(fixture, "nodes with a link and open requests stop within 2 s") {
  start_cloud();
  start_vehicle();
  media_server.on_invoke = nullptr;
  for (int i = 0; i < 20; ++i)
    accepted(stream_audio, std::to_string(i), wall_ms() + minute_ms);
  REQUIRE(wait([&] { return media_server.invoked.size() == 20; }));
  CHECK_MESSAGE(vehicle.terminate(milliseconds{2'000}) == 0, vehicle.log_tail());
  CHECK_MESSAGE(cloud.terminate(milliseconds{2'000}) == 0, cloud.log_tail());
}

TEST_CASE_FIXTURE(fixture, "what the cloud holds runs after its restart, before any link is up") {
  cloud.start();
  start_vehicle();
  auto id = accepted(stream_audio, song, wall_ms() + minute_ms);
  REQUIRE(media_server.connect());
  auto held = [&] {
    return media_server.call("get_status", "{}").result.find(R"("items":1)") != std::string::npos;
  };
  REQUIRE_MESSAGE(wait(held), cloud.log_tail());
  vehicle.kill();
  CHECK_MESSAGE(cloud.terminate() == 0, cloud.log_tail());
  start_cloud();
  CHECK_MESSAGE(wait([&] { return !media_server.invoked.empty(); }, milliseconds{5'000}),
                cloud.log_tail());
  start_vehicle();
  // Brings the link up, whether or not the first one's outcome does.
  accepted(stream_audio, "1", wall_ms() + minute_ms);
  REQUIRE_MESSAGE(wait([&] { return outcome_of(media_player, id); }), cloud.log_tail());
  auto outcome = outcome_of(media_player, id);
  CHECK_MESSAGE(outcome->status == "ok", outcome->error);
  CHECK(outcome->arguments == song);
}

TEST_CASE_FIXTURE(fixture, "SIGHUP picks up a new credential") {
  vehicle.start();
  media_player.register_service("media_player");
  auto charge = [&] {
    return media_player.invoke("media_player", "rpc:jlr.com/cloud/billing/charge", "{}",
                               wall_ms() + minute_ms);
  };
  CHECK(charge().code == "unauthorized");
  auto& root = world.provisioning;
  vehicle.write_credential("second.jwt",
                           root.issue(root.claims(vehicle.key.public_part(), {"jlr.com/vin/1234"},
                                                  {"jlr.com/cloud/billing"}, wall_ms() / 1'000)));
  vehicle.signal(SIGHUP);
  call_answer answer;
  CHECK_MESSAGE(wait([&] { return (answer = charge()).code.empty(); }), vehicle.log_tail());
  // And what was there is still in force.
  accepted(stream_audio, song, wall_ms() + minute_ms);
}

TEST_CASE_FIXTURE(fixture, "SIGHUP disturbs no request under way") {
  start_cloud();
  start_vehicle();
  for (int i = 0; i < 60; ++i) {
    accepted(stream_audio, std::to_string(i), wall_ms() + minute_ms);
    if (i % 10 == 5) {
      vehicle.signal(SIGHUP);
      cloud.signal(SIGHUP);
    }
  }
  REQUIRE_MESSAGE(wait([&] { return media_player.outcomes.size() >= 60; }), cloud.log_tail());
  for (auto& x : media_player.outcomes)
    CHECK_MESSAGE(x.status == "ok", x.error);
  CHECK(media_server.invoked.size() == 60);
}

TEST_CASE_FIXTURE(fixture, "a broken credential at SIGHUP leaves in force what was") {
  start_vehicle();
  write_file(vehicle.path("credentials/broken.jwt"), "no credential at all\n");
  vehicle.signal(SIGHUP);
  CHECK_MESSAGE(wait([&] { return vehicle.log().find("broken.jwt") != std::string::npos; }),
                vehicle.log_tail());
  accepted(stream_audio, song, wall_ms() + minute_ms);
}

TEST_CASE_FIXTURE(fixture, "SIGHUP picks up rules for users; those that are none change nothing") {
  start_cloud();
  start_vehicle();
  auto ended = [&] {
    auto id = accepted(stream_audio, song, wall_ms() + minute_ms);
    REQUIRE_MESSAGE(wait([&] { return outcome_of(media_player, id); }), cloud.log_tail());
    return outcome_of(media_player, id)->status;
  };
  CHECK(ended() == "ok");
  REQUIRE(::mkdir(cloud.path("access.d").c_str(), 0755) == 0);
  auto file = cloud.path("access.d/media.json");
  write_file(file, R"({"services":[{"names":["jlr.com/cloud/media_server"],"roles":["owner"]}]})");
  REQUIRE(::chmod(file.c_str(), 0644) == 0);
  cloud.signal(SIGHUP);
  CHECK_MESSAGE(wait([&] { return ended() == "refused"; }), cloud.log_tail());
  write_file(file, R"({"services":[]}, nothing)");
  cloud.signal(SIGHUP);
  CHECK_MESSAGE(wait([&] { return cloud.log().find("media.json") != std::string::npos; }),
                cloud.log_tail());
  CHECK(ended() == "refused");
}

TEST_SUITE_END();
