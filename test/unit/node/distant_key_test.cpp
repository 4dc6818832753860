// SPDX-License-Identifier: MPL-2.0
//
// Whole nodes, one with a key that is elsewhere and out of reach for a while.

#include "runtime/observe/log.hpp"
#include "test/support/distant_key.hpp"
#include "test/support/vehicle_and_cloud.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";

struct fixture : test::vehicle_and_cloud {
  fixture()
    : vehicle_and_cloud({{"jlr.com/cloud/media_server"}, "media_player"},
                        {{"jlr.com/vin/+/services"}, "media_server"}, log::level::off) {
    distant = std::make_shared<test::distant_key>(vehicle.key);
    vehicle.key = test::key_at(distant);
  }

  void start() {
    start_cloud();
    start_vehicle();
  }

  void send(const std::string& arguments, uint64_t timeout_ms = 60'000) {
    vehicle.invoke("media_player", stream_audio, arguments, timeout_ms);
  }

  size_t answers() const { return vehicle.services->answers.size(); }
  ec last_answer() const { return code_of(vehicle.services->answers.back().error); }

  std::shared_ptr<test::distant_key> distant;
};

} // namespace

TEST_CASE_FIXTURE(fixture, "what is asked while the key is away is accepted when it is back") {
  start();
  send("1");
  pass(1'000);
  REQUIRE(cloud.services->invoked.size() == 1);
  distant->refusal = ec::busy;
  auto before = answers();
  for (int i = 0; i < 5; ++i) {
    send(std::to_string(i));
    pass(4'000);
  }
  CHECK(answers() == before);
  distant->refusal = ec::none;
  pass(5'000);
  CHECK(answers() == before + 5);
  CHECK(!vehicle.services->answers.back().error);
  CHECK(cloud.services->invoked.size() == 6);
}

TEST_CASE_FIXTURE(fixture, "a link comes up once the key is back, and what was accepted goes") {
  start_vehicle();
  send("1");
  auto accepted = answers();
  distant->refusal = ec::busy;
  start_cloud();
  pass(30'000);
  CHECK(cloud.services->invoked.empty());
  distant->refusal = ec::none;
  pass(30'000);
  CHECK(cloud.services->invoked.size() == 1);
  CHECK(answers() == accepted);
}

TEST_CASE_FIXTURE(fixture, "a service registered while the key is away is announced later") {
  start();
  send("1");
  pass(1'000);
  distant->refusal = ec::busy;
  vehicle.register_service("lights");
  pass(20'000);
  auto known = [this] {
    auto found = cloud.context->routing->load()->resolve("rpc:jlr.com/vin/1234/services/lights");
    return found.node && found.node->link != 0;
  };
  distant->refusal = ec::none;
  pass(10'000);
  CHECK(known());
  cloud.invoke("media_server", "rpc:jlr.com/vin/1234/services/lights/on", "{}", 20'000);
  pass(2'000);
  CHECK(vehicle.services->invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a time that is up before the key is back is a timeout") {
  start();
  distant->refusal = ec::busy;
  auto before = answers();
  send("1", 2'000);
  send("2", 60'000);
  pass(6'000);
  REQUIRE(answers() == before + 1);
  CHECK(last_answer() == ec::timeout);
  distant->refusal = ec::none;
  pass(6'000);
  REQUIRE(answers() == before + 2);
  CHECK(!vehicle.services->answers.back().error);
  REQUIRE(cloud.services->invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "more than may wait for the key is refused, and the rest kept") {
  start();
  distant->refusal = ec::busy;
  send("0");
  pass(6'000); // the key is known to be away now
  auto before = answers();
  for (int i = 1; i < 10'000; ++i)
    send("0");
  CHECK(answers() == before);
  send("one too many");
  REQUIRE(answers() == before + 1);
  CHECK(last_answer() == ec::busy);
  distant->refusal = ec::none;
  pass(6'000);
  CHECK(answers() == before + 10'001);
}

TEST_CASE_FIXTURE(fixture, "a key that will not sign is told at once") {
  start();
  distant->refusal = ec::unauthenticated;
  auto before = answers();
  send("1");
  pass(100);
  REQUIRE(answers() == before + 1);
  CHECK(last_answer() == ec::unauthenticated);
  distant->refusal = ec::none;
  send("2");
  pass(1'000);
  CHECK(!vehicle.services->answers.back().error);
}
