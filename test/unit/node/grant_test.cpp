// SPDX-License-Identifier: MPL-2.0
//
// HLD 9.6 between whole nodes: a vehicle lets a phone's node reach one of its services.

#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/vehicle_and_cloud.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr const char* unlock = "rpc:jlr.com/vin/1234/services/doors/unlock";

struct fixture : test::vehicle_and_cloud {
  // The cloud stands for the phone: it is the node that may not reach the vehicle yet.
  fixture() : vehicle_and_cloud({{"jlr.com/cloud"}, "doors"}, {{}, "key"}, log::level::off) {
    vehicle.provisioned = true;
    cloud.provisioned = true;
  }

  void start() {
    start_cloud();
    start_vehicle();
    connect();
  }

  void connect() {
    self->send(
      vehicle.data_link, atom::setup_v,
      setup_request{cloud.address, cloud.address, {cloud.loopback_address}, true, 60'000, {}});
    pass(3'000);
  }

  /// The result, or the code of the error.
  std::string grant(const grant_call& x, test::loopback_node& at) {
    auto before = at.services->answers.size();
    at.call(x);
    pass(5'000);
    REQUIRE(at.services->answers.size() > before);
    auto& last = at.services->answers.back();
    return last.error ? to_string(code_of(last.error)) : std::get<json_result>(last.answer).json;
  }

  std::string make(std::vector<std::string> destinations, const std::string& to = "jlr.com/cloud",
                   uint64_t seconds = 3'600) {
    grant_call x;
    x.what = grant_call::action::make;
    x.node = to;
    x.destinations = std::move(destinations);
    x.expires_s = now_s() + seconds;
    x.id = "g" + std::to_string(++made);
    return grant(x, vehicle);
  }

  std::string withdraw(const std::string& id) {
    grant_call x;
    x.what = grant_call::action::withdraw;
    x.id = id;
    return grant(x, vehicle);
  }

  size_t held(test::loopback_node& at) {
    auto text = grant({}, at);
    auto document = json::parse(text);
    REQUIRE(document);
    return document->root()["held"].size();
  }

  /// What the key's node hears at once, and how often the doors were asked so far.
  ec ask() {
    auto before = cloud.services->outcomes.size();
    cloud.invoke("key", unlock, "{}", 20'000);
    auto error = cloud.services->answers.back().error;
    if (error)
      return code_of(error);
    pass(2'000);
    while (answered < vehicle.services->invoked.size())
      vehicle.reply(vehicle.services->invoked[answered++].content->header.id, "true");
    pass(25'000);
    REQUIRE(cloud.services->outcomes.size() == before + 1);
    auto& notice = cloud.services->outcomes.back().notice;
    if (notice.status == "ok")
      return ec::none;
    auto document = json::parse(notice.error);
    return document && document->root()["code"].as_string() == "unauthorized" ? ec::unauthorized
                                                                              : ec::timeout;
  }

  int made = 0;
  size_t answered = 0;
};

std::string member(const std::string& text, const char* name) {
  auto document = json::parse(text);
  return document ? std::string{document->root()[name].as_string().value_or("")} : "";
}

} // namespace

TEST_SUITE_BEGIN("grants between nodes");

TEST_CASE_FIXTURE(fixture, "a grant goes to its holder by the ordinary route, and counts until it "
                           "is withdrawn") {
  start();
  CHECK(ask() == ec::unauthorized);
  auto answer = make({"jlr.com/vin/1234/services/doors"});
  CHECK(member(answer, "status") == "ok");
  CHECK(member(answer, "transaction_id").size() == 56);
  pass(5'000);
  CHECK(held(cloud) == 1);
  CHECK(ask() == ec::none);
  CHECK(vehicle.services->invoked.size() == 1);
  // Not more than it says.
  cloud.invoke("key", "rpc:jlr.com/vin/1234/services/engine/start", "{}", 20'000);
  CHECK(code_of(cloud.services->answers.back().error) == ec::unauthorized);
  SUBCASE("withdrawn") {
    CHECK(member(withdraw("g1"), "grant_id") == "g1");
    connect();
    CHECK(ask() == ec::unauthorized);
    CHECK(withdraw("g1") == "not_found");
  }
  SUBCASE("over") {
    pass(3'700'000, 1'000);
    connect();
    CHECK(ask() != ec::none);
  }
  SUBCASE("both start again") {
    cloud.kill();
    vehicle.kill();
    cloud.services->outcomes.clear();
    start();
    CHECK(ask() == ec::none);
    CHECK(vehicle.services->invoked.size() == 2);
    return;
  }
  CHECK(vehicle.services->invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "the holder sees the service, and hears nothing of it before") {
  start();
  auto seen = [&] {
    cloud.call(get_available_services_call{});
    auto& names = std::get<names_result>(cloud.services->answers.back().answer).names;
    return std::find(names.begin(), names.end(), "jlr.com/vin/1234/services/doors") != names.end();
  };
  CHECK_FALSE(seen());
  make({"jlr.com/vin/1234/services/doors"});
  connect();
  pass(5'000);
  CHECK(seen());
  withdraw("g1");
  connect();
  pass(5'000);
  cloud.invoke("key", unlock, "{}", 1'000);
  pass(5'000);
  CHECK(vehicle.services->invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "what waits when the grant is withdrawn is not run") {
  start();
  make({"jlr.com/vin/1234/services/doors"});
  pass(5'000);
  vehicle.call(unregister_service_call{"doors"});
  cloud.invoke("key", unlock, "{}", 600'000);
  REQUIRE_FALSE(cloud.services->answers.back().error);
  pass(3'000);
  withdraw("g1");
  vehicle.register_service("doors");
  pass(10'000);
  CHECK(vehicle.services->invoked.empty());
}

TEST_CASE_FIXTURE(fixture,
                  "a grant that cannot be sent is made all the same, to be carried by hand") {
  start_cloud();
  start_vehicle();
  auto uid = to_string(cloud.key.public_part().uid());
  CHECK(make({"jlr.com/vin/1234/services/doors"}) == "not_found"); // never met
  auto answer = make({"jlr.com/vin/1234/services/doors"}, uid);
  CHECK(member(answer, "not_sent").size() > 0);
  grant_call take;
  take.what = grant_call::action::take;
  take.text = member(answer, "grant");
  CHECK(grant(take, vehicle) == "unauthorized"); // it is for the other
  CHECK(member(grant(take, cloud), "grant_id") == "g2");
  CHECK(member(grant(take, cloud), "grant_id") == "g2"); // again
  CHECK(held(cloud) == 1);
  connect();
  CHECK(ask() == ec::none);
}

TEST_CASE_FIXTURE(fixture,
                  "a grant is refused for what nobody may grant, and to whom it is not for") {
  start();
  CHECK(make({"jlr.com/cloud/key"}) == "bad_request");
  CHECK(make({"jlr.com/vin/1234/provisioning"}) == "bad_request");
  CHECK(make({"jlr.com/vin/1234/services/doors"}, "jlr.com/vin/1234") == "not_found");
  CHECK(make({"jlr.com/vin/1234/services/doors"}, "jlr.com/cloud", 0) == "bad_request");
  CHECK(member(make({"jlr.com/vin/1234/services/doors"}), "status") == "ok");
  --made;
  CHECK(make({"jlr.com/vin/1234/services/doors"}) == "bad_request"); // the id is taken
  // Another's grant, brought by somebody else.
  auto other = *crypto::private_key::generate(crypto::algorithm::ed25519);
  grant_claims claims;
  claims.granter_address = "jlr.com/vin/9";
  claims.granter = other.public_part();
  claims.holder = cloud.key.public_part().uid();
  claims.id = "x";
  claims.issued_s = claims.not_before_s = now_s();
  claims.expires_s = now_s() + 60;
  claims.destinations = {"jlr.com/vin/9/services"};
  auto input = grant_signing_input(claims);
  REQUIRE(input);
  auto text = signed_grant(*input, *other.sign(*input));
  auto before = held(cloud);
  vehicle.invoke("doors", "rpc:jlr.com/cloud/grants/add_grant", R"([{"grant":")" + text + R"("}])",
                 20'000);
  pass(25'000);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  CHECK(vehicle.services->outcomes.back().notice.status == "error");
  CHECK(vehicle.services->outcomes.back().notice.error.find("unauthorized") != std::string::npos);
  CHECK(held(cloud) == before);
}
