// SPDX-License-Identifier: MPL-2.0
//
// A copy of a node's key and store (HLD 3.2.7). One of the two holders comes with a token that the
// other has used up: from then on the key is shut out, whoever of them comes.

#include "messages/transaction_id.hpp"
#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;
using rvi::wire::Frame;

namespace {

struct token {
  uint64_t counter = 0;
  std::string text;
};

struct fixture : attack {
  /// Proves to hold the token, as rvi.proto says; nothing without one.
  std::string proof(const hostile_peer& peer, const token& x) const {
    if (x.text.empty())
      return {};
    std::string counter;
    append_u64(counter, x.counter);
    auto asker = crypto::public_key::from_spki(peer.peer_spki());
    REQUIRE(asker);
    std::string input = "RVI-CLONE-1";
    input.push_back(1);
    input += crypto::view(attacker.key.public_part().uid());
    input += crypto::view(asker->uid());
    input += peer.exporter();
    input += counter;
    return counter + std::string{crypto::view(crypto::hmac_sha256(x.text, input))};
  }

  void introduce(hostile_peer& peer, const token& x) {
    REQUIRE(peer.handshake(attacker.key));
    auto body = attacker.body();
    body.set_clone_proof(proof(peer, x));
    auto text = body.SerializeAsString();
    peer.send_authorize(text, peer.sign(text, attacker.key));
  }

  /// What came before it is before it on the node's clock too.
  void time_passes() {
    at.use_each_other();
    not_counted();
  }

  /// A whole session; the token that the node gives in it, kept.
  token next_token(const token& x) {
    hostile_peer peer{at.cloud_port};
    introduce(peer, x);
    REQUIRE(peer.read_until(Frame::kAuthorize));
    peer.announce(true, {});
    auto given = peer.read_until(Frame::kCloneToken);
    REQUIRE(given);
    return {given->clone_token().counter(), given->clone_token().token()};
  }
};

} // namespace

TEST_SUITE_BEGIN("attacks: clones" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a cloned node: the copy comes after the original") {
  auto first = next_token({});
  auto second = next_token(first); // the original goes on
  auto third = next_token(second);
  CHECK(third.counter > second.counter);
  time_passes();
  hostile_peer copy{at.cloud_port};
  introduce(copy, first);
  ends(copy, "quarantined");
  CHECK(recorded(at.cloud, {R"("event":"clone_alarm")", attacker_uid()}));
  // The original too, until its issuer gives it a new credential.
  hostile_peer original{at.cloud_port};
  introduce(original, third);
  ends(original, "quarantined");
  signatures_max = 8;
}

TEST_CASE_FIXTURE(fixture, "a cloned node: the copy's open session ends with the alarm") {
  auto first = next_token({});
  auto second = next_token(first);
  next_token(second);
  auto ids = attacker.authorize_id;
  hostile_peer copy{at.cloud_port};
  copy.come_up(attacker); // without a token: suspect, and admitted
  CHECK(at.cloud.log().find("came without the token") != std::string::npos);
  time_passes();
  attacker.authorize_id = ids + 10;
  hostile_peer again{at.cloud_port};
  introduce(again, first);
  ends(again, "quarantined");
  auto end = copy.end();
  CHECK(end.closed);
  CHECK(end.reason == "quarantined");
  signatures_max = 10;
}

TEST_CASE_FIXTURE(fixture, "a clone's proof recorded in another session") {
  auto first = next_token({});
  hostile_peer recorded_in{at.cloud_port};
  REQUIRE(recorded_in.handshake(attacker.key));
  auto stolen = proof(recorded_in, first);
  hostile_peer peer{at.cloud_port};
  REQUIRE(peer.handshake(attacker.key));
  auto body = attacker.body();
  body.set_clone_proof(stolen);
  auto text = body.SerializeAsString();
  peer.send_authorize(text, peer.sign(text, attacker.key));
  // It proves nothing: the node keeps asking for the token it gave.
  REQUIRE(peer.read_until(Frame::kAuthorize));
  peer.announce(true, {});
  auto given = peer.read_until(Frame::kCloneToken);
  REQUIRE(given);
  CHECK(given->clone_token().token() == first.text);
  signatures_max = 4;
}

TEST_CASE_FIXTURE(fixture, "a key in quarantine with its old credential under another address") {
  auto first = next_token({});
  auto second = next_token(first);
  next_token(second);
  time_passes();
  hostile_peer copy{at.cloud_port};
  introduce(copy, first);
  ends(copy, "quarantined");
  signatures_max = 8;
  attacker.address += "/part";
  refuses_attacker("quarantined");
}

TEST_CASE_FIXTURE(fixture, "a token for another node's key") {
  auto first = next_token({});
  peer_card other{at.world.provisioning, attacker.address + ".b", {"jlr.com/cloud/media_server"}};
  auto uid = attacker_uid();
  std::swap(attacker, other);
  hostile_peer peer{at.cloud_port};
  introduce(peer, first); // a thief of the token alone
  REQUIRE(peer.read_until(Frame::kAuthorize));
  CHECK_FALSE(recorded(at.cloud, {R"("event":"clone_alarm")", uid}));
  signatures_max = 4;
}

TEST_SUITE_END();
