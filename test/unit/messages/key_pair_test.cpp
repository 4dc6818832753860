// SPDX-License-Identifier: MPL-2.0
//
// What a node shows of its next key, and what a credential says of those before (PROV_SVC-2).

#include "messages/key_pair.hpp"
#include "messages/transaction_id.hpp"
#include "test/support/authority.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr uint64_t now_s = 1'795'000'001;

crypto::private_key new_key(crypto::algorithm x = crypto::algorithm::ed25519) {
  return *crypto::private_key::generate(x);
}

std::string shown(const crypto::private_key& present, const crypto::public_key& said,
                  const crypto::private_key& next) {
  auto input = *key_pair_signing_input("jlr.com/vin/1234", now_s, said, next);
  return signed_key_pair(input, *present.sign(input));
}

} // namespace

TEST_SUITE_BEGIN("key pair");

TEST_CASE("both keys have signed what a node shows of them") {
  for (auto algorithm : {crypto::algorithm::ed25519, crypto::algorithm::es256}) {
    auto present = new_key();
    auto next = new_key(algorithm);
    auto x = parse_key_pair(shown(present, present.public_part(), next));
    REQUIRE(x);
    CHECK(x->node_address == "jlr.com/vin/1234");
    CHECK(x->issued_s == now_s);
    CHECK(x->present.spki() == present.public_part().spki());
    CHECK(x->next.spki() == next.public_part().spki());
  }
}

TEST_CASE("nobody shows a key that is not his, or has a stranger's follow it") {
  auto present = new_key();
  auto next = new_key();
  auto stranger = new_key();
  // A stranger signs in the node's name, or says it was his key that comes before.
  CHECK_FALSE(parse_key_pair(shown(stranger, present.public_part(), next)));
  // The next key's own word was for another key.
  auto good = shown(present, present.public_part(), next);
  auto other = shown(stranger, stranger.public_part(), next);
  auto proof_of = [](const std::string& text) {
    auto payload = crypto::parse_jws(text)->payload;
    auto at = payload.find("\"proof\":\"") + 9;
    return payload.substr(at, payload.find('"', at) - at);
  };
  auto payload = crypto::parse_jws(good)->payload;
  payload.replace(payload.find(proof_of(good)), proof_of(good).size(), proof_of(other));
  CHECK_FALSE(parse_key_pair(
    *crypto::sign_jws(present, "rvi-key+jwt", to_string(present.public_part().uid()), payload)));
  CHECK_FALSE(parse_key_pair(shown(present, present.public_part(), present)));
  auto header = crypto::parse_jws(good);
  CHECK_FALSE(
    parse_key_pair(*crypto::sign_jws(present, "rvi-grant+jwt", header->key_id, header->payload)));
  CHECK_FALSE(parse_key_pair(good.substr(0, good.size() - 4)));
  CHECK_FALSE(parse_key_pair(""));
}

TEST_CASE("only an organization says which keys a node had") {
  test::authority root;
  auto before = new_key();
  auto now = new_key();
  auto claims = root.claims(now.public_part(), {"jlr.com/vin/1234"}, {"jlr.com/cloud"}, now_s);
  claims.former = {before.public_part().uid()};
  claims.delegations = 1;
  auto x = root.issue(claims);
  REQUIRE(x);
  CHECK((*parse_credential(x->text))->former == claims.former);
  auto twin = issue_credential(claims, root.key, credential_format::cose);
  REQUIRE(twin);
  CHECK((*parse_credential((*twin)->text))->former == claims.former);

  auto narrower = claims;
  narrower.key = before.public_part();
  narrower.delegations = 0;
  narrower.former = {new_key().public_part().uid()};
  auto delegated = delegate_credential(narrower, x, now);
  REQUIRE_FALSE(delegated);
  CHECK(detail_of(delegated.error()) == "only an organization says which keys a node had before");

  claims.former = {now.public_part().uid()}; // its own
  CHECK_FALSE(root.issue(claims));
  claims.former.assign(former_keys_max + 1, before.public_part().uid());
  CHECK_FALSE(root.issue(claims));
}

TEST_SUITE_END();
