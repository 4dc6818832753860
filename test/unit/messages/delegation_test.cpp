// SPDX-License-Identifier: MPL-2.0
//
// Credentials delegated from holder to holder: what a chain may narrow, and what ends it.

#include "messages/rights.hpp"
#include "runtime/crypto/jws.hpp"
#include "runtime/json/json.hpp"
#include "test/support/authority.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr uint64_t now_ms = 1'795'000'001'000;
constexpr uint64_t now_s = now_ms / 1'000;

crypto::private_key new_key() {
  return *crypto::private_key::generate(crypto::algorithm::ed25519);
}

struct fixture {
  fixture() {
    auto claims = root.claims(dealer.public_part(), {"jlr.com/dealer"},
                              {"jlr.com/vin/+/services", "rpc:jlr.com/cloud"}, now_s);
    claims.delegations = 2;
    first = root.issue(claims);
    REQUIRE(first);
    (void)anchors.add(root.anchor());
  }

  credential_claims second_claims() const {
    auto claims = root.claims(garage.public_part(), {"jlr.com/dealer/garage"},
                              {"rpc:jlr.com/vin/1234/services"}, now_s);
    claims.not_before_s = first->not_before_s;
    claims.expires_s = first->expires_s;
    claims.delegations = 1;
    return claims;
  }
  credential_ptr second(const credential_claims& claims) const {
    auto result = delegate_credential(claims, first, dealer);
    return result ? *result : nullptr;
  }
  std::string why_not(const credential_claims& claims) const {
    auto result = delegate_credential(claims, first, dealer);
    return result ? std::string{} : detail_of(result.error());
  }

  test::authority root;
  crypto::private_key dealer = new_key();
  crypto::private_key garage = new_key();
  crypto::private_key mechanic = new_key();
  credential_ptr first;
  trust_anchors anchors;
};

/// The JWS with another payload, signed again by this key.
std::string with_payload(const std::string& compact, const crypto::private_key& key,
                         const std::string& payload) {
  auto jws = crypto::parse_jws(compact);
  REQUIRE(jws);
  return *crypto::sign_jws(key, jws->type, jws->key_id, payload);
}

} // namespace

TEST_SUITE_BEGIN("delegation");

TEST_CASE_FIXTURE(fixture, "a chain is one text that says all and verifies to the organization") {
  auto x = second(second_claims());
  REQUIRE(x);
  CHECK(x->chain_length() == 2);
  CHECK(x->text.ends_with("," + first->text));
  CHECK(x->parent->hash == first->hash);
  CHECK(x->hash == crypto::view(crypto::sha256(x->text)));
  CHECK_FALSE(verify_credential(*x, anchors));
  CHECK(x->covers_destination("rpc:jlr.com/vin/1234/services/unlock"));
  CHECK_FALSE(x->covers_destination("rpc:jlr.com/vin/1235/services/unlock"));
  CHECK(x->key.spki() == garage.public_part().spki());

  auto claims = second_claims();
  claims.key = mechanic.public_part();
  claims.delegations = 0;
  auto third = delegate_credential(claims, x, garage);
  REQUIRE(third);
  CHECK((*third)->chain_length() == 3);
  CHECK_FALSE(verify_credential(**third, anchors));
  auto again = parse_credential((*third)->text);
  REQUIRE(again);
  CHECK((*again)->hash == (*third)->hash);
  CHECK((*again)->parent->parent->id == first->id);
  // It may not be passed on once more.
  auto fourth = delegate_credential(claims, *third, mechanic);
  CHECK(code_of(fourth.error()) == ec::bad_request);
}

TEST_CASE_FIXTURE(fixture, "a delegated credential gives no more than the one before") {
  CHECK(second(second_claims()));
  auto claims = second_claims();
  SUBCASE("sources") {
    claims.sources = {"jlr.com/dealers"};
  }
  SUBCASE("destinations") {
    claims.destinations = {"jlr.com/vin/1234"};
  }
  SUBCASE("destinations of every kind, where one was given") {
    claims.destinations = {"jlr.com/cloud/media"};
  }
  SUBCASE("a wider wildcard") {
    claims.destinations = {"jlr.com/+/1234/services"};
  }
  SUBCASE("relay") {
    claims.relay = {"jlr.com/vin"};
  }
  SUBCASE("an earlier start") {
    --claims.not_before_s;
  }
  SUBCASE("a later end") {
    ++claims.expires_s;
  }
  SUBCASE("as many delegations") {
    claims.delegations = 2;
  }
  SUBCASE("adm") {
    claims.administrator = true;
  }
  CHECK_FALSE(second(claims));
  CHECK_FALSE(why_not(claims).empty());
}

TEST_CASE_FIXTURE(fixture, "roles are kept or narrowed") {
  auto claims = root.claims(dealer.public_part(), {"jlr.com/dealer"}, {"jlr.com/vin"}, now_s);
  claims.delegations = 1;
  claims.users = {"mechanic", "manager"};
  auto parent = root.issue(claims);
  auto mine = second_claims();
  mine.delegations = 0;
  CHECK_FALSE(delegate_credential(mine, parent, dealer)); // for all, and nobody
  mine.users = {"mechanic"};
  CHECK(delegate_credential(mine, parent, dealer));
  mine.users = {"mechanic", "owner"};
  CHECK_FALSE(delegate_credential(mine, parent, dealer));
}

TEST_CASE_FIXTURE(fixture, "only the holder delegates, and only what may be delegated") {
  auto claims = second_claims();
  CHECK_FALSE(delegate_credential(claims, first, garage));
  auto plain = root.issue(
    root.claims(dealer.public_part(), {"jlr.com/dealer"}, {"jlr.com/vin/+/services"}, now_s));
  CHECK_FALSE(delegate_credential(claims, plain, dealer));
}

TEST_CASE_FIXTURE(fixture, "a chain that was put together by somebody else does not hold") {
  auto x = second(second_claims());
  REQUIRE(x);
  auto leaf = x->text.substr(0, x->text.find(','));
  SUBCASE("truncated") {
    CHECK_FALSE(parse_credential(leaf));
    CHECK_FALSE(parse_credential(leaf + ","));
    CHECK_FALSE(parse_credential("," + first->text));
    CHECK_FALSE(parse_credential(leaf + ",," + first->text));
  }
  SUBCASE("onto another credential") {
    auto claims = root.claims(dealer.public_part(), {"jlr.com/dealer"},
                              {"jlr.com/vin/+/services", "rpc:jlr.com/cloud"}, now_s);
    claims.delegations = 2;
    CHECK_FALSE(parse_credential(leaf + "," + root.issue(claims)->text));
  }
  SUBCASE("something behind one that was not delegated") {
    CHECK_FALSE(parse_credential(first->text + "," + first->text));
  }
  SUBCASE("signed by another key than the holder's") {
    auto payload = crypto::parse_jws(leaf)->payload;
    auto forged = parse_credential(with_payload(leaf, garage, payload) + "," + first->text);
    REQUIRE(forged); // its shape is right
    CHECK(code_of(verify_credential(**forged, anchors)) == ec::credential_invalid);
  }
  SUBCASE("kid of another key") {
    auto payload = crypto::parse_jws(leaf)->payload;
    auto text
      = *crypto::sign_jws(dealer, "rvi-cred+jwt", to_string(garage.public_part().uid()), payload);
    auto forged = parse_credential(text + "," + first->text);
    REQUIRE(forged);
    CHECK(code_of(verify_credential(**forged, anchors)) == ec::credential_invalid);
  }
  SUBCASE("from an organization that is not trusted") {
    test::authority other{"jlr.com"};
    auto claims
      = other.claims(dealer.public_part(), {"jlr.com/dealer"}, {"jlr.com/vin/+/services"}, now_s);
    claims.delegations = 1;
    auto theirs = other.issue(claims);
    auto mine = second_claims();
    mine.delegations = 0;
    auto forged = delegate_credential(mine, theirs, dealer);
    REQUIRE(forged);
    CHECK(code_of(verify_credential(**forged, anchors)) == ec::unknown_issuer);
  }
}

TEST_CASE_FIXTURE(fixture, "what is revoked or copied takes all that was derived from it along") {
  auto x = second(second_claims());
  REQUIRE(x);
  rights own;
  CHECK_FALSE(own.check_standing(*x, now_ms));
  auto revoke = [&](const revocation_entry& entry) {
    auto sets = std::make_shared<revocation_sets>();
    auto list = root.revocation_list(1, {entry}, now_s);
    REQUIRE(list);
    auto set = apply_revocation_list(nullptr, *list);
    REQUIRE(set);
    (*sets)["jlr.com"] = *set;
    own.revocations = sets;
  };
  SUBCASE("the parent by id") {
    revoke(revocation_entry_of(*first));
    CHECK(code_of(own.check_standing(*x, now_ms)) == ec::revoked);
  }
  SUBCASE("the parent by its key") {
    revoke(revocation_entry_of("jlr.com", dealer.public_part().uid(), uint32_t(first->expires_s)));
    CHECK(code_of(own.check_standing(*x, now_ms)) == ec::revoked);
  }
  SUBCASE("itself alone") {
    revoke(revocation_entry_of(*x));
    CHECK(code_of(own.check_standing(*x, now_ms)) == ec::revoked);
    CHECK_FALSE(own.check_standing(*first, now_ms));
  }
  SUBCASE("blocked here") {
    own.blocked
      = std::make_shared<std::set<revocation_id>>(std::set<revocation_id>{first->revocation});
    CHECK(code_of(own.check_standing(*x, now_ms)) == ec::revoked);
  }
  SUBCASE("the parent's key in two places") {
    own.quarantine = std::make_shared<std::map<node_uid, uint64_t>>(
      std::map<node_uid, uint64_t>{{dealer.public_part().uid(), now_s}});
    CHECK(code_of(own.check_standing(*x, now_ms)) == ec::quarantined);
  }
}

TEST_CASE_FIXTURE(fixture, "del is a number up to 3, and a chain has at most 16 KiB") {
  auto payload = crypto::parse_jws(first->text)->payload;
  auto with_del = [&](const std::string& value) {
    auto changed = payload;
    auto at = changed.find("\"del\":2");
    REQUIRE(at != changed.npos);
    changed.replace(at, 7, "\"del\":" + value);
    return parse_credential(with_payload(first->text, root.key, changed));
  };
  CHECK(with_del("3"));
  for (auto* bad : {"4", "-1", "\"1\"", "1.5", "true", "18446744073709551616"})
    CHECK_FALSE(with_del(bad));
  CHECK_FALSE(parse_credential(std::string(credential_bytes_max + 1, 'x')));
  CHECK_FALSE(parse_credential(""));
}
