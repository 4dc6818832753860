// SPDX-License-Identifier: MPL-2.0
//
// Credentials are renewed at half of their life, by a service that the node may have to wait for.

#include "test/support/provisioned_vehicle.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr uint64_t hour_ms = 3'600'000;
constexpr uint64_t day_ms = 24 * hour_ms;

struct fixture : test::provisioned_vehicle {
  fixture() {
    vehicle.renewal = "jlr.com/cloud/provisioner";
    vehicle.credential = for_vehicle({"jlr.com/cloud/media_server", "jlr.com/cloud/provisioner"});
    auto claims = provisioning.claims(cloud.key.public_part(), {"jlr.com/cloud"}, {}, now_s());
    claims.expires_s += 300 * 86'400;
    cloud.credential = provisioning.issue(claims);
  }

  /// Ten minutes at a step.
  void pass_slowly(uint64_t ms) { pass(ms, 600'000); }

  size_t asked() const { return cloud.services->invoked.size(); }

  /// Until the next request is there, at most so long. Two may come in one step: who is met late
  /// gets what has waited almost a day, and then the next.
  bool asks_within(uint64_t ms) {
    auto before = asked();
    for (; asked() == before && ms >= hour_ms; ms -= hour_ms)
      pass_slowly(hour_ms);
    return asked() > before;
  }

  /// What the vehicle has asked for, with the same rights and a new end.
  credential_ptr next_of_asked() {
    auto& request = *cloud.services->invoked.back().content;
    CHECK(request.header.source == "jlr.com/vin/1234/provisioning");
    CHECK(request.header.target == "rpc:jlr.com/cloud/provisioner/renew_certificate");
    auto document = json::parse(request.arguments);
    auto text = document->root().at(0)["certificate"].as_string();
    auto before = parse_credential(std::string{text.value_or("")});
    REQUIRE(before);
    credential_claims claims = **before;
    claims.id += "x";
    claims.issued_s = claims.not_before_s = now_s();
    claims.expires_s = now_s() + 30 * 86'400;
    return provisioning.issue(std::move(claims));
  }

  void answer_with(const std::string& arguments) {
    cloud.reply(cloud.services->invoked.back().content->header.id, arguments);
    pass(5'000);
  }

  size_t credentials() const { return vehicle.context->rights->load()->own.size(); }
};

} // namespace

TEST_SUITE_BEGIN("renewal");

TEST_CASE_FIXTURE(fixture, "a credential is renewed at half of its life, and the next one after") {
  start();
  pass_slowly(14 * day_ms);
  CHECK(asked() == 0);
  REQUIRE(asks_within(5 * day_ms)); // half, and up to a tenth
  auto next = next_of_asked();
  answer_with(R"({"certificate":")" + next->text + R"("})");
  CHECK(credentials() == 2);
  CHECK(vehicle.context->rights->load()->own.front()->id == next->id);
  CHECK_FALSE(asks_within(13 * day_ms));
  restart_vehicle(); // it is in the store
  CHECK(charging() == ec::unauthorized);
  CHECK(vehicle.context->rights->load()->own.front()->id == next->id);
  CHECK(asks_within(6 * day_ms));
}

TEST_CASE_FIXTURE(fixture, "the request waits for who renews, and is made again if it fails") {
  start_vehicle();
  pass_slowly(20 * day_ms);
  start_cloud(); // only now is it there
  REQUIRE(asks_within(day_ms));
  answer_with(R"({"certificate":"nonsense"})");
  CHECK(credentials() == 1);
  REQUIRE(asks_within(2 * day_ms));
  auto next = next_of_asked();
  answer_with(R"({"certificate":")" + next->text + R"("})");
  CHECK(credentials() == 2);
}

TEST_CASE_FIXTURE(fixture, "what has ended makes room") {
  start();
  for (int i = 0; i < 3; ++i) {
    REQUIRE(asks_within(19 * day_ms));
    answer_with(R"({"certificate":")" + next_of_asked()->text + R"("})");
  }
  // The one in the files, and the two that have not ended.
  CHECK(credentials() == 3);
}

TEST_CASE_FIXTURE(fixture, "nobody is asked where nobody renews") {
  vehicle.renewal.clear();
  start();
  pass_slowly(25 * day_ms);
  CHECK(asked() == 0);
}

TEST_SUITE_END();
