// SPDX-License-Identifier: MPL-2.0
//
// HLD 3.2.6 between whole nodes: a program in the cloud asks for a user, the vehicle's doors want
// to know who that is.

#include "runtime/observe/log.hpp"
#include "test/support/vehicle_and_cloud.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr const char* unlock = "rpc:jlr.com/vin/1234/services/doors/unlock";

struct fixture : test::vehicle_and_cloud {
  fixture()
    : vehicle_and_cloud({{"jlr.com/cloud"}, "doors"},
                        {{"jlr.com/vin/1234", "metric:jlr.com/vin/1234"}, "key"}, log::level::off) {
  }

  void start() {
    start_cloud();
    start_vehicle();
    set_policy(vehicle, R"({"services":[{"names":["jlr.com/vin/1234/services/doors"],
                            "roles":["owner"],"authenticated_within_s":300}]})");
    set_policy(cloud, R"({"principals":[{"match":{"uid":1000},"users":["owner","guest"]}]})");
    self->send(
      vehicle.data_link, atom::setup_v,
      setup_request{cloud.address, cloud.address, {cloud.loopback_address}, true, 60'000, {}});
    pass(3'000);
  }

  static void set_policy(test::loopback_node& at, const char* text) {
    auto rules = std::make_shared<access_policy>();
    REQUIRE(!rules->add(text));
    auto next = std::make_shared<rights>(*at.context->rights->load());
    next->policy = std::move(rules);
    at.context->rights->publish(std::move(next));
  }

  ec ask(std::optional<named_user> user, uint64_t timeout_ms = 3'600'000) {
    invoke_call x;
    x.timeout_ms = now_ms() + timeout_ms;
    x.requesting_service = "key";
    x.target = unlock;
    x.arguments = "{}";
    x.user = std::move(user);
    cloud.call(std::move(x));
    return code_of(cloud.services->answers.back().error);
  }

  /// How the last request ended, and whether the doors were told of it.
  std::string outcome() {
    REQUIRE(!cloud.services->outcomes.empty());
    auto& x = cloud.services->outcomes.back().notice;
    return x.status + (x.error.find("unauthorized") != x.error.npos ? ": unauthorized" : "");
  }

  named_user bob() const { return {"bob", "owner", now_ms() - 1'000, "pin"}; }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "the doors are told who asks, but not by name") {
  start();
  REQUIRE(ask(bob()) == ec::none);
  pass(2'000);
  REQUIRE(vehicle.services->invoked.size() == 1);
  auto user = vehicle.services->invoked[0].content->header.user;
  REQUIRE(user);
  CHECK(user->user.size() == 16);
  CHECK(user->user.find("bob") == user->user.npos);
  CHECK(user->role == "owner");
  CHECK(user->method == "pin");
  // The same user is known again, also after a restart; another is another.
  cloud.kill();
  start_cloud();
  set_policy(cloud, R"({"principals":[{"match":{"uid":1000},"users":["owner","guest"]}]})");
  pass(400'000);
  REQUIRE(ask(bob()) == ec::none);
  pass(2'000);
  auto other = bob();
  other.name = "eve";
  REQUIRE(ask(other) == ec::none);
  pass(2'000);
  REQUIRE(vehicle.services->invoked.size() == 3);
  CHECK(vehicle.services->invoked[1].content->header.user->user == user->user);
  CHECK(vehicle.services->invoked[2].content->header.user->user != user->user);
}

TEST_CASE_FIXTURE(fixture, "nobody, the wrong role and an old proof open no door") {
  start();
  auto guest = bob();
  guest.role = "guest";
  auto old = bob();
  old.authenticated_ms = now_ms() - 301'000;
  auto never = bob();
  never.authenticated_ms = 0;
  for (auto& user : {std::optional<named_user>{}, std::optional{guest}, std::optional{old},
                     std::optional{never}}) {
    REQUIRE(ask(user) == ec::none); // the doors' rules are the vehicle's to know
    pass(2'000);
    CHECK(outcome() == "refused: unauthorized");
  }
  auto mechanic = bob();
  mechanic.role = "mechanic";
  CHECK(ask(mechanic) == ec::unauthorized); // this one is the cloud's
  CHECK(vehicle.services->invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "who proved it when he asked must do so again if his request waits") {
  start();
  vehicle.call(unregister_service_call{"doors"});
  REQUIRE(ask(bob()) == ec::none);
  pass(250'000, 1'000);
  vehicle.register_service("doors");
  pass(2'000);
  CHECK(vehicle.services->invoked.size() == 1);
  vehicle.call(unregister_service_call{"doors"});
  REQUIRE(ask(bob()) == ec::none);
  pass(310'000, 1'000);
  vehicle.register_service("doors");
  pass(2'000);
  CHECK(vehicle.services->invoked.size() == 1);
  CHECK(outcome() == "error: unauthorized");
}

TEST_CASE_FIXTURE(fixture, "a request on its way meets the rules as they are when it arrives") {
  start();
  vehicle.call(unregister_service_call{"doors"});
  REQUIRE(ask(bob()) == ec::none);
  pass(2'000);
  set_policy(vehicle, R"({"services":[{"names":["jlr.com/vin/1234"],"roles":["nobody"]}]})");
  vehicle.register_service("doors");
  pass(2'000);
  CHECK(vehicle.services->invoked.empty());
  CHECK(outcome() == "error: unauthorized");
}

TEST_CASE_FIXTURE(fixture, "a dead letter that is tried again is for the same user") {
  start();
  invoke_call x;
  x.timeout_ms = now_ms() + 60'000;
  x.requesting_service = "key";
  x.target = "message:jlr.com/vin/1234/services/doors/note";
  x.arguments = "{}";
  x.user = bob();
  x.user->role = "guest";
  cloud.call(std::move(x));
  REQUIRE(!cloud.services->answers.back().error);
  auto id = std::get<accepted_result>(cloud.services->answers.back().answer).id;
  pass(5'000);
  CHECK(vehicle.services->invoked.empty());
  set_policy(vehicle, R"({"services":[{"names":["jlr.com/vin/1234"],"roles":["guest"]}]})");
  queue_call again;
  again.what = queue_call::action::requeue;
  again.id = id;
  cloud.call(again);
  pass(5'000);
  auto& answer = cloud.services->answers.back();
  REQUIRE_MESSAGE(!answer.error, describe(answer.error));
  REQUIRE(vehicle.services->invoked.size() == 1);
  CHECK(vehicle.services->invoked[0].content->header.role() == "guest");
}

TEST_CASE_FIXTURE(fixture, "a credential for certain roles signs for those alone") {
  auto claims
    = provisioning.claims(cloud.key.public_part(), {cloud.address}, {"jlr.com/vin/1234"}, now_s());
  claims.users = std::vector<std::string>{"owner"};
  cloud.credential = provisioning.issue(claims);
  start();
  CHECK(ask(std::nullopt) == ec::unauthorized);
  auto guest = bob();
  guest.role = "guest";
  CHECK(ask(guest) == ec::unauthorized);
  REQUIRE(ask(bob()) == ec::none);
  pass(2'000);
  CHECK(vehicle.services->invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "programs register and invoke what the rules name") {
  start();
  auto code = [&](service_request x, const char* name) {
    service_call call;
    call.client = 9;
    call.token = 77;
    call.deliverable = true;
    call.principal = {name, false, "gid:7"};
    call.request = std::move(x);
    self->send(cloud.edge, atom::call_v, std::vector<service_call>{std::move(call)});
    pass(1'000);
    return code_of(cloud.services->answers.back().error);
  };
  set_policy(cloud, R"({"principals":[{"match":{"uid":5},"register":["jlr.com/cloud/radio"],
    "invoke":["jlr.com/vin/1234/services/radio","metric:jlr.com/cloud/radio"]}]})");
  auto invoke = [&](const char* target) {
    invoke_call x;
    x.timeout_ms = now_ms() + 60'000;
    x.requesting_service = "radio";
    x.target = target;
    x.arguments = "{}";
    return x;
  };
  CHECK(code(register_service_call{"radio", {}, {}, false}, "uid:6") == ec::unauthorized);
  CHECK(code(register_service_call{"doors", {}, {}, false}, "uid:5") == ec::unauthorized);
  CHECK(code(register_service_call{"radio", {}, {}, false}, "uid:5") == ec::none);
  CHECK(code(invoke("rpc:jlr.com/vin/1234/services/radio/on"), "uid:5") == ec::none);
  CHECK(code(invoke(unlock), "uid:5") == ec::unauthorized);
  CHECK(code(publish_call{"radio", "metric:jlr.com/cloud/radio/volume", "3", 0, false}, "uid:5")
        == ec::none);
  CHECK(code(publish_call{"radio", "metric:jlr.com/cloud/speed", "3", 0, false}, "uid:5")
        == ec::unauthorized);
  CHECK(code(subscribe_call{"radio", "metric:jlr.com/vin/1234/services/radio/+", {}}, "uid:5")
        == ec::none);
  CHECK(code(subscribe_call{"radio", "metric:jlr.com/vin/1234/services/+", {}}, "uid:5")
        == ec::unauthorized);
}
