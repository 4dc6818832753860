// SPDX-License-Identifier: MPL-2.0
//
// HLD 3.2.4 between a service and its node: "I lost the connection after invoke; did it go?"

#include "actors/routing/request_ledger.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/loopback_node.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr const char* stream = "rpc:jlr.com/cloud/media_server/stream";

struct fixture : test::world {
  fixture() {
    (void)log::configure(log::level::off, log::format::text);
    cloud.infix = "";
    cloud.start();
    register_call("media_server", cloud, "uid:1000");
    vehicle.routes = {{"+:jlr.com/cloud/#", {"loopback:cloud"}}};
    start_vehicle();
  }

  void start_vehicle() {
    vehicle.start();
    register_call("player", vehicle, "uid:1000");
  }

  /// The last id the node has seen.
  uint64_t register_call(const std::string& name, test::loopback_node& at,
                         const std::string& principal, bool ids_required = false) {
    register_service_call x;
    x.service = name;
    x.durability_min = durability::none;
    x.transaction_ids_required = ids_required;
    at.call(std::move(x), 1, principal);
    auto* result = std::get_if<registered_result>(&at.services->answers.back().answer);
    REQUIRE(result);
    return result->last_transaction_id;
  }

  invoke_call asked(std::optional<uint64_t> id, std::string arguments = "1") {
    invoke_call x;
    x.timeout_ms = until_ms;
    x.timeout_given = true;
    x.requesting_service = "player";
    x.target = stream;
    x.arguments = std::move(arguments);
    x.service_transaction_id = id;
    return x;
  }

  void send(invoke_call x, const std::string& principal = "uid:1000") {
    vehicle.call(std::move(x), 1, principal);
  }

  ec code() const { return code_of(vehicle.services->answers.back().error); }

  transaction_id accepted(bool repeated) const {
    REQUIRE(code() == ec::none);
    auto* result = std::get_if<accepted_result>(&vehicle.services->answers.back().answer);
    REQUIRE(result);
    CHECK(result->repeated == repeated);
    return result->id;
  }

  size_t ran() const { return cloud.services->invoked.size(); }

  uint64_t until_ms = now_ms() + 600'000;
  test::loopback_node vehicle{*this, "jlr.com/vin/1234", "vehicle", {"jlr.com/cloud"}};
  test::loopback_node cloud{*this, "jlr.com/cloud", "cloud", {"jlr.com/vin"}};
};

} // namespace

TEST_CASE_FIXTURE(fixture, "the same request again under its id is one request") {
  send(asked(7));
  auto first = accepted(false);
  pass(1'000);
  CHECK(ran() == 1);
  send(asked(7));
  CHECK(accepted(true) == first);
  auto answered = vehicle.services->answers.size();
  auto with_other_wait = asked(7);
  with_other_wait.synch = true;
  send(with_other_wait);
  CHECK(vehicle.services->answers.size() == answered); // it has not ended
  cloud.reply(first, "42");
  pass(1'000);
  REQUIRE(vehicle.services->answers.size() == answered + 1);
  auto* outcome = std::get_if<outcome_notice>(&vehicle.services->answers.back().answer);
  REQUIRE(outcome);
  CHECK(outcome->id == first);
  CHECK(outcome->arguments == "42");
  send(with_other_wait); // and once more, when it has
  outcome = std::get_if<outcome_notice>(&vehicle.services->answers.back().answer);
  REQUIRE(outcome);
  CHECK(outcome->status == "ok");
  CHECK(ran() == 1);
}

TEST_CASE_FIXTURE(fixture, "another request under the id, and a lower id, are replays") {
  send(asked(7));
  (void)accepted(false);
  auto other = [&](auto change) {
    auto x = asked(7);
    change(x);
    send(std::move(x));
    CHECK(code() == ec::replay);
  };
  other([](invoke_call& x) { x.arguments = "2"; });
  other([](invoke_call& x) { x.target = "rpc:jlr.com/cloud/media_server/stop"; });
  other([](invoke_call& x) { ++x.timeout_ms; });
  other([](invoke_call& x) { x.timeout_given = false; });
  other([](invoke_call& x) { x.priority = 0; });
  other([](invoke_call& x) { x.channel = "c"; });
  other([](invoke_call& x) { x.durability = durability::none; });
  other([](invoke_call& x) { x.data_class = "bulk"; });
  other([](invoke_call& x) { x.delivery_report = true; });
  other([](invoke_call& x) { x.user = named_user{"bob", {}, 0, {}}; });
  other([](invoke_call& x) { x.service_transaction_id = 6; });
  send(asked(8));
  (void)accepted(false);
  send(asked(7)); // of the last 32, the first acceptance is known
  (void)accepted(true);
  pass(1'000);
  CHECK(ran() == 2);
}

TEST_CASE_FIXTURE(fixture, "after 32 more an id is too low to be asked again") {
  for (uint64_t id = 1; id <= 33; ++id) {
    send(asked(id));
    (void)accepted(false);
  }
  SUBCASE("at once") {}
  SUBCASE("after a power cut") {
    vehicle.kill();
    start_vehicle();
  }
  send(asked(1));
  CHECK(code() == ec::replay);
  send(asked(2));
  (void)accepted(true);
}

TEST_CASE_FIXTURE(fixture, "a retry after the time is up still hears of the first") {
  send(asked(7));
  auto first = accepted(false);
  pass(601'000, 1'000);
  send(asked(7));
  CHECK(accepted(true) == first);
  auto late = asked(8);
  send(late);
  CHECK(code() == ec::timeout);
}

TEST_CASE_FIXTURE(fixture, "a power cut between acceptance and answer leaves one request") {
  send(asked(7));
  auto first = accepted(false); // as it would have been answered
  vehicle.kill();
  start_vehicle();
  CHECK(register_call("player", vehicle, "uid:1000") == 7);
  send(asked(7));
  CHECK(accepted(true) == first);
  send(asked(7, "2"));
  CHECK(code() == ec::replay);
  send(asked(3));
  CHECK(code() == ec::replay);
  pass(10'000);
  CHECK(ran() == 1);
}

TEST_CASE_FIXTURE(fixture, "a disk that fails keeps the request with its id, or neither") {
  bool lands = false;
  SUBCASE("neither") {}
  SUBCASE("both, although the node could not know") {
    lands = true;
  }
  vehicle.disk->fail_commits(1, ec::store_failed, lands);
  send(asked(7));
  CHECK(code() == ec::store_failed);
  vehicle.kill();
  start_vehicle();
  CHECK(register_call("player", vehicle, "uid:1000") == (lands ? 7 : 0));
  send(asked(7));
  (void)accepted(lands);
  pass(10'000);
  CHECK(ran() == 1);
}

TEST_CASE_FIXTURE(fixture, "an id whose request was refused is free again") {
  auto nowhere = asked(7);
  nowhere.target = "rpc:jlr.com/elsewhere/x";
  send(nowhere);
  CHECK(code() == ec::unauthorized);
  CHECK(register_call("player", vehicle, "uid:1000") == 0);
  send(asked(7));
  (void)accepted(false);
}

TEST_CASE_FIXTURE(fixture, "of two at once, the second waits for the first and is the same") {
  std::vector<service_call> both(2);
  for (auto& x : both) {
    x.client = 1;
    x.token = 1'000;
    x.deliverable = true;
    x.principal = {"uid:1000", true};
    x.request = asked(7);
  }
  auto before = vehicle.services->answers.size();
  self->send(vehicle.edge, atom::call_v, std::move(both));
  pass(1'000);
  auto& answers = vehicle.services->answers;
  REQUIRE(answers.size() == before + 2);
  auto id_of = [&](size_t i) { return std::get<accepted_result>(answers[before + i].answer).id; };
  CHECK(id_of(0) == id_of(1));
  CHECK(ran() == 1);
}

TEST_CASE_FIXTURE(fixture, "each principal counts for itself, under one name after the other") {
  send(asked(7));
  (void)accepted(false);
  vehicle.call(unregister_service_call{"player"});
  CHECK(register_call("player", vehicle, "uid:1001") == 0);
  send(asked(3, "theirs"), "uid:1001");
  (void)accepted(false);
  vehicle.call(unregister_service_call{"player"}, 1, "uid:1001");
  CHECK(register_call("player", vehicle, "uid:1000") == 7);
  send(asked(3, "theirs"));
  CHECK(code() == ec::replay);
}

TEST_CASE_FIXTURE(fixture, "a service may bind itself to give ids") {
  register_call("player", vehicle, "uid:1000", true);
  send(asked(std::nullopt));
  CHECK(code() == ec::bad_request);
  send(asked(1));
  (void)accepted(false);
}

TEST_CASE_FIXTURE(fixture, "ids of requests in memory hold as long as the node lives") {
  until_ms = now_ms() + 30'000;
  auto light = asked(7);
  light.durability = durability::none;
  send(light);
  auto first = accepted(false);
  pass(1'000);
  SUBCASE("at once") {}
  SUBCASE("after the edge has failed") {
    vehicle.restart_edge();
    CHECK(register_call("player", vehicle, "uid:1000") == 7);
  }
  send(light);
  CHECK(accepted(true) == first);
  send(asked(6));
  CHECK(code() == ec::replay);
  pass(1'000);
  CHECK(ran() == 1);
  CHECK(vehicle.disk->content(table::services).empty());
}

TEST_CASE("a principal has a bound of services with ids, and old ones make room") {
  service_ids ids;
  auto claim = [](size_t i, uint64_t now_ms, const std::string& who = "uid:1") {
    service_claim x;
    x.principal = who;
    x.service = "s" + std::to_string(i);
    x.id = 1;
    x.now_ms = now_ms;
    return x;
  };
  for (size_t i = 0; i < services_with_ids_max; ++i) {
    auto x = claim(i, 1'000 + i);
    REQUIRE(!ids.take(x));
    ids.accepted(x);
  }
  auto more = claim(services_with_ids_max, 5'000);
  CHECK(code_of(ids.take(more)) == ec::limit_exceeded);
  auto other = claim(0, 5'000, "uid:2");
  CHECK(!ids.take(other));
  more.now_ms = 1'000 + service_ids_kept_ms;
  REQUIRE(!ids.take(more));
  CHECK(more.forgets == "s0");
  CHECK(ids.last("uid:1", "s0") == 0);
  CHECK(ids.last("uid:1", "s1") == 1);
}

TEST_CASE("the store itself takes no id twice, in whatever order they come") {
  auto disk = memory_disk::make();
  auto opened = disk->open();
  REQUIRE(opened);
  auto claim = [&](uint64_t id) {
    service_claim x;
    x.principal = "uid:1";
    x.service = "s";
    x.id = id;
    auto t = (*opened)->begin_write();
    REQUIRE(t);
    auto error = ledger::claim(**t, x);
    return code_of(error ? error : (*t)->commit());
  };
  CHECK(claim(5) == ec::none);
  CHECK(claim(3) == ec::none);
  CHECK(claim(5) == ec::replay);
  CHECK(claim(3) == ec::replay);
  for (uint64_t id = 10; id < 10 + ledger::service_ids_max; ++id)
    CHECK(claim(id) == ec::none);
  CHECK(claim(4) == ec::replay); // below all that are remembered
}
