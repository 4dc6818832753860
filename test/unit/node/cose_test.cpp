// SPDX-License-Identifier: MPL-2.0
//
// Whole nodes of which some have a credential in COSE alone: nobody behind the door sees a
// difference, and its twin is the same to those who take rights away.

#include "runtime/crypto/crypto.hpp"
#include "test/support/vehicle_and_cloud.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";
constexpr const char* play = "rpc:jlr.com/vin/1234/services/media_player/play";

struct fixture : test::vehicle_and_cloud {
  fixture()
    : vehicle_and_cloud({{"jlr.com/cloud/media_server"}, "media_player"},
                        {{"jlr.com/vin/+/services"}, "media_server"}, log::level::off) {
    jws = vehicle.credential;
    cose = provisioning.issue(*jws, credential_format::cose);
    REQUIRE(cose);
    vehicle.credential = cose;
  }

  void start() {
    start_cloud();
    start_vehicle();
  }

  /// What the other side was asked after this.
  size_t ask(test::loopback_node& from, const char* service, const char* target,
             const test::loopback_node& to) {
    from.invoke(service, target, "{}", 30'000);
    pass(5'000);
    return to.services->invoked.size();
  }

  credential_ptr jws;
  credential_ptr cose;
};

} // namespace

TEST_SUITE_BEGIN("nodes with COSE");

TEST_CASE_FIXTURE(fixture, "a node with a credential in COSE alone asks and is asked") {
  start();
  CHECK(ask(vehicle, "media_player", stream_audio, cloud) == 1);
  auto known = cloud.context->rights->load()->find_known(cose->hash);
  REQUIRE(known);
  CHECK(known->format == credential_format::cose);
  CHECK(cloud.services->invoked.back().content->header.credential_hash == cose->hash);
  CHECK(ask(cloud, "media_server", play, vehicle) == 1);
  cloud.reply(cloud.services->invoked.back().content->header.id, "{}");
  pass(5'000);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  CHECK(vehicle.services->outcomes.back().notice.status == "ok");
}

TEST_CASE_FIXTURE(fixture, "both nodes have COSE, and remember it over a restart") {
  auto of_cloud = provisioning.issue(*cloud.credential, credential_format::cose);
  cloud.credential = of_cloud;
  start();
  CHECK(ask(vehicle, "media_player", stream_audio, cloud) == 1);
  cloud.kill();
  start_cloud();
  pass(1'000);
  auto known = cloud.context->rights->load()->find_known(cose->hash);
  REQUIRE(known); // from the store, before the vehicle has come again
  CHECK(known->text == cose->text);
  pass(60'000);
  CHECK(ask(vehicle, "media_player", stream_audio, cloud) == 2);
}

TEST_CASE_FIXTURE(fixture, "a derived credential in COSE holds between nodes, too") {
  auto claims = *jws;
  auto dealer = *crypto::private_key::generate(crypto::algorithm::ed25519);
  claims.key = dealer.public_part();
  claims.id = "the dealer's";
  claims.delegations = 1;
  auto first = provisioning.issue(claims, credential_format::cose);
  REQUIRE(first);
  claims = *jws;
  auto derived = delegate_credential(claims, first, dealer);
  REQUIRE(derived);
  vehicle.credential = *derived;
  start();
  CHECK(ask(vehicle, "media_player", stream_audio, cloud) == 1);
  CHECK(cloud.services->invoked.back().content->header.credential_hash == (*derived)->hash);
}

TEST_CASE_FIXTURE(fixture, "a list that was made from the JWS ends the session of its twin") {
  start();
  REQUIRE(ask(vehicle, "media_player", stream_audio, cloud) == 1);
  auto list = provisioning.revocation_list(1, {revocation_entry_of(*jws)}, now_s());
  REQUIRE(world::ask<atom::done>(cloud.authorization, atom::revoke_v, list->text));
  pass(100);
  CHECK(ask(vehicle, "media_player", stream_audio, cloud) == 1);
  CHECK(cloud.context->rights->load()->revoked(*cose));
}

TEST_SUITE_END();
