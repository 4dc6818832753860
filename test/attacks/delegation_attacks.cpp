// SPDX-License-Identifier: MPL-2.0
//
// Rights passed on: chains of credentials that somebody put together, and grants of the attacked
// node in other hands, for other names, after their end.

#include "messages/grant.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/jws.hpp"
#include "runtime/json/json.hpp"
#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;

namespace {

crypto::private_key new_key() {
  return *crypto::private_key::generate(crypto::algorithm::ed25519);
}

/// The attacker is a node that an honest dealer has passed a few rights on to.
struct chain_fixture : attack {
  chain_fixture() {
    parent = of_dealer(1);
    attacker.address = "jlr.com/dealer/garage";
    attacker.credential = *delegate_credential(claims_for(attacker.key), parent, dealer);
    signatures_max = 3; // the session's, and two credentials
  }

  credential_ptr of_dealer(uint32_t delegations) const {
    auto& root = at.world.provisioning;
    auto x = root.claims(dealer.public_part(), {"jlr.com/dealer"}, {"jlr.com/cloud/media_server"},
                         wall_ms() / 1'000);
    x.delegations = delegations;
    auto result = root.issue(x);
    REQUIRE(result);
    return result;
  }

  credential_claims claims_for(const crypto::private_key& holder) const {
    auto x = at.world.provisioning.claims(holder.public_part(), {"jlr.com/dealer/garage"},
                                          {"jlr.com/cloud/media_server"}, wall_ms() / 1'000);
    x.not_before_s = parent->not_before_s;
    x.expires_s = parent->expires_s;
    return x;
  }

  std::string leaf() const {
    auto& text = attacker.credential->text;
    return text.substr(0, text.find(','));
  }

  /// The last credential with other claims, signed by whom the attacker likes.
  void refuses_claims(std::string_view from, std::string_view to, const crypto::private_key& by,
                      uint64_t checks) {
    auto claims = replaced(part_of(leaf(), 1), from, to);
    auto text = *crypto::sign_jws(by, "rvi-cred+jwt", to_string(by.public_part().uid()), claims);
    signatures_max = checks;
    refuses_credential(text + "," + parent->text, "credential_invalid");
  }

  crypto::private_key dealer = new_key();
  credential_ptr parent;
};

/// The attacker has a credential that reaches nothing, and what the cloud has granted.
struct grant_fixture : attack {
  explicit grant_fixture(bool granted = true) {
    take_credential([](auto& x) { x.destinations.clear(); });
    if (granted)
      grant = grant_to(attacker_uid());
    not_counted();
    peer.come_up(attacker);
  }

  std::string grant_to(const std::string& uid) {
    auto answer = at.media_server.call(
      "make_grant", R"({"node":")" + uid
                      + R"(","destinations":["jlr.com/cloud/media_server/echo"],)" + R"("expires":)"
                      + std::to_string(wall_ms() / 1'000 + 600) + "}");
    REQUIRE_MESSAGE(answer.code.empty(), answer.message);
    auto result = json::parse(answer.result);
    REQUIRE(result);
    id = std::string{result->root()["grant_id"].as_string().value_or("")};
    return std::string{result->root()["grant"].as_string().value_or("")};
  }

  request_header header_by(const std::string& text, const std::string& target = echo_target) {
    auto x = attacker.header(target);
    x.grant_hash = crypto::view(crypto::sha256(text));
    return x;
  }

  void refuses_request(const request_header& x) {
    ++signatures_max;
    peer.send(attacker.sign({x}, {"\"attack\""}));
    refuses_item(peer, x.id, "unauthorized");
  }

  hostile_peer peer{at.cloud_port};
  std::string grant;
  std::string id;
};

} // namespace

TEST_SUITE_BEGIN("attacks: delegation and grants" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(chain_fixture, "a good chain passes, so that the refusals below mean something") {
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
}

TEST_CASE_FIXTURE(chain_fixture, "a chain without what it was derived from") {
  refuses_credential(leaf(), "credential_invalid");
}

TEST_CASE_FIXTURE(chain_fixture, "a chain on another credential of the same holder") {
  refuses_credential(leaf() + "," + of_dealer(3)->text, "credential_invalid");
}

TEST_CASE_FIXTURE(chain_fixture, "the attacker derives from a credential of somebody else") {
  refuses_claims("\"jti\":\"", "\"jti\":\"x", attacker.key, 3);
}

TEST_CASE_FIXTURE(chain_fixture, "a dealer's key widens what the dealer has") {
  refuses_claims(R"(["jlr.com/cloud/media_server"])", R"(["jlr.com/cloud"])", dealer, 0);
}

TEST_CASE_FIXTURE(chain_fixture, "a dealer's key makes a right last longer") {
  refuses_claims(R"("exp":)" + std::to_string(parent->expires_s),
                 R"("exp":)" + std::to_string(parent->expires_s + 1), dealer, 0);
}

TEST_CASE_FIXTURE(chain_fixture, "a dealer's key makes an administrator") {
  refuses_claims("{\"ver\"", R"({"adm":true,"ver")", dealer, 0);
}

TEST_CASE_FIXTURE(chain_fixture, "a dealer's key allows more delegations than it has left") {
  refuses_claims("{\"ver\"", R"({"del":1,"ver")", dealer, 0);
}

TEST_CASE_FIXTURE(chain_fixture, "a right that may not be passed on is passed on") {
  auto plain = of_dealer(0);
  auto claims = part_of(leaf(), 1);
  claims = replaced(claims, crypto::base64url(parent->hash), crypto::base64url(plain->hash));
  auto text
    = *crypto::sign_jws(dealer, "rvi-cred+jwt", to_string(dealer.public_part().uid()), claims);
  signatures_max = 0;
  refuses_credential(text + "," + plain->text, "credential_invalid");
}

TEST_CASE_FIXTURE(chain_fixture, "what was derived from a revoked credential") {
  at.revoke({revocation_entry_of(*parent)});
  not_counted();
  signatures_max = 0;
  refuses_attacker("revoked");
}

TEST_CASE_FIXTURE(chain_fixture, "more signatures than a stranger may make the node check") {
  parent = of_dealer(3);
  auto x = parent;
  const auto* holder = &dealer;
  std::vector<crypto::private_key> keys(3);
  for (uint32_t left = 2;; --left) {
    auto& next = left == 0 ? attacker.key : keys[left] = new_key();
    auto claims = claims_for(next);
    claims.delegations = left;
    auto made = delegate_credential(claims, x, *holder);
    REQUIRE(made);
    x = *made;
    holder = &next;
    if (left == 0)
      break;
  }
  auto body = attacker.body();
  body.set_credentials(0, x->text);
  body.add_credentials(x->text);
  body.add_credentials(x->text); // twelve in all
  signatures_max = 0;
  refuses(body.SerializeAsString(), "malformed");
}

TEST_CASE_FIXTURE(grant_fixture, "a good grant serves its holder, so that the refusals mean "
                                 "something") {
  auto x = header_by(grant);
  ++signatures_max;
  peer.send(attacker.sign({x}, {"\"honest\""}));
  CHECK(peer.custody_of(x.id) == "accepted");
  CHECK(wait_for({&at.media_server}, [&] { return at.media_server.invoked.size() == 1; }));
}

TEST_CASE_FIXTURE(grant_fixture, "a granted name without the grant") {
  refuses_request(attacker.header(echo_target));
}

TEST_CASE_FIXTURE(grant_fixture, "another name under the grant") {
  refuses_request(header_by(grant, "rpc:jlr.com/cloud/media_server/stop"));
}

TEST_CASE_FIXTURE(grant_fixture, "a grant that the node has never given") {
  refuses_request(header_by(grant + "x"));
}

TEST_CASE_FIXTURE(grant_fixture, "another node's grant") {
  auto theirs = grant_to(to_string(new_key().public_part().uid()));
  ++signatures_max; // the node looks at what its key has signed
  refuses_request(header_by(theirs));
}

TEST_CASE_FIXTURE(grant_fixture, "a grant that was withdrawn") {
  at.media_server.call("withdraw_grant", R"({"grant_id":")" + id + "\"}");
  hostile_peer again{at.cloud_port};
  again.come_up(attacker);
  auto x = header_by(grant);
  signatures_max += 3;
  again.send(attacker.sign({x}, {"\"attack\""}));
  refuses_item(again, x.id, "unauthorized");
}

TEST_CASE_FIXTURE(grant_fixture, "a grant in the place of a credential") {
  refuses_credential(grant, "credential_invalid");
}

TEST_CASE_FIXTURE(attack, "a grant for the attacked node that its granter has not brought") {
  take_credential([](auto& x) { x.destinations = {"jlr.com/cloud/grants"}; });
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  auto stranger = new_key();
  grant_claims claims;
  claims.granter_address = "jlr.com/vin/9";
  claims.granter = stranger.public_part();
  auto status = json::parse(at.media_server.call("get_status", "{}").result);
  REQUIRE(status);
  auto uid = status->root()["authorization"]["node_uid"].as_string().value_or("");
  claims.holder = *parse_node_uid(uid);
  claims.id = "forged";
  claims.issued_s = claims.not_before_s = wall_ms() / 1'000;
  claims.expires_s = claims.issued_s + 600;
  claims.destinations = {"jlr.com/vin/9/services"};
  auto input = grant_signing_input(claims);
  REQUIRE(input);
  auto text = signed_grant(*input, *stranger.sign(*input));
  auto x = attacker.header("rpc:jlr.com/cloud/grants/add_grant");
  signatures_max += 2; // the root's, the grant's
  peer.send(attacker.sign({x}, {R"([{"grant":")" + text + R"("}])"}));
  CHECK(peer.custody_of(x.id) == "accepted");
  CHECK(wait_for({&at.media_server}, [&] {
    return recorded(at.cloud, {"provisioning", "unauthorized"});
  }));
  auto held = at.media_server.call("get_grants", "{}");
  CHECK(held.result.find("forged") == std::string::npos);
}

TEST_SUITE_END();
