// SPDX-License-Identifier: MPL-2.0
//
// An organization changes its keys (HLD 3.2.1): what nodes that pinned its first bundle make of the
// next ones, wherever these come from.

#include "messages/trust_bundle.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/vehicle_and_cloud.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";

struct fixture : test::vehicle_and_cloud {
  fixture()
    : vehicle_and_cloud({{"jlr.com/cloud/media_server"}, "media_player"},
                        {{"jlr.com/vin/+/services"}, "media_server"}, log::level::off) {
    first = next_bundle(nullptr, {&provisioning.key}, {&provisioning.key});
    both
      = next_bundle(first.get(), {&provisioning.key, &later.key}, {&provisioning.key, &later.key});
    last = next_bundle(both.get(), {&later.key}, {&provisioning.key, &later.key});
    for (auto* x : {&vehicle, &cloud, &phone})
      x->anchor = first->text;
  }

  trust_bundle_ptr
  next_bundle(const trust_bundle* before, const std::vector<const crypto::private_key*>& roots,
              const std::vector<const crypto::private_key*>& signers) {
    bundle_claims x;
    x.organization = "jlr.com";
    x.sequence = before ? before->sequence + 1 : 1;
    x.previous = before ? before->digest : std::string{};
    x.issued_s = now_s();
    x.expires_s = now_s() + 86'400;
    for (auto* key : roots)
      x.roots.push_back({key->public_part(), true, true, true});
    auto result = issue_trust_bundle(x, signers);
    REQUIRE(result);
    return *result;
  }

  ec import(test::loopback_node& x, const trust_bundle_ptr& bundle) {
    auto answer = ask<atom::done>(x.authorization, atom::revoke_v, bundle->text);
    pass(100);
    return answer ? ec::none : code_of(answer.error());
  }

  void connect(test::loopback_node& from, const test::loopback_node& to) {
    self->send(from.data_link, atom::setup_v,
               setup_request{to.address, to.address, {to.loopback_address}, true, 60'000, {}});
    pass(2'000);
  }

  static bool connected(const test::loopback_node& from, const test::loopback_node& to) {
    auto table = from.context->routing->load();
    auto i = table->nodes.find(to.address);
    return i != table->nodes.end() && i->second->link != 0;
  }

  static uint64_t sequence(const test::loopback_node& x) {
    return x.context->rights->load()->anchors.bundle("jlr.com")->sequence;
  }

  credential_ptr
  by_later_root(const test::loopback_node& x, std::vector<std::string> destinations) {
    return later.issue(
      later.claims(x.key.public_part(), {x.address}, std::move(destinations), now_s()));
  }

  test::authority later;
  test::loopback_node phone{*this, "jlr.com/mobile/5", "phone", {"jlr.com/vin/+/services"}};
  trust_bundle_ptr first, both, last;
};

} // namespace

TEST_SUITE_BEGIN("trust bundles of nodes");

TEST_CASE_FIXTURE(fixture,
                  "a new root speaks as soon as its bundle is here, also after a restart") {
  start_cloud();
  vehicle.credential = by_later_root(vehicle, {"jlr.com/cloud/media_server"});
  start_vehicle();
  connect(vehicle, cloud);
  CHECK_FALSE(connected(cloud, vehicle));
  CHECK(import(cloud, both) == ec::none);
  CHECK(import(cloud, both) == ec::replay);
  CHECK(sequence(cloud) == 2);
  CHECK(import(vehicle, both) == ec::none);
  connect(vehicle, cloud);
  pass(20'000);
  CHECK(connected(cloud, vehicle));
  cloud.kill();
  start_cloud();
  pass(1'000);
  CHECK(sequence(cloud) == 2);
  connect(vehicle, cloud);
  pass(20'000);
  CHECK(connected(cloud, vehicle));
}

TEST_CASE_FIXTURE(fixture, "a bundle entered at the cloud reaches a vehicle by a phone") {
  start_cloud();
  phone.start();
  start_vehicle();
  connect(phone, cloud);
  REQUIRE(connected(cloud, phone));
  CHECK(import(cloud, both) == ec::none);
  pass(1'000);
  CHECK(sequence(phone) == 2);
  CHECK(connected(cloud, phone)); // nobody's credential has fallen
  connect(phone, vehicle);
  pass(1'000);
  CHECK(sequence(vehicle) == 2);
}

TEST_CASE_FIXTURE(fixture, "who rests on a root that speaks no longer loses its session") {
  start_cloud();
  start_vehicle();
  connect(vehicle, cloud);
  REQUIRE(connected(cloud, vehicle));
  CHECK(import(cloud, last) == ec::not_found); // one between is missing
  CHECK(import(cloud, both) == ec::none);
  CHECK(connected(cloud, vehicle));
  CHECK(import(cloud, last) == ec::none);
  pass(60'000, 500);
  CHECK_FALSE(connected(cloud, vehicle));
  CHECK(sequence(vehicle) == 3); // it heard why
  vehicle.invoke("media_player", stream_audio, "{}", 30'000);
  CHECK(vehicle.services->answers.back().error);
}

TEST_CASE_FIXTURE(fixture, "nobody but the old and the new roots together makes a node go on") {
  start_cloud();
  test::authority stranger;
  CHECK(import(cloud, next_bundle(first.get(), {&stranger.key}, {&stranger.key}))
        == ec::signature_invalid);
  CHECK(import(cloud, next_bundle(first.get(), {&stranger.key}, {&provisioning.key}))
        == ec::signature_invalid);
  auto other = next_bundle(nullptr, {&stranger.key}, {&stranger.key});
  CHECK(import(cloud, next_bundle(other.get(), {&stranger.key}, {&stranger.key}))
        == ec::unauthorized);
  CHECK(sequence(cloud) == 1);
}

TEST_SUITE_END();

TEST_CASE_FIXTURE(fixture, "the next keys come as a request of a provisioning service") {
  vehicle.provisioned = true;
  vehicle.credential = provisioning.issue(provisioning.claims(
    vehicle.key.public_part(), {"jlr.com/vin/1234", "jlr.com/vin/1234/provisioning"}, {}, now_s()));
  auto claims = provisioning.claims(cloud.key.public_part(), {"jlr.com/cloud"},
                                    {"jlr.com/vin/+/provisioning"}, now_s());
  claims.administrator = true;
  cloud.credential = provisioning.issue(claims);
  start_cloud();
  start_vehicle();
  connect(vehicle, cloud);
  auto ask_for = [&](const std::vector<trust_bundle_ptr>& bundles) {
    json::writer out;
    out.begin_array().begin_object().key("bundle").begin_array();
    for (auto& x : bundles)
      out.string(x->text);
    out.end_array().end_object().end_array();
    cloud.invoke("media_server", "rpc:jlr.com/vin/1234/provisioning/migrate_root_key", out.take(),
                 10'000);
    pass(11'000);
    return cloud.services->outcomes.back().notice.status;
  };
  CHECK(ask_for({last}) == "error"); // the one between is missing
  CHECK(sequence(vehicle) == 1);
  CHECK(ask_for({both}) == "ok");
  CHECK(sequence(vehicle) == 2);
  CHECK(sequence(cloud) == 2); // told by its peer
}
