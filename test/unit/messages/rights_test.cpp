// SPDX-License-Identifier: MPL-2.0
//
// What a header's user, the owner meant, its times and the node's own credential decide, apart from
// patterns: those are in the tests of authorization.

#include "messages/rights.hpp"
#include "test/support/authority.hpp"
#include "test/support/envelopes.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr uint64_t now_ms = 1'795'000'001'000;
constexpr auto source = "jlr.com/vin/1234/services/media_player";
constexpr auto target = "rpc:jlr.com/cloud/media_server/stream_audio";

struct fixture {
  fixture() {
    cloud.own_key = cloud_key.public_part();
    cloud.node_address = "jlr.com/cloud";
    cloud.own = {root.issue(cloud_claims())};
    cloud.known = std::make_shared<credential_cache>(9);
  }

  credential_claims cloud_claims() const {
    return root.claims(cloud_key.public_part(), {"jlr.com/cloud"}, {}, now_ms / 1'000);
  }
  credential_claims vehicle_claims() const {
    return root.claims(vehicle.public_part(), {"jlr.com/vin/1234"},
                       {"rpc:jlr.com/cloud/media_server"}, now_ms / 1'000);
  }

  /// What the cloud says to a request of the vehicle under this credential.
  ec verdict(const credential_ptr& x) {
    REQUIRE(x);
    cloud.known->add(x);
    header.credential_hash = x->hash;
    return code_of(cloud.check_remote(header, signed_at_ms, now_ms));
  }

  test::authority root;
  crypto::private_key vehicle = *crypto::private_key::generate(crypto::algorithm::ed25519);
  crypto::private_key cloud_key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  rights cloud;
  request_header header = test::header_of(vehicle.public_part().uid(), 1);
  uint64_t signed_at_ms = header.created_ms;
};

} // namespace

TEST_SUITE_BEGIN("rights");

TEST_CASE_FIXTURE(fixture, "a credential for certain roles serves nobody else") {
  auto claims = vehicle_claims();
  CHECK(verdict(root.issue(claims)) == ec::none);
  claims.users = {"owner", "valet"};
  auto restricted = root.issue(claims);
  REQUIRE(restricted);
  CHECK(restricted->users == claims.users);
  CHECK(verdict(restricted) == ec::unauthorized); // nobody is named
  auto in_role = [](const char* role) {
    return std::make_shared<const on_behalf_of>(on_behalf_of{std::string(16, 'u'), role, 0, {}});
  };
  header.user = in_role("valet");
  CHECK(verdict(restricted) == ec::none);
  header.user = in_role("vale");
  CHECK(verdict(restricted) == ec::unauthorized);
  header.user = nullptr;
  header.kind = request_kind::reply; // which nobody asks for
  CHECK(verdict(restricted) == ec::none);
}

TEST_CASE_FIXTURE(fixture, "a list of no roles, or of the empty one, serves nobody") {
  auto claims = vehicle_claims();
  for (auto& users : {std::vector<std::string>{}, std::vector<std::string>{""}}) {
    claims.users = users;
    CHECK(verdict(root.issue(claims)) == ec::unauthorized);
  }
}

TEST_CASE_FIXTURE(fixture, "a node does not ask under a credential that is for certain roles") {
  auto claims = vehicle_claims();
  claims.users = {"owner"};
  rights own;
  own.own = {root.issue(claims)};
  CHECK(code_of(own.choose(source, target, now_ms, now_ms + 1).error()) == ec::unauthorized);
  CHECK(own.choose_for_reply(source, now_ms));
  own.own.push_back(root.issue(vehicle_claims()));
  auto chosen = own.choose(source, target, now_ms, now_ms + 1);
  REQUIRE(chosen);
  CHECK_FALSE(chosen->credential->users);
}

TEST_CASE_FIXTURE(fixture, "usr is a list of texts or absent") {
  auto payload = crypto::parse_jws(root.issue(vehicle_claims())->text)->payload;
  auto kid = crypto::hex(crypto::view(root.key.public_part().uid()));
  auto parsed = [&](const std::string& claim) {
    auto changed = payload;
    changed.insert(changed.size() - 1, claim);
    return parse_credential(*crypto::sign_jws(root.key, "rvi-cred+jwt", kid, changed));
  };
  CHECK_FALSE((*parsed(""))->users);
  CHECK((*parsed(",\"usr\":[\"a\"]"))->users->size() == 1);
  for (auto wrong : {"null", "\"owner\"", "{}", "[1]", "true"})
    CHECK(code_of(parsed(std::string{",\"usr\":"} + wrong).error()) == ec::credential_invalid);
}

TEST_CASE_FIXTURE(fixture, "a request meant for another owner is refused") {
  auto credential = root.issue(vehicle_claims());
  header.target_uid = crypto::view(cloud_key.public_part().uid());
  CHECK(verdict(credential) == ec::none);
  header.target_uid = crypto::view(vehicle.public_part().uid());
  CHECK(verdict(credential) == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "a node takes requests only while its own credential stands") {
  auto credential = root.issue(vehicle_claims());
  auto claims = cloud_claims();
  SUBCASE("ended") {
    claims.expires_s = now_ms / 1'000;
  }
  SUBCASE("not begun") {
    claims.not_before_s = now_ms / 1'000 + 1;
  }
  cloud.own = {root.issue(claims)};
  CHECK(verdict(credential) == ec::unknown_target);
  CHECK(cloud.may_receive(target)); // a service may wait for the next one
  cloud.own.push_back(root.issue(cloud_claims()));
  CHECK(verdict(credential) == ec::none);
}

TEST_CASE_FIXTURE(fixture, "a request is signed within 10 minutes of its making, however much "
                           "clocks may differ") {
  auto credential = root.issue(vehicle_claims());
  cloud.limits.clock_skew_ms = 1'000;
  for (auto [distance, expected] :
       {std::pair{600'000, ec::none}, std::pair{600'001, ec::unauthorized}}) {
    signed_at_ms = header.created_ms + static_cast<uint64_t>(distance);
    CHECK(verdict(credential) == expected);
    signed_at_ms = header.created_ms - static_cast<uint64_t>(distance);
    CHECK(verdict(credential) == expected);
  }
}

TEST_SUITE_END();

TEST_CASE_FIXTURE(fixture, "a service may want to know of revocations no longer ago than this") {
  auto sender = root.issue(vehicle_claims());
  auto rules = std::make_shared<access_policy>();
  auto err = rules->add(R"({"services":[
    {"names":["jlr.com/cloud/media_server"],"revocations_within_s":86400},
    {"names":["rpc:jlr.com/cloud/media_server/stream_audio"],"revocations_within_s":3600},
    {"names":["jlr.com/cloud/billing"],"revocations_within_s":1}]})");
  REQUIRE_MESSAGE(!err, describe(err));
  CHECK(verdict(sender) == ec::none);
  cloud.policy = rules;
  CHECK(verdict(sender) == ec::unauthorized); // there is no list at all
  auto with_list_made_at = [&](const std::string& issuer, uint64_t issued_s) {
    auto set = std::make_shared<revocation_set>();
    set->issuer = issuer;
    set->issued_s = issued_s;
    auto sets = std::make_shared<revocation_sets>();
    (*sets)[issuer] = set;
    cloud.revocations = sets;
  };
  with_list_made_at("jlr.com", now_ms / 1'000 - 3'600);
  CHECK(verdict(sender) == ec::none);
  with_list_made_at("jlr.com", now_ms / 1'000 - 3'601); // the stricter rule holds
  CHECK(verdict(sender) == ec::unauthorized);
  header.target = "rpc:jlr.com/cloud/media_server/pause";
  CHECK(verdict(sender) == ec::none);
  with_list_made_at("acme.com", now_ms / 1'000); // of another issuer
  CHECK(verdict(sender) == ec::unauthorized);
  header.kind = request_kind::reply; // which nobody waits for longer because of it
  CHECK(verdict(sender) == ec::none);
}
