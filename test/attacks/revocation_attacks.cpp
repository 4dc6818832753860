// SPDX-License-Identifier: MPL-2.0
//
// Whoever was revoked, in all ways in which they might go on; and lists that would give rights
// back: older, forged, cut, of others.

#include "messages/transaction_id.hpp"
#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;
using rvi::wire::Frame;

namespace {

struct fixture : attack {
  /// Takes the attacker's credential back; costs the cloud one check.
  void revoke_attacker() {
    at.revoke({revocation_entry_of(*attacker.credential)});
    ++signatures_max;
  }

  revocation_list_ptr next_list(const ::test::authority& root) const {
    return root.revocation_list(at.lists.size() + 1, {}, wall_ms() / 1'000);
  }

  /// Over a session of the attacker: the session ends for it.
  void ends_for(const std::string& list, const std::string& code) {
    hostile_peer peer{at.cloud_port};
    peer.come_up(attacker);
    ++signatures_max;
    peer.send(frame_of_list(list));
    ends(peer, code);
  }
  /// It is of no use and no proof of anything: the session goes on, and so does what held.
  void is_ignored(const std::string& list) {
    hostile_peer peer{at.cloud_port};
    peer.come_up(attacker);
    peer.send(frame_of_list(list));
    ++signatures_max;
    auto request = attacker.requests({echo_target}, {"\"honest\""});
    peer.send(request);
    CHECK(peer.custody_of(request.front()->header.id) == "accepted");
  }
  static Frame frame_of_list(const std::string& list) {
    Frame x;
    x.mutable_revocations()->add_lists(list);
    return x;
  }

  std::string enter(const std::string& list) {
    return at.media_server.call("revoke", R"({"list":")" + list + "\"}").code;
  }
};

} // namespace

TEST_SUITE_BEGIN("attacks: revocation" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a revoked credential at the door") {
  revoke_attacker();
  refuses_attacker("revoked");
  signatures_max = 1; // the list's
}

TEST_CASE_FIXTURE(fixture, "a revoked credential hidden among a good one") {
  // Of the same key: what is revoked gives nothing.
  auto revoked = attacker.credential;
  revoke_attacker();
  take_credential([](auto&) {});
  auto body = attacker.body();
  body.add_credentials(revoked->text);
  hostile_peer peer{at.cloud_port};
  REQUIRE(peer.handshake(attacker.key));
  auto text = body.SerializeAsString();
  peer.send_authorize(text, peer.sign(text, attacker.key));
  REQUIRE(peer.read_until(Frame::kAuthorize));
  peer.announce(true, {});
  REQUIRE(peer.read_until(Frame::kCredit));
  attacker.credential = revoked;
  auto request = attacker.requests({echo_target}, {"\"attack\""});
  ++signatures_max;
  peer.send(request);
  // Asked for it, the peer can only show the revoked one.
  Frame chain;
  chain.mutable_credential_chain()->add_credentials(revoked->text);
  REQUIRE(peer.read_until(Frame::kNeedCredential));
  peer.send(chain);
  ends(peer, "revoked");
}

TEST_CASE_FIXTURE(fixture, "a new credential for a key that was revoked as a whole") {
  at.revoke({revocation_entry_of("jlr.com", attacker.key.public_part().uid(), UINT32_MAX)});
  take_credential([](auto&) {});
  refuses_attacker("revoked");
  signatures_max = 1;
}

TEST_CASE_FIXTURE(fixture, "revoked in flight: the session and what comes after in it") {
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  revoke_attacker();
  peer.send(attacker.requests({echo_target}, {"\"attack\""}));
  ends(peer, "revoked");
  CHECK_FALSE(is_offered(attacker.address));
}

TEST_CASE_FIXTURE(fixture, "revoked in flight: what the node has kept of before") {
  take_credential([](auto& x) { x.destinations = {"jlr.com/cloud/garage"}; });
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  ++signatures_max;
  auto request = attacker.requests({"message:jlr.com/cloud/garage/open"}, {"\"attack\""},
                                   request_kind::message);
  auto id = request.front()->header.id;
  peer.send(request);
  REQUIRE(peer.custody_of(id) == "accepted"); // nobody serves it yet
  revoke_attacker();
  service_client garage{at.cloud.socket()};
  garage.register_service("garage");
  auto told = [&] { return recorded(at.cloud, {R"("what":"dispatch")", to_string(id)}); };
  CHECK_MESSAGE(wait_for({&garage}, told), trail(at.cloud));
  check_refusal_recorded(at.cloud, "revoked", to_string(id));
  CHECK(garage.invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "revoked in flight: announced services") {
  auto name = attacker.address + "/services/lock";
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  ++signatures_max;
  peer.announce(false, {attacker.entry(name)});
  REQUIRE(wait_for({&at.media_server}, [&] { return is_offered(name); }));
  revoke_attacker();
  ends(peer, "revoked");
  CHECK(wait_for({&at.media_server}, [&] { return !is_offered(name); }));
}

TEST_CASE_FIXTURE(fixture, "a rolled-back list over a session") {
  auto victim = attacker;
  revoke_attacker();
  attacker
    = peer_card{at.world.provisioning, attacker.address + ".b", {"jlr.com/cloud/media_server"}};
  at.revoke({}); // so that there is an older one
  ++signatures_max;
  is_ignored(at.lists.front()->text);
  attacker = victim;
  refuses_attacker("revoked");
}

TEST_CASE_FIXTURE(fixture, "a rolled-back list entered at the node") {
  at.revoke({});
  signatures_max = 1; // the old one is not worth a look
  CHECK(enter(at.lists.front()->text) == "replay");
  check_refusal_recorded(at.cloud, "replay", "revocation list");
}

TEST_CASE_FIXTURE(fixture, "a forged list over a session") {
  ::test::authority stranger{"jlr.com"};
  auto forged = next_list(stranger)->text;
  auto good = next_list(at.world.provisioning)->text;
  auto signature = forged.substr(0, forged.find('~'));
  auto text = good.substr(0, good.find('~'));
  ends_for(text.substr(0, text.rfind('.')) + signature.substr(signature.rfind('.')) + "~",
           "signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "a forged list entered at the node") {
  signatures_max = 1;
  auto text = next_list(at.world.provisioning)->text;
  auto end = text.find('~');
  text[end - 10] = text[end - 10] == 'A' ? 'B' : 'A';
  CHECK(enter(text) == "signature_invalid");
  check_refusal_recorded(at.cloud, "signature_invalid", "revocation list");
}

TEST_CASE_FIXTURE(fixture, "a list with an entry taken out") {
  auto list = at.world.provisioning.revocation_list(
    at.lists.size() + 1, {revocation_entry_of(*attacker.credential)}, wall_ms() / 1'000);
  ends_for(list->text.substr(0, list->text.find('~') + 1), "malformed");
}

TEST_CASE_FIXTURE(fixture, "a list with an entry put in, to shut out an honest node") {
  auto text = next_list(at.world.provisioning)->text;
  auto entry = revocation_entry_of(*at.vehicle.credential);
  std::string bytes{reinterpret_cast<const char*>(entry.id.data()), entry.id.size()};
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<char>(entry.expires_s >> shift));
  ends_for(text + crypto::base64url(bytes), "malformed");
}

TEST_CASE_FIXTURE(fixture, "another organization's root revokes an honest node") {
  auto claims = *at.world.provisioning.revocation_list(
    at.lists.size() + 1, {revocation_entry_of(*at.vehicle.credential)}, wall_ms() / 1'000);
  auto list = issue_revocation_list(claims, at.acme.lists);
  REQUIRE(list);
  is_ignored((*list)->text); // of a key that this node has not pinned for jlr.com
  CHECK(enter((*list)->text) == "unknown_issuer");
  check_refusal_recorded(at.cloud, "unknown_issuer", "revocation list");
}

TEST_CASE_FIXTURE(fixture, "an organization's list names another's node") {
  // Entries are hashes over the issuer's name too: what acme.com revokes is acme.com's.
  ::test::authority acme{second_organization::name};
  acme.key = at.acme.lists;
  auto list
    = acme.revocation_list(1, {revocation_entry_of(*at.vehicle.credential)}, wall_ms() / 1'000);
  REQUIRE(list);
  CHECK(enter(list->text) == "");
  signatures_max = 1;
}

TEST_CASE_FIXTURE(fixture, "a root that may only sign credentials signs a list") {
  ::test::authority acme{second_organization::name};
  acme.key = at.acme.credentials;
  auto list = acme.revocation_list(2, {}, wall_ms() / 1'000);
  REQUIRE(list);
  signatures_max = 0;
  CHECK(enter(list->text) == "unknown_issuer");
  check_refusal_recorded(at.cloud, "unknown_issuer", "revocation list");
}

TEST_CASE_FIXTURE(fixture, "a delta on another list than the one in force") {
  at.revoke({});
  revocation_set other;
  other.issuer = "jlr.com";
  other.version = {1, at.lists.size() + 4};
  auto delta = at.world.provisioning.revocation_list(
    at.lists.size() + 5, {revocation_entry_of(*attacker.credential)}, wall_ms() / 1'000, &other);
  REQUIRE(delta);
  CHECK(enter(delta->text) == "not_found");
  check_refusal_recorded(at.cloud, "not_found", "revocation list");
}

TEST_CASE_FIXTURE(fixture, "a credential in place of a list") {
  signatures_max = 0;
  CHECK(enter(attacker.credential->text) == "malformed");
  CHECK(enter(attacker.credential->text + "~") == "malformed");
  check_refusal_recorded(at.cloud, "malformed", "revocation list");
}

TEST_SUITE_END();
