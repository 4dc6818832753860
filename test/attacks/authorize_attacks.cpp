// SPDX-License-Identifier: MPL-2.0
//
// Peers that are through TLS and not yet believed: other frames first, an Authorize that is
// somebody else's, of another session, version or role. (The reference implementation took an
// announcement without any, and a stolen credential: spec A6.)

#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;
using rvi::wire::Frame;

namespace {

struct fixture : attack {
  /// Sends this instead of an Authorize.
  void before_authorize(const Frame& x) {
    signatures_max = 0;
    hostile_peer peer{at.cloud_port};
    REQUIRE(peer.handshake(attacker.key));
    peer.send(x);
    ends(peer, "unauthorized");
  }
};

} // namespace

TEST_SUITE_BEGIN("attacks: before authorization" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "announce before authorize") {
  Frame x;
  x.mutable_announce()->set_full(true);
  *x.mutable_announce()->add_entries() = attacker.entry(attacker.address + "/services/lock");
  before_authorize(x);
  CHECK_FALSE(is_offered(attacker.address));
}

TEST_CASE_FIXTURE(fixture, "invoke before authorize") {
  before_authorize(frame_of(attacker.requests({echo_target}, {"\"attack\""})));
}

TEST_CASE_FIXTURE(fixture, "credit before authorize") {
  Frame x;
  x.mutable_credit()->set_envelopes(1'000'000);
  before_authorize(x);
}

TEST_CASE_FIXTURE(fixture, "custody of others' requests before authorize") {
  Frame x;
  auto& ids = *x.mutable_custody()->add_accepted();
  ids.set_origin(std::string(20, 'o'));
  ids.set_first(1);
  ids.set_count(60'000);
  before_authorize(x);
}

TEST_CASE_FIXTURE(fixture, "a credential to be cached before authorize") {
  Frame x;
  x.mutable_credential_chain()->add_credentials(attacker.credential->text);
  before_authorize(x);
}

TEST_CASE_FIXTURE(fixture, "a revocation list before authorize") {
  Frame x;
  auto list = at.world.provisioning.revocation_list(1'000, {}, wall_ms() / 1'000);
  x.mutable_revocations()->add_lists(list->text);
  before_authorize(x);
}

TEST_CASE_FIXTURE(fixture, "a question for credentials before authorize") {
  Frame x;
  x.mutable_need_credential()->add_hashes(at.vehicle.credential->hash);
  before_authorize(x);
}

TEST_CASE_FIXTURE(fixture, "a metric before authorize") {
  Frame x;
  auto& value = *x.mutable_metric_values()->add_values();
  value.set_topic("metric:jlr.com/vin/1234/speed");
  value.set_value("\"attack\"");
  before_authorize(x);
}

TEST_CASE_FIXTURE(fixture, "a clone token before authorize") {
  Frame x;
  x.mutable_clone_token()->set_counter(1);
  x.mutable_clone_token()->set_token(std::string(32, 't'));
  before_authorize(x);
}

TEST_CASE_FIXTURE(fixture, "invoke between authorize and announce") {
  hostile_peer peer{at.cloud_port};
  peer.authorize(attacker);
  peer.send(attacker.requests({echo_target}, {"\"attack\""}));
  ends(peer, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "a second Authorize in one session, with more rights") {
  hostile_peer peer{at.cloud_port};
  peer.authorize(attacker);
  take_credential([](auto& x) { x.destinations = {"jlr.com/cloud"}; });
  auto body = attacker.body().SerializeAsString();
  peer.send_authorize(body, peer.sign(body, attacker.key));
  ends(peer, "malformed");
}

TEST_CASE_FIXTURE(fixture, "a stolen credential with another key") {
  signatures_max = 0; // the keys are compared first
  auto body = attacker.body();
  body.set_node_address("jlr.com/vin/1234");
  body.set_credentials(0, at.vehicle.credential->text);
  refuses(body.SerializeAsString(), "unauthorized");
  CHECK(recorded(at.cloud, {attacker_uid(), R"("peer":"jlr.com/vin/1234")"}));
}

TEST_CASE_FIXTURE(fixture, "a stolen credential beside a good one of the attacker") {
  signatures_max = 0;
  auto body = attacker.body();
  body.add_credentials(at.vehicle.credential->text);
  refuses(body.SerializeAsString(), "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "the node's own Authorize sent back to it") {
  hostile_peer first{at.cloud_port};
  first.authorize(attacker);
  // It is said after the attacker's own, so it has to come from another session.
  Frame theirs;
  {
    peer_card other{at.world.provisioning, attacker.address + ".b", {}};
    hostile_peer second{at.cloud_port};
    REQUIRE(second.handshake(other.key));
    auto body = other.body().SerializeAsString();
    second.send_authorize(body, second.sign(body, other.key));
    auto answer = second.read_until(Frame::kAuthorize);
    REQUIRE(answer);
    theirs = *answer;
  }
  hostile_peer peer{at.cloud_port};
  REQUIRE(peer.handshake(attacker.key));
  peer.send(theirs);
  ends(peer, "unauthorized");
  signatures_max = 4; // two good sessions; the reflection costs nothing
}

TEST_CASE_FIXTURE(fixture, "an Authorize recorded in another session of the same peer") {
  auto body = attacker.body().SerializeAsString();
  std::string signature;
  {
    hostile_peer first{at.cloud_port};
    REQUIRE(first.handshake(attacker.key));
    signature = first.sign(body, attacker.key);
    first.send_authorize(body, signature);
    REQUIRE(first.read_until(Frame::kAuthorize));
  }
  hostile_peer second{at.cloud_port};
  REQUIRE(second.handshake(attacker.key));
  second.send_authorize(body, signature);
  ends(second, "signature_invalid");
  signatures_max = 3;
}

TEST_CASE_FIXTURE(fixture, "an Authorize meant for another node, passed on by a node between") {
  // The vehicle's word to the attacker would be signed for the attacker's key, not the cloud's.
  hostile_peer to_vehicle{at.vehicle_port};
  REQUIRE(to_vehicle.handshake(attacker.key));
  auto body = attacker.body().SerializeAsString();
  auto signature = to_vehicle.sign(body, attacker.key);
  hostile_peer peer{at.cloud_port};
  REQUIRE(peer.handshake(attacker.key));
  peer.send_authorize(body, signature);
  ends(peer, "signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "an Authorize signed in the other role") {
  hostile_peer peer{at.cloud_port};
  REQUIRE(peer.handshake(attacker.key));
  auto body = attacker.body().SerializeAsString();
  peer.send_authorize(body, peer.sign(body, attacker.key, false));
  ends(peer, "signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "an Authorize with a changed body under the old signature") {
  hostile_peer peer{at.cloud_port};
  REQUIRE(peer.handshake(attacker.key));
  auto body = attacker.body();
  auto signature = peer.sign(body.SerializeAsString(), attacker.key);
  body.set_transaction_id(body.transaction_id() + 1);
  peer.send_authorize(body.SerializeAsString(), signature);
  ends(peer, "signature_invalid");
  signatures_max = 1;
}

TEST_CASE_FIXTURE(fixture, "an Authorize without a signature") {
  signatures_max = 0; // one of the wrong length is not worth a look
  hostile_peer peer{at.cloud_port};
  REQUIRE(peer.handshake(attacker.key));
  peer.send_authorize(attacker.body().SerializeAsString(), "");
  ends(peer, "signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "a foreign protocol version") {
  signatures_max = 0;
  auto body = attacker.body();
  body.set_protocol("rvi/3");
  refuses(body.SerializeAsString(), "protocol_mismatch");
}

TEST_CASE_FIXTURE(fixture, "a downgrade to an older protocol") {
  signatures_max = 0;
  auto body = attacker.body();
  body.set_protocol("rvi/1");
  body.set_version(1);
  refuses(body.SerializeAsString(), "protocol_mismatch");
}

TEST_CASE_FIXTURE(fixture, "a downgrade of the version alone") {
  signatures_max = 0;
  auto body = attacker.body();
  body.set_version(1);
  refuses(body.SerializeAsString(), "protocol_mismatch");
}

TEST_CASE_FIXTURE(fixture, "an address outside the credential") {
  auto body = attacker.body();
  body.set_node_address("jlr.com/vin/1234");
  refuses(body.SerializeAsString(), "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "an address that only begins like the credential's") {
  auto body = attacker.body();
  body.set_node_address(attacker.address + "0");
  refuses(body.SerializeAsString(), "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "an address above the credential's") {
  auto body = attacker.body();
  body.set_node_address("jlr.com/vin");
  refuses(body.SerializeAsString(), "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "an address with a wildcard") {
  signatures_max = 0;
  auto body = attacker.body();
  body.set_node_address("jlr.com/vin/+");
  refuses(body.SerializeAsString(), "malformed");
}

TEST_CASE_FIXTURE(fixture, "an address in another letter case, so that two nodes have it") {
  signatures_max = 0;
  auto body = attacker.body();
  body.set_node_address("JLR.com/vin/666");
  refuses(body.SerializeAsString(), "malformed");
}

TEST_CASE_FIXTURE(fixture, "the attacked node's own address, with a credential for it") {
  take_credential([](auto& x) { x.sources = {"jlr.com/cloud"}; });
  attacker.address = "jlr.com/cloud";
  hostile_peer peer{at.cloud_port};
  peer.authorize(attacker);
  peer.announce(true, {});
  ends(peer, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "the address of a node that is linked, with a credential for it") {
  take_credential([](auto& x) { x.sources = {"jlr.com/vin/1234"}; });
  attacker.address = "jlr.com/vin/1234";
  hostile_peer peer{at.cloud_port};
  peer.authorize(attacker);
  peer.announce(true, {});
  ends(peer, "unauthorized");
}

TEST_SUITE_END();
