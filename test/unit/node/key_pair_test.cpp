// SPDX-License-Identifier: MPL-2.0
//
// A node's key pair is replaced over the air (PROV_SVC-2), while requests wait and are answered.

#include "actors/routing/arrival_check.hpp"
#include "messages/key_pair.hpp"
#include "test/support/provisioned_vehicle.hpp"

#include <doctest/doctest.h>

#include <optional>

using namespace rvi;

namespace {

struct fixture : test::provisioned_vehicle {
  fixture() {
    vehicle.credential = for_vehicle({"jlr.com/cloud/billing", "jlr.com/other"});
    vehicle.keys.next = [this]() -> expected<crypto::private_key> {
      if (!next)
        next = *crypto::private_key::generate(crypto::algorithm::ed25519);
      return *next;
    };
    vehicle.keys.take_over = [this]() -> caf::error {
      if (disk_error)
        return disk_error;
      taken_over = true;
      return {};
    };
    vehicle.keys.restart = [this] { restarts += 1; };
  }

  /// For the next key, as `rvi credential renew --key-pair` makes it.
  credential_claims for_next_key() {
    auto shown = parse_key_pair(key_pair());
    REQUIRE(shown);
    CHECK(shown->present.uid() == vehicle.key.public_part().uid());
    auto claims
      = provisioning.claims(shown->next, {"jlr.com/vin/1234", "jlr.com/vin/1234/provisioning"},
                            {"jlr.com/cloud/billing", "jlr.com/other"}, now_s());
    claims.former = {shown->present.uid()};
    return claims;
  }

  std::string key_pair() {
    auto answer = ask("replace_key_pair", "[]");
    REQUIRE(answer.first == "ok");
    auto document = json::parse(answer.second);
    return std::string{*document->root()["key_pair"].as_string()};
  }

  answer replace_by(const credential_ptr& x) {
    return ask("replace_key_pair", R"([{"certificate":[")" + written_form(*x) + R"("]}])");
  }

  /// What the node's process does once it was told to start anew.
  void start_with_next_key(const credential_ptr& x) {
    vehicle.kill();
    vehicle.former_keys = {vehicle.key.public_part().uid()};
    vehicle.key = *next;
    vehicle.credential = x;
    start_vehicle();
    pass(10'000);
  }

  std::optional<crypto::private_key> next;
  caf::error disk_error;
  bool taken_over = false;
  int restarts = 0;
};

} // namespace

TEST_SUITE_BEGIN("key pair");

TEST_CASE_FIXTURE(fixture, "what the key before signed still goes, and is answered") {
  start();
  // One request the cloud has and will answer later, one that waits for a node never met.
  vehicle.invoke("media_player", "rpc:jlr.com/cloud/billing/charge", "1", 3'600'000);
  pass(5'000);
  REQUIRE(cloud.services->invoked.size() == 1);
  auto charged = cloud.services->invoked.back().content->header.id;
  auto outcome_of = [&](const transaction_id& id) {
    std::string result;
    for (auto& x : vehicle.services->outcomes)
      if (x.notice.id == id)
        result += x.notice.status + " " + x.notice.arguments;
    return result;
  };
  vehicle.invoke("media_player", "rpc:jlr.com/other/services/late", "2", 3'600'000);
  REQUIRE_FALSE(vehicle.services->answers.back().error);

  auto x = provisioning.issue(for_next_key());
  REQUIRE(x);
  CHECK(replace_by(x).first == "ok");
  CHECK(taken_over);
  CHECK(restarts == 1);
  start_with_next_key(x);
  CHECK(vehicle.context->uid == next->public_part().uid());

  // The reply to a request of the former key comes to the node that has the next one.
  connect(vehicle, cloud);
  SUBCASE("the cloud has met it since") {
    cloud.reply(charged, "\"paid\"");
  }
  SUBCASE("the cloud knows it from before its restart") {
    cloud.reply(charged, "\"paid\"");
    cloud.kill();
    start_cloud();
    cloud.register_service("billing", 2);
    connect(vehicle, cloud);
  }
  pass(10'000);
  CHECK(outcome_of(charged) == "ok \"paid\"");

  // What waited is brought by the next key, under the signature of the former one.
  auto other = test::loopback_node{*this, "jlr.com/other", "other", {}};
  other.start();
  other.register_service("late", 1);
  connect(vehicle, other);
  pass(20'000);
  REQUIRE(other.services->invoked.size() == 1);
  auto& late = other.services->invoked.back().content->header;
  CHECK(late.id.origin == vehicle.former_keys.front());
  other.reply(late.id, "\"done\"");
  pass(10'000);
  CHECK(outcome_of(late.id) == "ok \"done\"");

  // And what is new is the next key's.
  CHECK(charging() == ec::none);
  CHECK(cloud.services->invoked.back().content->header.id.origin == next->public_part().uid());
}

TEST_CASE_FIXTURE(fixture, "a former key that was revoked sends nothing any more") {
  bool revoked = false;
  SUBCASE("revoked") {
    revoked = true;
  }
  SUBCASE("not revoked") {}
  start();
  vehicle.invoke("media_player", "rpc:jlr.com/other/services/late", "2", 3'600'000);
  auto before = vehicle.credential;
  auto x = provisioning.issue(for_next_key());
  REQUIRE(replace_by(x).first == "ok");
  start_with_next_key(x);
  if (revoked)
    REQUIRE(revoked_by_list(before));
  auto other = test::loopback_node{*this, "jlr.com/other", "other", {}};
  other.start();
  other.register_service("late", 1);
  connect(vehicle, other);
  pass(20'000);
  CHECK(other.services->invoked.size() == (revoked ? 0 : 1));
}

TEST_CASE_FIXTURE(fixture, "a credential that does not fit lets no key take over") {
  start();
  auto good = for_next_key();
  auto refused = [&](const credential_claims& claims, const char* code) {
    CHECK(replace_by(provisioning.issue(claims)) == answer{"error", code});
  };
  auto claims = good;
  claims.key = crypto::private_key::generate(crypto::algorithm::ed25519)->public_part();
  refused(claims, "bad_request");
  claims = good;
  claims.former.clear();
  refused(claims, "bad_request");
  claims = good;
  claims.former = {crypto::private_key::generate(crypto::algorithm::ed25519)->public_part().uid()};
  refused(claims, "bad_request");
  claims = good;
  claims.sources.pop_back(); // nobody could provision it any more
  refused(claims, "refused");
  claims = good;
  claims.sources.erase(claims.sources.begin()); // and here it would have no address
  refused(claims, "refused");
  claims = good;
  claims.expires_s = now_s() - 1;
  refused(claims, "credential_expired");
  test::authority false_one;
  CHECK(replace_by(false_one.issue(good)) == answer{"error", "unknown_issuer"});
  CHECK_FALSE(taken_over);
  CHECK(restarts == 0);

  disk_error = caf::make_error(ec::io_failed, std::string{"node.key: Read-only file system"});
  CHECK(replace_by(provisioning.issue(good)) == answer{"error", "io_failed"});
  CHECK(restarts == 0);
  restart_vehicle(); // with the key it has, and a credential for another in its store
  CHECK(charging() == ec::none);
  disk_error = {};
  CHECK(for_next_key().key.uid() == next->public_part().uid()); // the same one again
  CHECK(replace_by(provisioning.issue(good)).first == "ok");
  CHECK(restarts == 1);
}

TEST_CASE_FIXTURE(fixture, "a key that is kept elsewhere cannot be replaced") {
  vehicle.keys = {};
  start();
  CHECK(ask("replace_key_pair", "[]") == answer{"error", "refused"});
}

TEST_CASE("an organization has no say in what a former key signed under another's credential") {
  constexpr uint64_t now_s = 1'795'000'001;
  test::authority root;
  test::authority other{"audi.com"};
  auto new_key = [] { return *crypto::private_key::generate(crypto::algorithm::ed25519); };
  auto before = new_key();
  auto now = new_key();
  auto x
    = root.issue(root.claims(now.public_part(), {"jlr.com/vin/1234"}, {"jlr.com/cloud"}, now_s));
  peer_identity peer;
  peer.uid = now.public_part().uid();
  peer.former = {{"jlr.com", before.public_part().uid()}};
  auto of_before
    = root.issue(root.claims(before.public_part(), {"jlr.com/vin/1234"}, {"jlr.com/cloud"}, now_s));
  auto of_others = other.issue(
    other.claims(before.public_part(), {"audi.com/vin/1234"}, {"audi.com/cloud"}, now_s));
  auto of_stranger = root.issue(
    root.claims(new_key().public_part(), {"jlr.com/vin/1234"}, {"jlr.com/cloud"}, now_s));
  CHECK(speaks_for(peer, *x));
  CHECK(speaks_for(peer, *of_before));
  CHECK_FALSE(speaks_for(peer, *of_others)); // jlr.com has no say in what audi.com signed
  CHECK_FALSE(speaks_for(peer, *of_stranger));
}

TEST_SUITE_END();
