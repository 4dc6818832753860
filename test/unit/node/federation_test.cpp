// SPDX-License-Identifier: MPL-2.0
//
// A node of one organization at a node of another, as far as the other lets it (HLD 3.2.1).

#include "messages/trust_bundle.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/loopback_node.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr const char* play = "rpc:jlr.com/vin/1234/services/radio/play";

struct fixture : test::world {
  fixture() {
    (void)log::configure(log::level::off, log::format::text);
    first = bundle(nullptr, false);
    second = bundle(first.get(), true);
    third = bundle(second.get(), false);
    for (auto* x : {&vehicle, &phone}) {
      x->anchor = first->text;
      x->other_anchor = media.anchor();
    }
    vehicle.credential = provisioning.issue(provisioning.claims(
      vehicle.key.public_part(), {"jlr.com/vin/1234"}, {"jlr.com/cloud"}, now_s()));
    trust_anchors all;
    REQUIRE_FALSE(all.add(second->text));
    auto claims = media.claims(phone.key.public_part(), {"media.com/phone/7"},
                               {"jlr.com/vin/+/services/radio"}, now_s());
    phone.credential = *issue_credential(claims, media.key, credential_format::jws, all);
  }

  trust_bundle_ptr bundle(const trust_bundle* before, bool delegates) {
    bundle_claims x;
    x.organization = "jlr.com";
    x.sequence = before ? before->sequence + 1 : 1;
    x.previous = before ? before->digest : std::string{};
    x.issued_s = now_s();
    x.expires_s = now_s() + 86'400;
    x.roots.push_back({provisioning.key.public_part(), true, true, true});
    if (delegates)
      x.delegates = {{"media.com", {}, {"jlr.com/vin/+/services/radio"}, {}, now_s() + 8'640'000}};
    auto result = issue_trust_bundle(x, {&provisioning.key});
    REQUIRE_MESSAGE(result, describe(result.error()));
    return *result;
  }

  ec import(test::loopback_node& x, const trust_bundle_ptr& bundle) {
    auto answer = ask<atom::done>(x.authorization, atom::revoke_v, bundle->text);
    pass(100);
    return answer ? ec::none : code_of(answer.error());
  }

  void connect() {
    self->send(phone.data_link, atom::setup_v,
               setup_request{
                 vehicle.address, vehicle.address, {vehicle.loopback_address}, true, 60'000, {}});
    pass(2'000);
  }

  bool connected() {
    auto table = vehicle.context->routing->load();
    auto i = table->nodes.find(phone.address);
    return i != table->nodes.end() && i->second->link != 0;
  }

  test::authority media{"media.com"};
  test::loopback_node vehicle{*this, "jlr.com/vin/1234", "vehicle", {}};
  test::loopback_node phone{*this, "media.com/phone/7", "phone", {}};
  trust_bundle_ptr first, second, third;
};

} // namespace

TEST_CASE_FIXTURE(fixture, "a delegation opens the way, and its end closes it") {
  vehicle.start();
  phone.start();
  vehicle.register_service("radio");
  phone.register_service("app");
  connect();
  CHECK_FALSE(connected());
  // Both have to know: the phone what it may ask for, the vehicle whom to believe.
  REQUIRE(import(vehicle, second) == ec::none);
  REQUIRE(import(phone, second) == ec::none);
  connect();
  pass(30'000);
  REQUIRE(connected());
  phone.invoke("app", play, "1", 60'000);
  REQUIRE_FALSE(phone.services->answers.back().error);
  pass(2'000);
  REQUIRE(vehicle.services->invoked.size() == 1);
  // Not what was not delegated.
  phone.invoke("app", "rpc:jlr.com/vin/1234/services/door/open", "1", 60'000);
  CHECK(code_of(phone.services->answers.back().error) == ec::unauthorized);
  // Accepted before, and not handed over after.
  vehicle.call(unregister_service_call{"radio"});
  phone.invoke("app", play, "2", 60'000);
  pass(2'000);
  REQUIRE(import(vehicle, third) == ec::none);
  pass(5'000);
  CHECK_FALSE(connected());
  vehicle.register_service("radio");
  pass(10'000);
  CHECK(vehicle.services->invoked.size() == 1);
  phone.invoke("app", play, "3", 60'000); // it has heard of it
  CHECK(phone.services->answers.back().error);
}
