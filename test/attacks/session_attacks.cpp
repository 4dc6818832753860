// SPDX-License-Identifier: MPL-2.0
//
// Admitted peers that announce what is not theirs, and send what nobody asked for or granted. (In
// the reference implementation any peer could take over any name: spec A6.)

#include "messages/wire/header.hpp"
#include "test/attacks/attack.hpp"
#include "test/support/envelopes.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;
using rvi::wire::AnnounceEntry;
using rvi::wire::Frame;

namespace {

struct fixture : session_attack {
  /// Also the good name in the same frame must not be taken.
  void announces(const AnnounceEntry& x, const std::string& code) {
    signatures_max += 2;
    peer.announce(false, {attacker.entry(attacker.address + "/services/good"), x});
    ends(code);
    CHECK_FALSE(is_offered(attacker.address));
  }
  void announces(const std::string& name) {
    announces(attacker.entry(name), "unauthorized");
    CHECK_FALSE(is_offered(name));
  }

  void sends_frame(const Frame& x, const std::string& code) {
    peer.send(x);
    ends(code);
  }
};

/// A session with the right to carry for some names.
struct relay_fixture : attack {
  relay_fixture() {
    take_credential([](auto& x) { x.relay = {"jlr.com/vin/777", "jlr.com/cloud"}; });
    peer.come_up(attacker);
  }

  void
  relays(const AnnounceEntry& entry, const std::string& code, const std::vector<node_uid>& route) {
    ++signatures_max; // the owner's
    Frame x;
    auto& relayed = *x.mutable_relayed_announce()->add_entries();
    *relayed.mutable_entry() = entry;
    for (auto& hop : route)
      relayed.add_route(hop.data(), hop.size());
    peer.send(x);
    if (owner) { // the node wants to see the owner's credential
      ++signatures_max;
      if (peer.read_until(Frame::kNeedCredential)) {
        Frame chain;
        chain.mutable_credential_chain()->add_credentials(owner->credential->text);
        peer.send(chain);
      }
    }
    ends(peer, code);
    CHECK_FALSE(is_offered("jlr.com/vin/777"));
  }

  node_uid uid() const { return attacker.key.public_part().uid(); }

  hostile_peer peer{at.cloud_port};
  std::optional<peer_card> owner;
};

} // namespace

TEST_SUITE_BEGIN("attacks: in a session" * doctest::skip(rvi_program().empty()));

// -- announcements ------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "announce a service of another vehicle") {
  announces("jlr.com/vin/1234/services/lock");
}

TEST_CASE_FIXTURE(fixture, "announce a service of the attacked node") {
  announces("jlr.com/cloud/firmware");
}

TEST_CASE_FIXTURE(fixture, "announce a service of another organization") {
  announces("acme.com/vin/666/services/lock");
}

TEST_CASE_FIXTURE(fixture, "announce a name that only begins like the own address") {
  announces(attacker.address + "0/services/lock");
}

TEST_CASE_FIXTURE(fixture, "announce the level above") {
  announces("rpc:jlr.com/vin/services");
}

TEST_CASE_FIXTURE(fixture, "announce a reserved level that no credential names") {
  announces(attacker.address + "/provisioning");
}

TEST_CASE_FIXTURE(fixture, "announce with a wildcard, to be asked for everything") {
  announces(attacker.entry(attacker.address + "/+"), "malformed");
}

TEST_CASE_FIXTURE(fixture, "announce under a good signature for another name") {
  auto entry = attacker.entry(attacker.address + "/services/lock");
  entry.set_service(attacker.entry(attacker.address + "/services/door").service());
  announces(entry, "signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "announce what another key has signed") {
  peer_card other{at.world.provisioning, attacker.address, {}};
  announces(other.entry(attacker.address + "/services/lock"), "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "announce under a credential that was not shown in this session") {
  auto entry = attacker.entry(attacker.address + "/services/lock");
  entry.set_credential_hash(at.vehicle.credential->hash);
  announces(entry, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "announce in another encoding of the same name") {
  auto entry = attacker.entry(attacker.address + "/services/lock");
  entry.set_service(entry.service() + std::string("\x28\x01", 2));
  announces(entry, "malformed");
}

TEST_CASE_FIXTURE(fixture, "relay announcements without the right to") {
  Frame x;
  auto& relayed = *x.mutable_relayed_announce()->add_entries();
  *relayed.mutable_entry() = attacker.entry(attacker.address + "/services/lock");
  auto uid = attacker.key.public_part().uid();
  relayed.add_route(uid.data(), uid.size());
  sends_frame(x, "unauthorized");
}

TEST_CASE_FIXTURE(relay_fixture, "a relay announces names outside its claim") {
  owner.reset();
  relays(attacker.entry("jlr.com/vin/1234/services/lock"), "unauthorized", {uid()});
}

TEST_CASE_FIXTURE(relay_fixture, "a relay announces what it has signed itself") {
  owner.reset();
  relays(attacker.entry("jlr.com/vin/777/services/lock"), "unauthorized", {uid()});
}

TEST_CASE_FIXTURE(relay_fixture, "a relay changes what an owner has said") {
  owner.emplace(at.world.provisioning, "jlr.com/vin/777", std::vector<std::string>{});
  auto entry = owner->entry("jlr.com/vin/777/services/lock");
  entry.set_service(owner->entry("jlr.com/vin/777/services/door").service());
  relays(entry, "signature_invalid", {uid()});
}

TEST_CASE_FIXTURE(relay_fixture, "a relay hides that it is one of the way") {
  owner.reset();
  relays(attacker.entry("jlr.com/vin/777/services/lock"), "malformed",
         {at.vehicle.key.public_part().uid()});
}

// -- frames nobody asked for --------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "a credential nobody asked for") {
  Frame x;
  x.mutable_credential_chain()->add_credentials(attacker.credential->text);
  sends_frame(x, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "another credential than the one asked for") {
  peer_card unknown{at.world.provisioning, attacker.address, {"jlr.com/cloud/media_server"}};
  peer.send(unknown.requests({echo_target}, {"\"attack\""}));
  REQUIRE(peer.read_until(Frame::kNeedCredential));
  Frame x;
  x.mutable_credential_chain()->add_credentials(attacker.credential->text);
  sends_frame(x, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "a forged credential of a third node for the cache") {
  ::test::authority stranger{"jlr.com"};
  peer_card third{stranger, "jlr.com/vin/777", {"jlr.com/cloud/media_server"}};
  auto forged = *parse_credential(
    forged_jws(attacker.key, good_header(), part_of(third.credential->text, 1)));
  third.credential = forged;
  auto request = third.requests({echo_target}, {"\"attack\""});
  ++signatures_max;
  peer.send(request);
  REQUIRE(peer.read_until(Frame::kNeedCredential));
  Frame x;
  x.mutable_credential_chain()->add_credentials(forged->text);
  peer.send(x);
  ends("credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "tentative batches, whose fate the sender could choose later") {
  auto request = attacker.requests({echo_target}, {"\"attack\""});
  auto frame = frame_of(request);
  frame.mutable_batch()->set_tentative(true);
  peer.send(frame);
  auto answer = peer.read_until(Frame::kCustody);
  REQUIRE(answer);
  REQUIRE(answer->custody().refused_size() == 1);
  CHECK(answer->custody().refused(0).reason() == "refused: tentative");
  CHECK_FALSE(answer->custody().refused(0).permanent());
}

TEST_CASE_FIXTURE(fixture, "the release of a batch that was never sent") {
  Frame x;
  x.mutable_release()->set_batch_id(std::string(16, 'b'));
  sends_frame(x, "malformed");
}

TEST_CASE_FIXTURE(fixture, "custody for the honest vehicle's requests") {
  // They wait at the cloud for the vehicle, not for the attacker.
  Frame x;
  auto uid = at.cloud.key.public_part().uid();
  auto& ids = *x.mutable_custody()->add_accepted();
  ids.set_origin(std::string{crypto::view(uid)} + std::string(4, '\1'));
  ids.set_first(1);
  ids.set_count(60'000);
  peer.send(x);
  Frame ping;
  ping.mutable_ping()->set_nonce(42);
  peer.send(ping);
  auto pong = peer.read_until(Frame::kPing);
  while (pong && !pong->ping().answer()) // the node's own, which measures the new link
    pong = peer.read_until(Frame::kPing);
  REQUIRE(pong);
  CHECK(pong->ping().nonce() == 42);
}

TEST_CASE_FIXTURE(fixture, "a clone token of another length") {
  Frame x;
  x.mutable_clone_token()->set_counter(UINT64_MAX);
  x.mutable_clone_token()->set_token("short");
  sends_frame(x, "malformed");
}

TEST_CASE_FIXTURE(fixture, "a frame from the future") {
  peer.send(std::string{"\x00\x00\x00\x03\x9a\x7d\x00", 7});
  ends("malformed");
}

TEST_CASE_FIXTURE(fixture, "two contents in one frame") {
  peer.send(std::string{"\x00\x00\x00\x04\x32\x00\x12\x00", 8});
  ends("malformed");
}

TEST_SUITE_END();
