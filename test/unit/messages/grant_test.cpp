// SPDX-License-Identifier: MPL-2.0
//
// Grants between nodes (HLD 9.6): what may be granted at all, and how requests rest on them.

#include "messages/grant.hpp"
#include "messages/rights.hpp"
#include "messages/wire/header.hpp"
#include "runtime/crypto/jws.hpp"
#include "test/support/authority.hpp"
#include "test/support/envelopes.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr uint64_t now_ms = 1'795'000'001'000;
constexpr uint64_t now_s = now_ms / 1'000;
constexpr auto source = "jlr.com/vin/1234/services/media_player";
constexpr auto target = "rpc:jlr.com/cloud/media_server/stream_audio";

crypto::private_key new_key() {
  return *crypto::private_key::generate(crypto::algorithm::ed25519);
}

struct fixture {
  fixture() {
    granter.own_key = cloud.public_part();
    granter.node_address = "jlr.com/cloud";
    granter.own = {root.issue(root.claims(cloud.public_part(), {"jlr.com/cloud"}, {}, now_s))};
    granter.known = std::make_shared<credential_cache>(9);
    auto claims = root.claims(vehicle.public_part(), {"jlr.com/vin/1234"}, {}, now_s);
    auto mine = root.issue(claims);
    granter.known->add(mine);
    granted.own_key = vehicle.public_part();
    granted.node_address = "jlr.com/vin/1234";
    granted.own = {mine};
    header.credential_hash = mine->hash;
  }

  grant_claims claims() const {
    grant_claims result;
    result.granter_address = "jlr.com/cloud";
    result.granter = cloud.public_part();
    result.holder = vehicle.public_part().uid();
    result.id = "g1";
    result.issued_s = result.not_before_s = now_s;
    result.expires_s = now_s + 86'400;
    result.destinations = {"jlr.com/cloud/media_server"};
    return result;
  }

  grant_ptr make(const grant_claims& x) const {
    auto input = grant_signing_input(x);
    if (!input)
      return nullptr;
    auto result = parse_grant(signed_grant(*input, *cloud.sign(*input)));
    return result ? *result : nullptr;
  }

  void give(const grant_ptr& x) {
    REQUIRE(x);
    auto book = std::make_shared<grant_book>();
    book->given[x->hash] = x;
    granter.grants = book;
    auto held = std::make_shared<grant_book>();
    held->held = {x};
    granted.grants = held;
  }

  ec verdict(uint64_t at_ms = now_ms) const {
    return code_of(granter.check_remote(header, header.created_ms, at_ms));
  }

  test::authority root;
  crypto::private_key cloud = new_key();
  crypto::private_key vehicle = new_key();
  rights granter;
  rights granted;
  request_header header = test::header_of(vehicle.public_part().uid(), 1);
};

} // namespace

TEST_SUITE_BEGIN("grants");

TEST_CASE_FIXTURE(fixture, "a grant is what its signer may give, and says who may use it") {
  auto x = make(claims());
  REQUIRE(x);
  CHECK(x->holder == vehicle.public_part().uid());
  CHECK(x->covers_destination(target));
  CHECK_FALSE(x->covers_destination("rpc:jlr.com/cloud/billing/charge"));
  auto bad = claims();
  SUBCASE("another node's names") {
    bad.destinations = {"jlr.com/vin/1"};
  }
  SUBCASE("above the node") {
    bad.destinations = {"jlr.com"};
  }
  SUBCASE("a wildcard where the address is") {
    bad.destinations = {"jlr.com/+/media_server"};
  }
  SUBCASE("reserved names") {
    bad.destinations = {"jlr.com/cloud/provisioning"};
  }
  SUBCASE("nothing") {
    bad.destinations.clear();
  }
  SUBCASE("too much") {
    bad.destinations.assign(65, "jlr.com/cloud/media_server");
  }
  SUBCASE("for over a year") {
    bad.expires_s = now_s + 367 * 86'400;
  }
  SUBCASE("no time") {
    bad.expires_s = bad.not_before_s;
  }
  SUBCASE("no id") {
    bad.id.clear();
  }
  CHECK(code_of(grant_signing_input(bad).error()) == ec::bad_request);
}

TEST_CASE_FIXTURE(fixture, "a grant with another signature, type or key is none") {
  auto x = make(claims());
  auto payload = crypto::parse_jws(x->text)->payload;
  auto uid = to_string(cloud.public_part().uid());
  CHECK(parse_grant(*crypto::sign_jws(cloud, "rvi-grant+jwt", uid, payload)));
  CHECK_FALSE(parse_grant(*crypto::sign_jws(vehicle, "rvi-grant+jwt", uid, payload)));
  CHECK_FALSE(parse_grant(*crypto::sign_jws(cloud, "rvi-cred+jwt", uid, payload)));
  CHECK_FALSE(parse_grant(*crypto::sign_jws(cloud, "rvi-grant+jwt", "", payload)));
  CHECK_FALSE(parse_credential(x->text));
  CHECK_FALSE(parse_grant(granter.own.front()->text));
  CHECK_FALSE(parse_grant(x->text.substr(0, x->text.size() - 1)));
}

TEST_CASE_FIXTURE(fixture, "a request rests on a grant if no credential covers its target") {
  CHECK(code_of(granted.choose(source, target, now_ms, now_ms + 1).error()) == ec::unauthorized);
  give(make(claims()));
  auto right = granted.choose(source, target, now_ms, now_ms + 1);
  REQUIRE(right);
  REQUIRE(right->grant);
  CHECK(right->credential == granted.own.front());
  CHECK(code_of(granted.choose(source, target, now_ms, now_ms + 2 * 86'400'000).error())
        == ec::credential_expired);
  CHECK(code_of(granted.choose("jlr.com/vin/9/x", target, now_ms, now_ms + 1).error())
        == ec::unauthorized);
  granted.own.push_back(
    root.issue(root.claims(vehicle.public_part(), {"jlr.com/vin/1234"}, {"jlr.com/cloud"}, now_s)));
  right = granted.choose(source, target, now_ms, now_ms + 1);
  REQUIRE(right);
  CHECK_FALSE(right->grant);
}

TEST_CASE_FIXTURE(fixture, "the granting node honours its own grants, for their holder only") {
  CHECK(verdict() == ec::unauthorized);
  auto x = make(claims());
  header.grant_hash = x->hash;
  CHECK(verdict() == ec::unauthorized); // not given
  give(x);
  CHECK(verdict() == ec::none);
  SUBCASE("it must be named") {
    header.grant_hash.clear();
    CHECK(verdict() == ec::unauthorized);
  }
  SUBCASE("for what it says") {
    header.target = "rpc:jlr.com/cloud/billing/charge";
    CHECK(verdict() == ec::unauthorized);
  }
  SUBCASE("the credential does not mend what the grant lacks") {
    granter.known->add(root.issue(
      root.claims(vehicle.public_part(), {"jlr.com/vin/1234"}, {"jlr.com/cloud"}, now_s)));
    header.grant_hash[0] ^= 1;
    CHECK(verdict() == ec::unauthorized);
  }
  SUBCASE("another node") {
    auto other = new_key();
    auto theirs = root.issue(root.claims(other.public_part(), {"jlr.com/vin/1234"}, {}, now_s));
    granter.known->add(theirs);
    header.credential_hash = theirs->hash;
    header.id.origin = other.public_part().uid();
    CHECK(verdict() == ec::unauthorized);
  }
  SUBCASE("before and after its time") {
    auto late = claims();
    late.not_before_s = now_s + 10;
    give(make(late));
    header.grant_hash = granter.grants->given.begin()->first;
    CHECK(verdict() == ec::credential_not_yet_valid);
    header.expires_ms = now_ms + 3 * 86'400'000;
    CHECK(verdict(now_ms + 11'000) == ec::none);
    CHECK(verdict(now_ms + 86'400'000) == ec::credential_expired);
  }
  SUBCASE("nobody carries it") {
    rights relay = granter;
    relay.grants = nullptr;
    relay.own = {root.issue([&] {
      auto may = root.claims(cloud.public_part(), {"jlr.com/cloud"}, {}, now_s);
      may.relay = {"jlr.com"};
      return may;
    }())};
    granter.known->add(
      root.issue(root.claims(vehicle.public_part(), {"jlr.com/vin/1234"}, {"jlr.com"}, now_s)));
    header.credential_hash = granter.known->find(header.credential_hash)->hash;
    CHECK(code_of(relay.check_carried(header, header.created_ms, now_ms)) == ec::unauthorized);
  }
}

TEST_CASE_FIXTURE(fixture, "grant_hash travels in the header, of requests only") {
  header.arguments_sha256 = std::string(32, 'a');
  header.grant_hash = std::string(32, 'g');
  auto bytes = wire::encode_header(header);
  auto read = wire::decode_header(bytes);
  REQUIRE(read);
  CHECK(read->grant_hash == header.grant_hash);
  // Field 20, 32 bytes, behind version (17) and in front of nothing.
  CHECK(bytes.ends_with(std::string{"\xa2\x01\x20", 3} + header.grant_hash));
  header.kind = request_kind::reply;
  header.request_hash = std::string(32, 'r');
  header.target = source;
  header.source = "jlr.com/cloud/media_server/stream_audio";
  CHECK_FALSE(wire::decode_header(wire::encode_header(header)));
}
