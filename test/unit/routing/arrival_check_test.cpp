// SPDX-License-Identifier: MPL-2.0
//
// What a node takes from a peer that another node signed: whether the peer may bring it, whether it
// went in a circle, and how long it has to live.

#include "actors/routing/arrival_check.hpp"
#include "test/support/authority.hpp"
#include "test/support/envelopes.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr uint64_t now = 1'795'000'000'000;

crypto::private_key make_key() {
  return *crypto::private_key::generate(crypto::algorithm::ed25519);
}

node_uid uid_of(uint8_t x) {
  node_uid result{};
  result[0] = x;
  return result;
}

struct fixture {
  fixture() {
    own.own_key = self.public_part();
    own.known = std::make_shared<credential_cache>(10);
    origin = credential_of(sender, {"jlr.com/vin/1234"}, {"jlr.com/cloud"}, {});
    own.known->add(origin);
    relay.uid = uid_of(9);
    relay.node_address = "jlr.com/phone/1";
    relay.relay = {"jlr.com/cloud"};
    at("jlr.com/cloud", {});
  }

  credential_ptr
  credential_of(const crypto::private_key& key, std::vector<std::string> sources,
                std::vector<std::string> destinations, std::vector<std::string> carries) {
    auto claims = provisioning.claims(key.public_part(), std::move(sources),
                                      std::move(destinations), now / 1'000);
    claims.relay = std::move(carries);
    return provisioning.issue(claims);
  }

  void at(const std::string& address, std::vector<std::string> carries) {
    own.node_address = address;
    own.own = {credential_of(self, {address}, {}, std::move(carries))};
  }

  envelope item(std::vector<node_uid> route) {
    auto header = test::header_of(sender.public_part().uid(), 1);
    header.credential_hash = origin->hash;
    envelope x = *test::sign_batch(sender, {header}, {"1"}).front();
    x.route = std::move(route);
    x.hops = static_cast<uint32_t>(x.route.size());
    return x;
  }

  ec check(const envelope& x, bool relayed = true) {
    auto err = arrival_check{own, relay, relayed, now}(x);
    return err ? code_of(err) : ec::none;
  }

  std::string refusal(const envelope& x) {
    return describe(arrival_check{own, relay, true, now}(x));
  }

  test::authority provisioning;
  crypto::private_key self = make_key();
  crypto::private_key sender = make_key();
  credential_ptr origin;
  rights own;
  peer_identity relay;
};

} // namespace

TEST_SUITE_BEGIN("arrival check");

TEST_CASE_FIXTURE(fixture, "the target takes it from a relay with the claim for it") {
  CHECK(check(item({relay.uid})) == ec::none);
  relay.relay = {"jlr.com/vin"};
  CHECK(check(item({relay.uid})) == ec::unauthorized);
  relay.relay = {};
  CHECK(check(item({relay.uid})) == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "a route ends with whoever brings it") {
  CHECK(check(item({})) == ec::unauthorized);
  CHECK(check(item({uid_of(1)})) == ec::unauthorized);
  CHECK(check(item({relay.uid, uid_of(1)})) == ec::unauthorized);
  CHECK(check(item({uid_of(1), relay.uid})) == ec::none);
  auto x = item({relay.uid});
  x.hops = 0;
  CHECK(check(x) == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "eight relays are the most, and nobody takes what it has had") {
  std::vector<node_uid> route;
  for (uint8_t i = 1; i <= 7; ++i)
    route.push_back(uid_of(i + 20));
  route.push_back(relay.uid);
  CHECK(check(item(route)) == ec::none);
  at("jlr.com/other", {"jlr.com/cloud"}); // a ninth relay
  CHECK(refusal(item(route)) == "refused: loop");
  route.erase(route.begin());
  CHECK(check(item(route)) == ec::none);
  route[0] = self.public_part().uid();
  CHECK(refusal(item(route)) == "refused: loop");
}

TEST_CASE_FIXTURE(fixture, "a relay needs the claim itself") {
  at("jlr.com/other", {});
  CHECK(check(item({}), false) == ec::unknown_target);
  at("jlr.com/other", {"jlr.com/vin"});
  CHECK(check(item({}), false) == ec::unauthorized);
  at("jlr.com/other", {"jlr.com/cloud/media_server"});
  CHECK(check(item({}), false) == ec::none);
  CHECK(check(item({relay.uid})) == ec::none);
}

TEST_CASE_FIXTURE(fixture, "a relay judges the originator as the target will") {
  at("jlr.com/other", {"jlr.com"});
  SUBCASE("what it may reach") {
    origin = credential_of(sender, {"jlr.com/vin/1234"}, {"jlr.com/cloud/other"}, {});
    own.known->add(origin);
    CHECK(check(item({}), false) == ec::unauthorized);
  }
  SUBCASE("what it may speak for") {
    origin = credential_of(sender, {"jlr.com/vin/9"}, {"jlr.com/cloud"}, {});
    own.known->add(origin);
    CHECK(check(item({}), false) == ec::unauthorized);
  }
  SUBCASE("whether anybody knows it") {
    own.known = std::make_shared<credential_cache>(10);
    CHECK(check(item({}), false) == ec::unknown_credential);
  }
}

TEST_CASE_FIXTURE(fixture, "time on the way is taken off, whatever clocks say") {
  auto x = item({relay.uid});
  auto life = x.header.expires_ms - x.header.created_ms;
  x.age_ms = life;
  CHECK(check(x) == ec::timeout);
  x.age_ms = life - 1'000;
  CHECK(check(x) == ec::none);
  auto here = arrival_check{own, relay, true, now}.arrived(std::make_shared<envelope>(x), nullptr);
  CHECK(due_of(*here) == now + 1'000);
  CHECK(age_of(*here, now + 300) == life - 700);
  x.age_ms = 0; // a relay that says it took no time makes it live no longer
  here = arrival_check{own, relay, true, now}.arrived(std::make_shared<envelope>(x), nullptr);
  CHECK(due_of(*here) == std::min(x.header.expires_ms, now + life));
}

TEST_CASE_FIXTURE(fixture, "who signed it itself has no way to tell of") {
  auto x = std::make_shared<envelope>(item({uid_of(1)}));
  peer_identity origin = relay;
  origin.uid = x->header.id.origin;
  auto here = arrival_check{own, origin, false, now}.arrived(x, nullptr);
  CHECK(here->route.empty());
  CHECK(here->hops == 0);
  // Who has another key by now is where the answer goes.
  here = arrival_check{own, relay, false, now}.arrived(x, nullptr);
  CHECK(here->route == std::vector{relay.uid});
  CHECK(here->hops == 1);
}

TEST_CASE("items of a tree that came in part each have their own path") {
  auto key = make_key();
  std::vector<request_header> headers;
  std::vector<std::string> arguments;
  for (uint64_t i = 1; i <= 13; ++i) {
    headers.push_back(test::header_of(key.public_part().uid(), i));
    arguments.push_back("1");
  }
  auto all = test::sign_batch(key, headers, arguments);
  for (auto picked : {std::vector<size_t>{0, 1, 2},
                      {4},
                      {3, 7, 12},
                      {0, 12},
                      {5, 6, 8, 9, 10, 11},
                      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}) {
    std::vector<crypto::leaf> leaves;
    std::vector<const crypto::leaf_proof*> proofs;
    std::vector<std::string_view> texts;
    for (auto i : picked) {
      leaves.push_back({all[i]->proof.index, all[i]->proof.salt, all[i]->header_bytes});
      proofs.push_back(&all[i]->proof);
      texts.push_back(all[i]->header_bytes);
    }
    auto& root = *all[0]->root;
    crypto::leaf_paths paths;
    auto missing = crypto::missing_nodes(root.size, proofs, texts, root.batch_id);
    REQUIRE(crypto::root_from_leaves(root, leaves, missing, &paths));
    REQUIRE(paths.size() == picked.size());
    for (size_t i = 0; i < picked.size(); ++i)
      CHECK(paths[i] == all[picked[i]]->proof.path);
  }
}

TEST_SUITE_END();
