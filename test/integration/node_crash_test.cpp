// SPDX-License-Identifier: MPL-2.0
//
// Nodes that are killed while they hold requests: each accepted request ends in exactly one
// outcome, none runs twice and none is silently gone.

#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <utility>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";
constexpr uint64_t minute_ms = 60'000;
using steady = std::chrono::steady_clock;

struct fixture : two_nodes {
  fixture() { make_echo(media_server); }

  std::string accepted(const std::string& arguments, uint64_t expires_ms) {
    auto answer = media_player.invoke("media_player", stream_audio, arguments, expires_ms);
    REQUIRE_MESSAGE(answer.code.empty(), answer.code << ": " << answer.message);
    return answer.transaction_id;
  }

  /// Several at once, and something else while they are on their way.
  void accept_some(size_t count, uint64_t expires_ms, std::set<std::string>& ids,
                   const std::function<void()>& meanwhile) {
    std::vector<uint64_t> calls;
    for (size_t i = 0; i < count; ++i)
      calls.push_back(media_player.send_call(
        "invoke", R"({"timeout":)" + std::to_string(expires_ms)
                    + R"(,"requesting_service":"media_player","target":")" + stream_audio
                    + R"(","arguments":)" + std::to_string(ids.size() + i) + "}"));
    wait([&] { return !media_server.connected(); }, milliseconds{2});
    meanwhile();
    for (auto call : calls) {
      std::optional<call_answer> answer;
      REQUIRE(wait([&] { return (answer = media_player.take_answer(call)).has_value(); }));
      REQUIRE_MESSAGE(answer->code.empty(), answer->code << ": " << answer->message);
      ids.insert(answer->transaction_id);
    }
  }

  bool wait(const std::function<bool()>& holds, milliseconds time = node_patience) {
    return wait_for({&media_player, &media_server}, holds, time);
  }

  /// Comes back after each start of its node; a registration needs no answer here.
  static void stay_registered(service_client& x, const char* name) {
    if (!x.connected() && x.connect())
      x.send_call("register_service", R"({"service":")" + std::string{name} + "\"}");
  }

  std::map<std::string, int> runs() const {
    std::map<std::string, int> result;
    for (auto& x : media_server.invoked)
      ++result[x.transaction_id];
    return result;
  }

  size_t ended(const std::set<std::string>& ids) const {
    std::set<std::string> seen;
    for (auto& x : media_player.outcomes)
      if (ids.count(x.transaction_id))
        seen.insert(x.transaction_id);
    return seen.size();
  }

  /// One outcome each, at most one run each, and the two agree.
  void check_promises(const std::set<std::string>& ids) {
    auto ran = runs();
    std::map<std::string, int> statuses;
    for (auto& id : ids) {
      auto outcome = outcome_of(media_player, id);
      CHECK_MESSAGE(outcome != nullptr, id << " is silently gone; it ran " << ran[id] << " times");
      if (!outcome)
        continue;
      auto unknown = outcome->error.find("outcome_unknown") != std::string::npos;
      ++statuses[outcome->status + (unknown ? " unknown" : "")];
      auto known = outcome->status == "ok" || (outcome->status == "error" && unknown);
      CHECK_MESSAGE(known, id << " ended as " << outcome->status << " " << outcome->error
                              << outcome->dispatched << "; it ran " << ran[id] << " times");
      if (outcome->status == "ok")
        CHECK_MESSAGE(ran[id] == 1, id << " is ok and ran " << ran[id] << " times");
    }
    for (auto& [id, count] : ran) {
      CHECK_MESSAGE(count == 1, id << " ran " << count << " times");
      CHECK_MESSAGE(ids.count(id) == 1, id << " ran and was never accepted");
    }
    for (auto& [status, count] : statuses)
      MESSAGE(count << " ended as " << status);
  }

  service_client media_player{vehicle.socket()};
  service_client media_server{cloud.socket()};
};

/// What happens to a node now and then.
struct killings {
  node_process& victim;
  std::mt19937 draw;
  int left;
  steady::time_point next = steady::now() + milliseconds{300};

  void maybe() {
    if (left == 0 || steady::now() < next)
      return;
    victim.kill();
    victim.launch();
    --left;
    next = steady::now() + milliseconds{400 + draw() % 900};
  }
};

} // namespace

TEST_SUITE_BEGIN("real nodes that crash" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a killed vehicle keeps what it accepted and each runs exactly once") {
  vehicle.start();
  media_player.register_service("media_player");
  std::set<std::string> ids;
  for (int i = 0; i < 50; ++i)
    ids.insert(accepted(std::to_string(i), wall_ms() + 2 * minute_ms));
  vehicle.kill();
  media_player.disconnect();
  cloud.start();
  media_server.register_service("media_server");
  vehicle.start();
  media_player.register_service("media_player");
  REQUIRE_MESSAGE(wait([&] { return ended(ids) == ids.size(); }), vehicle.log_tail());
  check_promises(ids);
  CHECK(media_server.invoked.size() == ids.size());
  for (auto& x : media_player.outcomes)
    CHECK(x.status == "ok");
}

TEST_CASE_FIXTURE(fixture, "outcomes survive a vehicle that is killed before its service comes") {
  cloud.start();
  media_server.register_service("media_server");
  vehicle.start();
  media_player.register_service("media_player");
  auto id = accepted("1", wall_ms() + minute_ms);
  media_player.disconnect();
  REQUIRE(wait([&] { return !media_server.invoked.empty(); }));
  vehicle.kill();
  vehicle.start();
  media_player.register_service("media_player");
  REQUIRE_MESSAGE(wait([&] { return outcome_of(media_player, id); }), vehicle.log_tail());
  CHECK(outcome_of(media_player, id)->status == "ok");
  CHECK(media_server.invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture,
                  "a cloud killed between hand-over and reply reports it and runs nothing twice") {
  cloud.start();
  media_server.on_invoke = nullptr;
  media_server.register_service("media_server");
  vehicle.start();
  media_player.register_service("media_player");
  std::set<std::string> ids;
  for (int i = 0; i < 20; ++i)
    ids.insert(accepted(std::to_string(i), wall_ms() + 5 * minute_ms));
  REQUIRE(wait([&] { return media_server.invoked.size() == ids.size(); }));
  cloud.kill();
  cloud.start();
  media_server.register_service("media_server");
  CHECK_MESSAGE(wait([&] { return ended(ids) == ids.size(); }), cloud.log_tail());
  check_promises(ids);
  CHECK(media_server.invoked.size() == ids.size());
  // Too late: the outcome has been told.
  CHECK(media_server.call("reply", R"({"transaction_id":")" + *ids.begin() + R"("})").code
        == "not_found");
  CHECK(media_player.outcomes.size() == ids.size());
}

TEST_CASE_FIXTURE(fixture, "a cloud killed again and again leaves one outcome for each request") {
  cloud.start();
  // Answers late, so that the blows hit requests that were handed over.
  std::vector<std::string> unanswered;
  media_server.on_invoke
    = [&](const handed_over& given) { unanswered.push_back(given.transaction_id); };
  auto answer_all = [&] {
    for (auto& id : std::exchange(unanswered, {}))
      media_server.send_call("reply", R"({"transaction_id":")" + id + R"(","arguments":1})");
  };
  media_server.register_service("media_server");
  vehicle.start();
  media_player.register_service("media_player");
  constexpr size_t requests = 300;
  auto expires = wall_ms() + 5 * minute_ms;
  std::set<std::string> ids;
  auto seed = std::random_device{}();
  MESSAGE("seed " << seed);
  killings blows{cloud, std::mt19937{seed}, 6};
  auto go_on = [&] {
    blows.maybe();
    stay_registered(media_server, "media_server");
    answer_all();
  };
  while (ids.size() < requests) {
    accept_some(10, expires, ids, [&] { blows.maybe(); });
    wait([&] { return false; }, milliseconds{100});
    go_on();
  }
  auto everything_ended = [&] {
    go_on();
    return blows.left == 0 && ended(ids) == requests;
  };
  CHECK_MESSAGE(wait(everything_ended, milliseconds{60'000}), cloud.log_tail());
  check_promises(ids);
}

TEST_CASE_FIXTURE(fixture, "a vehicle killed while the cloud works gets its outcome on demand") {
  cloud.start();
  media_server.on_invoke = nullptr;
  media_server.register_service("media_server");
  vehicle.start();
  media_player.register_service("media_player");
  auto id = accepted("1", wall_ms() + minute_ms);
  REQUIRE(wait([&] { return !media_server.invoked.empty(); }));
  auto gone = [&] {
    return media_player.call("get_status", "{}").result.find(R"("queues":[])") != std::string::npos;
  };
  REQUIRE(wait(gone)); // the cloud has it, and only the cloud
  media_player.call("get_outcome", R"({"transaction_id":")" + id + "\"}");
  vehicle.kill();
  media_server.call("reply", R"({"transaction_id":")" + id + R"(","arguments":"done"})");
  // Nothing waits at the vehicle for the cloud, but an answer is owed to it.
  vehicle.start();
  media_player.register_service("media_player");
  CHECK_MESSAGE(wait([&] { return outcome_of(media_player, id); }), vehicle.log_tail());
}

TEST_CASE_FIXTURE(fixture, "an outcome reaches a vehicle that has asked for nothing since") {
  cloud.start();
  media_server.on_invoke = nullptr;
  media_server.register_service("media_server");
  vehicle.start();
  media_player.register_service("media_player");
  auto id = accepted("1", wall_ms() + 5 * minute_ms);
  // Longer than data_link remembers that a link is wanted; then the link is lost.
  CHECK_FALSE(wait([&] { return outcome_of(media_player, id); }, milliseconds{11'000}));
  cloud.kill();
  cloud.start();
  media_server.register_service("media_server");
  CHECK_MESSAGE(wait([&] { return outcome_of(media_player, id); }), vehicle.log_tail());
}

TEST_CASE_FIXTURE(fixture, "a vehicle killed again and again runs each accepted request once") {
  vehicle.settings.links = "connect = [\"127.0.0.1:" + std::to_string(cloud_port) + "\"]\n";
  vehicle.write_config();
  cloud.start();
  media_server.register_service("media_server");
  vehicle.start();
  media_player.register_service("media_player");
  constexpr size_t requests = 150;
  auto expires = wall_ms() + 5 * minute_ms;
  std::set<std::string> ids;
  auto seed = std::random_device{}();
  MESSAGE("seed " << seed);
  killings blows{vehicle, std::mt19937{seed}, 4};
  auto deadline = steady::now() + milliseconds{60'000};
  while (ids.size() < requests && steady::now() < deadline) {
    blows.maybe();
    stay_registered(media_player, "media_player");
    if (!media_player.connected()) {
      wait([&] { return false; }, milliseconds{20});
      continue;
    }
    auto answer
      = media_player.invoke("media_player", stream_audio, std::to_string(ids.size()), expires);
    // Without an answer nobody knows: it may run, but at most once.
    if (answer.code.empty())
      ids.insert(answer.transaction_id);
  }
  REQUIRE(ids.size() == requests);
  auto everything_ran = [&] {
    blows.maybe();
    stay_registered(media_player, "media_player");
    auto ran = runs();
    return blows.left == 0
           && std::all_of(ids.begin(), ids.end(), [&](auto& id) { return ran.count(id) == 1; });
  };
  CHECK_MESSAGE(wait(everything_ran, milliseconds{60'000}), vehicle.log_tail());
  CHECK_MESSAGE(wait([&] { return ended(ids) == ids.size(); }, milliseconds{30'000}),
                vehicle.log_tail());
  for (auto& [id, count] : runs())
    CHECK_MESSAGE(count == 1, id << " ran " << count << " times");
  std::map<std::string, int> statuses;
  for (auto& id : ids) {
    bool found = false;
    for (auto& x : media_player.outcomes) // told twice if the receipt was lost with the node
      if (x.transaction_id == id) {
        found = true;
        ++statuses[x.status];
        CHECK_MESSAGE(x.status == "ok", id << " " << x.error);
      }
    CHECK_MESSAGE(found, id << " has no outcome");
  }
  for (auto& [status, count] : statuses)
    MESSAGE(count << " outcomes " << status);
}

TEST_CASE_FIXTURE(fixture, "messages survive a cloud that is killed and none runs twice") {
  cloud.start();
  media_server.on_invoke = nullptr;
  media_server.register_service("media_server");
  vehicle.start();
  media_player.register_service("media_player");
  auto expires = wall_ms() + 5 * minute_ms;
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    auto answer = media_player.invoke("media_player", "message:jlr.com/cloud/media_server/log",
                                      std::to_string(i), expires);
    REQUIRE_MESSAGE(answer.code.empty(), answer.message);
    ids.insert(answer.transaction_id);
    stay_registered(media_server, "media_server");
    if (i == 50) {
      cloud.kill();
      cloud.launch();
    }
  }
  // A message that was handed over and whose receipt was lost is a dead letter, listed as such.
  service_client operator_of_cloud{cloud.socket()};
  size_t dead = 0;
  auto settled = [&] {
    stay_registered(media_server, "media_server");
    if (!operator_of_cloud.connected() && !operator_of_cloud.connect())
      return false;
    auto status = operator_of_cloud.call("get_status", "{}").result;
    auto at = status.find(R"("dead_letters":)");
    dead = at == std::string::npos ? 0 : std::stoul(status.substr(at + 15));
    return runs().size() + dead >= ids.size();
  };
  CHECK_MESSAGE(wait(settled, milliseconds{30'000}),
                runs().size() << " of " << ids.size() << " ran, " << dead << " are dead letters");
  for (auto& [id, count] : runs()) {
    CHECK_MESSAGE(count == 1, id << " ran " << count << " times");
    CHECK(ids.count(id) == 1);
  }
}

TEST_SUITE_END();
