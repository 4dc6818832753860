// SPDX-License-Identifier: MPL-2.0
//
// Whom a node believes (HLD 7.6) and what it lets through (8.15), as rules without actors.

#include "actors/routing/authorization.hpp"
#include "messages/rights.hpp"
#include "rvi.pb.h"
#include "test/support/authority.hpp"
#include "test/support/envelopes.hpp"

#include <doctest/doctest.h>

#include <functional>

using namespace rvi;

namespace {

constexpr uint64_t now_ms = 1'795'000'001'000;

struct fixture {
  fixture() {
    own.own_key = cloud.public_part();
    own.node_address = "jlr.com/cloud";
    own.own = {root.issue(root.claims(cloud.public_part(), {"jlr.com/cloud"}, {}, now_ms / 1'000))};
    REQUIRE_FALSE(own.anchors.add(root.anchor()));
    own.known = std::make_shared<credential_cache>(10);
    body.set_version(2);
    body.set_protocol("rvi/2");
    body.set_node_address("jlr.com/vin/1234");
    body.set_transaction_id(1);
    binding = {false,
               cloud.public_part().spki(),
               vehicle.public_part().spki(),
               std::string(32, 'e'),
               {},
               0,
               {},
               {}};
  }

  credential_claims vehicle_claims() const {
    return root.claims(vehicle.public_part(), {"jlr.com/vin/1234"},
                       {"rpc:jlr.com/cloud/media_server"}, now_ms / 1'000);
  }

  /// The verdict on the body, signed by the vehicle for this session.
  ec verdict(const crypto::private_key* signer = nullptr) {
    if (body.credentials_size() == 0)
      body.add_credentials(root.issue(vehicle_claims())->text);
    auto text = body.SerializeAsString();
    auto signature
      = *(signer ? *signer : vehicle)
           .sign(authorize_signing_input(true, vehicle.public_part().spki(),
                                         cloud.public_part().spki(), binding.exporter, text));
    if (change_signature)
      change_signature(signature);
    auto x = check_authorize(own, binding, text, signature, now_ms);
    if (x)
      admitted = x->peer;
    return x ? ec::none : code_of(x.error());
  }

  /// Puts a list in force.
  void revoke(std::vector<revocation_entry> entries, const std::string& issuer = "jlr.com") {
    auto list = root.revocation_list(++serial, std::move(entries), now_ms / 1'000);
    REQUIRE(list);
    auto set = apply_revocation_list(nullptr, *list);
    REQUIRE(set);
    own.revocations = std::make_shared<revocation_sets>(revocation_sets{{issuer, *set}});
  }

  uint64_t serial = 0;
  test::authority root;
  crypto::private_key cloud = *crypto::private_key::generate(crypto::algorithm::ed25519);
  crypto::private_key vehicle = *crypto::private_key::generate(crypto::algorithm::es256);
  rights own;
  wire::AuthorizeBody body;
  session_binding binding;
  std::function<void(std::string&)> change_signature;
  peer_identity admitted;
};

} // namespace

TEST_SUITE_BEGIN("authorize");

TEST_CASE_FIXTURE(fixture, "a peer with a valid credential and signature is admitted") {
  CHECK(verdict() == ec::none);
  CHECK(admitted.uid == vehicle.public_part().uid());
  CHECK(admitted.node_address == "jlr.com/vin/1234");
  CHECK(own.known->size() == 1);
}

TEST_CASE_FIXTURE(fixture, "everybody else is not") {
  ec expected = ec::none;
  SUBCASE("another protocol") {
    body.set_protocol("rvi/1");
    expected = ec::protocol_mismatch;
  }
  SUBCASE("another version") {
    body.set_version(3);
    expected = ec::protocol_mismatch;
  }
  SUBCASE("an address outside the credential") {
    body.set_node_address("jlr.com/vin/9999");
    expected = ec::unauthorized;
  }
  SUBCASE("an address that is a pattern") {
    body.set_node_address("jlr.com/vin/+");
    expected = ec::malformed;
  }
  SUBCASE("an untrusted issuer") {
    test::authority stranger;
    body.add_credentials(stranger.issue(vehicle_claims())->text);
    expected = ec::unknown_issuer;
  }
  SUBCASE("an unknown organization") {
    test::authority other{"other.com"};
    auto claims = vehicle_claims();
    claims.issuer = "other.com";
    claims.sources = {"other.com/vin/1234"};
    claims.destinations = {};
    body.add_credentials(other.issue(claims)->text);
    body.set_node_address("other.com/vin/1234");
    expected = ec::unknown_issuer;
  }
  SUBCASE("an expired credential") {
    auto claims = vehicle_claims();
    claims.expires_s = now_ms / 1'000;
    body.add_credentials(root.issue(claims)->text);
    expected = ec::credential_expired;
  }
  SUBCASE("a future credential") {
    auto claims = vehicle_claims();
    claims.not_before_s = now_ms / 1'000 + 1;
    body.add_credentials(root.issue(claims)->text);
    expected = ec::credential_not_yet_valid;
  }
  SUBCASE("a revoked credential") {
    auto credential = root.issue(vehicle_claims());
    revoke({revocation_entry_of(*credential)});
    body.add_credentials(credential->text);
    expected = ec::revoked;
  }
  SUBCASE("a credential of a revoked key") {
    revoke({revocation_entry_of("jlr.com", vehicle.public_part().uid(), UINT32_MAX)});
    expected = ec::revoked;
  }
  SUBCASE("a key that is in two places") {
    own.quarantine = std::make_shared<std::map<node_uid, uint64_t>>(
      std::map<node_uid, uint64_t>{{vehicle.public_part().uid(), now_ms / 1'000}});
    expected = ec::quarantined;
  }
  SUBCASE("a stolen credential: the TLS key is another") {
    auto thief = crypto::private_key::generate(crypto::algorithm::ed25519);
    binding.peer_spki = thief->public_part().spki();
    expected = ec::unauthorized;
  }
  SUBCASE("a credential with a flipped bit") {
    auto text = root.issue(vehicle_claims())->text;
    text[text.size() / 2] = text[text.size() / 2] == 'A' ? 'B' : 'A';
    body.add_credentials(text);
    expected = ec::credential_invalid;
  }
  SUBCASE("no credential text") {
    body.add_credentials("not a credential");
    expected = ec::credential_invalid;
  }
  SUBCASE("a flipped signature bit") {
    change_signature = [](std::string& x) { x[10] ^= 1; };
    expected = ec::signature_invalid;
  }
  SUBCASE("a signature for another session") {
    change_signature = [&](std::string& x) {
      x = *vehicle.sign(authorize_signing_input(true, vehicle.public_part().spki(),
                                                cloud.public_part().spki(), std::string(32, 'f'),
                                                body.SerializeAsString()));
    };
    expected = ec::signature_invalid;
  }
  SUBCASE("our own Authorize sent back to us") {
    change_signature = [&](std::string& x) {
      x = *vehicle.sign(authorize_signing_input(false, vehicle.public_part().spki(),
                                                cloud.public_part().spki(), binding.exporter,
                                                body.SerializeAsString()));
    };
    expected = ec::signature_invalid;
  }
  CHECK(verdict() == expected);
  CHECK(own.known->size() == 0);
}

TEST_CASE_FIXTURE(fixture, "of two credentials only the one that stands gives rights") {
  auto claims = vehicle_claims();
  claims.destinations = {"rpc:jlr.com/cloud/billing"};
  auto revoked = root.issue(claims);
  revoke({revocation_entry_of(*revoked)});
  body.add_credentials(revoked->text);
  body.add_credentials(root.issue(vehicle_claims())->text);
  CHECK(verdict() == ec::none);
  CHECK(admitted.destinations == std::vector<std::string>{"rpc:jlr.com/cloud/media_server"});
}

TEST_CASE_FIXTURE(fixture, "a list of another issuer revokes nothing") {
  auto credential = root.issue(vehicle_claims());
  revoke({revocation_entry_of(*credential)}, "other.com");
  body.add_credentials(credential->text);
  CHECK(verdict() == ec::none);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("rights");

TEST_CASE_FIXTURE(fixture, "a remote request is let through only within both sides' rights") {
  auto credential = root.issue(vehicle_claims());
  own.known->add(credential);
  auto header = test::header_of(vehicle.public_part().uid(), 1);
  header.credential_hash = credential->hash;
  uint64_t signed_at = header.created_ms;
  ec expected = ec::none;
  SUBCASE("as it is") {}
  SUBCASE("its time is up") {
    header.expires_ms = now_ms;
    expected = ec::timeout;
  }
  SUBCASE("from the future") {
    header.created_ms = now_ms + 600'000;
    header.expires_ms = now_ms + 700'000;
    signed_at = header.created_ms;
    expected = ec::unauthorized;
  }
  SUBCASE("living too long") {
    header.expires_ms = header.created_ms + 31ULL * 86'400'000;
    expected = ec::unauthorized;
  }
  SUBCASE("signed long after it was made") {
    signed_at = header.created_ms + 3'600'000;
    expected = ec::unauthorized;
  }
  SUBCASE("under a credential revoked since") {
    revoke({revocation_entry_of(*credential)});
    expected = ec::revoked;
  }
  SUBCASE("a reply under a credential revoked since") {
    header.kind = request_kind::reply;
    revoke({revocation_entry_of(*credential)});
    expected = ec::revoked;
  }
  SUBCASE("by a key that is in two places") {
    own.quarantine = std::make_shared<std::map<node_uid, uint64_t>>(
      std::map<node_uid, uint64_t>{{vehicle.public_part().uid(), credential->issued_s}});
    expected = ec::quarantined;
  }
  SUBCASE("by that key under a credential given after the alarm") {
    own.quarantine = std::make_shared<std::map<node_uid, uint64_t>>(
      std::map<node_uid, uint64_t>{{vehicle.public_part().uid(), credential->issued_s - 1}});
  }
  SUBCASE("under a credential nobody has seen") {
    header.credential_hash = std::string(32, 'x');
    expected = ec::unknown_credential;
  }
  SUBCASE("speaking for another vehicle") {
    header.source = "jlr.com/vin/9999/services/media_player";
    expected = ec::unauthorized;
  }
  SUBCASE("reaching for another service") {
    header.target = "rpc:jlr.com/cloud/billing/charge";
    expected = ec::unauthorized;
  }
  SUBCASE("a message where an rpc is allowed") {
    header.kind = request_kind::message;
    header.target = "message:jlr.com/cloud/media_server/stream_audio";
    expected = ec::unauthorized;
  }
  SUBCASE("under the id of another node") {
    header.id.origin.fill(9);
    expected = ec::unauthorized;
  }
  SUBCASE("for a node that we are not") {
    own.node_address = "jlr.com/cloud2";
    expected = ec::unknown_target;
  }
  SUBCASE("for a name we may not receive") {
    own.own
      = {root.issue(root.claims(cloud.public_part(), {"jlr.com/cloud/other"}, {}, now_ms / 1'000))};
    expected = ec::unknown_target;
  }
  CHECK(code_of(own.check_remote(header, signed_at, now_ms)) == expected);
}

TEST_CASE_FIXTURE(fixture, "a local request needs a credential that lasts as long as it does") {
  own.own = {root.issue(vehicle_claims())};
  auto now = now_ms;
  auto source = "jlr.com/vin/1234/services/x";
  auto target = "rpc:jlr.com/cloud/media_server/play";
  CHECK(own.choose(source, target, now, now + 1'000));
  CHECK(code_of(own.choose(source, target, now, now + 31ULL * 86'400'000).error())
        == ec::credential_expired);
  CHECK(code_of(own.choose(source, "rpc:jlr.com/cloud/x", now, now + 1).error())
        == ec::unauthorized);
  CHECK(code_of(own.choose("jlr.com/vin/1/x", target, now, now + 1).error()) == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "what of a peer rests on somebody unknown is left aside") {
  test::authority other{"other.com"};
  auto claims = other.claims(vehicle.public_part(), {"other.com/cloud"},
                             {"other.com/cloud", "other.com/#"}, now_ms / 1'000);
  auto theirs = other.issue(claims);
  body.add_credentials(theirs->text);
  body.add_credentials(root.issue(vehicle_claims())->text);
  CHECK(verdict() == ec::none);
  CHECK(admitted.sources == std::vector<std::string>{"jlr.com/vin/1234"});
  CHECK(admitted.destinations == std::vector<std::string>{"rpc:jlr.com/cloud/media_server"});
  CHECK(admitted.credential_hashes.size() == 1);
  CHECK_FALSE(own.known->find(theirs->hash));
  // Not what is wrong, nor an address that only the unknown one has.
  body.set_node_address("other.com/cloud");
  CHECK(verdict() == ec::unauthorized);
  body.set_node_address("jlr.com/vin/1234");
  auto forged = root.issue(vehicle_claims())->text;
  forged[forged.size() - 20] = forged[forged.size() - 20] == 'A' ? 'B' : 'A';
  body.add_credentials(forged);
  CHECK(verdict() == ec::credential_invalid);
}

TEST_CASE_FIXTURE(fixture, "a revoked credential gives a node nothing, and leads to nothing") {
  auto x = root.issue(vehicle_claims());
  own.own = {x};
  auto source = "jlr.com/vin/1234/services/x";
  auto target = "rpc:jlr.com/cloud/media_server/play";
  CHECK(own.may_receive(source));
  CHECK(own.choose_for_reply(source, now_ms));
  CHECK(own.find(x->hash) == x);
  revoke({revocation_entry_of(*x)});
  CHECK(code_of(own.choose(source, target, now_ms, now_ms + 1).error()) == ec::revoked);
  CHECK(code_of(own.choose_for_reply(source, now_ms).error()) == ec::revoked);
  CHECK_FALSE(own.may_receive(source));
  CHECK_FALSE(own.find(x->hash));
  CHECK(own.find_known(x->hash) == x);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("credential");

TEST_CASE_FIXTURE(fixture, "an issuer cannot grant rights outside its organization") {
  auto claims = vehicle_claims();
  claims.destinations = {"rpc:other.com/cloud/media_server"};
  CHECK_FALSE(issue_credential(claims, root.key));
  claims.destinations = {"+:#"};
  CHECK_FALSE(issue_credential(claims, root.key));
}

TEST_CASE_FIXTURE(fixture, "reserved names need a literal pattern and an administrator") {
  auto claims = vehicle_claims();
  claims.destinations = {"jlr.com/vin/+", "jlr.com/vin/1234/provisioning"};
  CHECK_FALSE(root.issue(claims)->covers_destination("rpc:jlr.com/vin/1234/provisioning/add"));
  claims.administrator = true;
  auto x = root.issue(claims);
  CHECK(x->covers_destination("rpc:jlr.com/vin/1234/provisioning/add"));
  CHECK_FALSE(x->covers_destination("rpc:jlr.com/vin/5678/provisioning/add"));
}

/// RFC 8410's example of an Ed25519 key, so that signatures repeat.
crypto::private_key fixed_key() {
  auto key = crypto::private_key::from_pem(
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
    "-----END PRIVATE KEY-----\n");
  REQUIRE(key);
  return *key;
}

TEST_CASE("a credential has this text for ever") {
  credential_claims x;
  x.issuer = "jlr.com";
  x.id = "b674546e-76ae-4204-b551-3f850fbffb4b";
  x.issued_s = 1'403'825'201;
  x.not_before_s = 1'401'918'299;
  x.expires_s = 1'402'000'000;
  x.key = fixed_key().public_part();
  x.sources = {"jlr.com/cloud/media_server"};
  x.destinations = {"rpc:jlr.com/vin/+/services/media_player"};
  auto credential = issue_credential(x, fixed_key());
  REQUIRE(credential);
  CHECK(crypto::parse_jws((*credential)->text)->payload
        == R"({"ver":1,"iss":"jlr.com","sub":"a1e9156054e04fac899ae9f275132cdc",)"
           R"("jti":"b674546e-76ae-4204-b551-3f850fbffb4b","iat":1403825201,"nbf":1401918299,)"
           R"("exp":1402000000,"cnf":{"jwk":{"crv":"Ed25519","kty":"OKP",)"
           R"("x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"}},)"
           R"("sources":["jlr.com/cloud/media_server"],)"
           R"("destinations":["rpc:jlr.com/vin/+/services/media_player"]})");
  CHECK(crypto::hex((*credential)->hash)
        == "209a021001b3acc5a1e8ce1471df41384edda8da97aaeb8a087fab68f1421bf5");
}

TEST_CASE("what an Authorize signs has these bytes for ever") {
  auto input = authorize_signing_input(true, "own", "peer", std::string(32, 'e'), "body");
  CHECK(input.substr(0, 16) == std::string("RVI-AUTHORIZE-2\x01"));
  CHECK(input.size() == 16 + 32 + 32 + 32 + 32);
  CHECK(crypto::hex(crypto::view(crypto::sha256(input)))
        == "6b4a7f7826f9e49d86ef629c08453db84b34a40857ad9d5df827d096ceb08eec");
  CHECK(authorize_signing_input(false, "own", "peer", std::string(32, 'e'), "body")[15] == 2);
}

TEST_CASE_FIXTURE(fixture, "a credential says whose key it is for") {
  auto x = root.issue(vehicle_claims());
  auto again = parse_credential(x->text);
  REQUIRE(again);
  CHECK((*again)->key.spki() == vehicle.public_part().spki());
  CHECK((*again)->hash == x->hash);
  CHECK_FALSE(verify_credential(**again, own.anchors));
}

TEST_SUITE_END();
