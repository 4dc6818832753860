// SPDX-License-Identifier: MPL-2.0
//
// Attacks on a real cloud node before it believes the peer: on the port, on TLS, on frames and on
// the Authorize. After each one the node still serves everybody else.

#include "test/integration/node_hostile_peer.hpp"

#include <doctest/doctest.h>

#include <memory>

using namespace rvi;
using namespace rvi::test;

namespace {

using fixture = hostile_fixture;

/// The same with a node that gives peers one second.
struct impatient_fixture : hostile_fixture {
  impatient_fixture() : hostile_fixture("authorize_timeout = \"1s\"\n") {}
};

/// `size` as the u32 before a frame.
std::string length_prefix(uint32_t size) {
  std::string result;
  for (int shift = 24; shift >= 0; shift -= 8)
    result.push_back(static_cast<char>(size >> shift));
  return result;
}

} // namespace

TEST_SUITE_BEGIN("hostile peers" * doctest::skip(rvi_program().empty()));

TEST_CASE("without RVI in the environment the tests of real nodes are skipped"
          * doctest::skip(false)) {
  if (rvi_program().empty())
    MESSAGE("RVI names no program: the tests of real nodes are skipped");
}

TEST_CASE_FIXTURE(fixture, "plain HTTP on the TLS port is ended") {
  hostile_peer peer{port};
  peer.send_raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  auto said = peer.read_raw_until_end();
  CHECK(said.find("still open") == std::string::npos);
  CHECK(said.find("HTTP") == std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "garbage on the TLS port is ended") {
  hostile_peer peer{port};
  peer.send_raw(crypto::random_bytes(100'000));
  CHECK(peer.read_raw_until_end().find("still open") == std::string::npos);
}

TEST_CASE_FIXTURE(impatient_fixture,
                  "a connection that says nothing is closed after authorize_timeout") {
  hostile_peer silent{port};
  auto begin = wall_ms();
  CHECK(silent.read_raw_until_end().find("still open") == std::string::npos);
  CHECK(wall_ms() - begin < 5'000);
  CHECK(wall_ms() - begin >= 900);
}

TEST_CASE_FIXTURE(impatient_fixture,
                  "a peer that stops after the handshake is told that its time is up") {
  hostile_peer peer{port};
  REQUIRE(peer.handshake(attacker.key));
  auto end = peer.end(milliseconds{5'000});
  CHECK(end.closed);
  CHECK(end.reason == "timeout");
}

TEST_CASE_FIXTURE(impatient_fixture, "a peer that trickles bytes gets no more time than others") {
  hostile_peer peer{port};
  REQUIRE(peer.handshake(attacker.key));
  auto begin = wall_ms();
  peer.send(length_prefix(1'000));
  bool closed = false;
  while (!closed && wall_ms() - begin < 6'000) {
    peer.send("x");
    closed = peer.end(milliseconds{100}).closed;
  }
  CHECK(closed);
}

TEST_CASE_FIXTURE(fixture, "frames before the Authorize are refused") {
  ::rvi::wire::Frame frame;
  SUBCASE("a ping") {
    frame.mutable_ping()->set_nonce(1);
  }
  SUBCASE("an announcement") {
    frame.mutable_announce()->set_full(true);
  }
  SUBCASE("a batch") {
    frame = frame_of(attacker.requests({echo_target}, {"1"}));
  }
  SUBCASE("credit") {
    frame.mutable_credit()->set_envelopes(1'000'000);
  }
  SUBCASE("custody") {
    frame.mutable_custody();
  }
  hostile_peer peer{port};
  REQUIRE(peer.handshake(attacker.key));
  peer.send(frame);
  auto end = peer.end();
  CHECK(end.closed);
  CHECK(end.reason == "unauthorized");
  CHECK(media_server.invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "frames between the Authorize and the announcements are refused") {
  ::rvi::wire::Frame frame;
  SUBCASE("a batch") {
    frame = frame_of(attacker.requests({echo_target}, {"1"}));
  }
  SUBCASE("a delta announcement") {
    frame.mutable_announce()->set_full(false);
  }
  hostile_peer peer{port};
  peer.authorize(attacker);
  peer.send(frame);
  CHECK(peer.end().reason == "unauthorized");
  CHECK(media_server.invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "a second Authorize is refused") {
  hostile_peer peer{port};
  peer.authorize(attacker);
  auto body = attacker.body().SerializeAsString();
  peer.send_authorize(body, peer.sign(body, attacker.key));
  CHECK(peer.end().reason == "malformed");
}

TEST_CASE_FIXTURE(fixture, "a credential of an untrusted root is refused") {
  ::test::authority stranger{"jlr.com"};
  peer_card x{stranger, "jlr.com/vin/666", {"jlr.com/cloud"}};
  CHECK(refused(x) == "unknown_issuer");
  ::test::authority other{"evil.org"};
  peer_card y{other, "evil.org/vin/666", {"evil.org/cloud"}};
  CHECK(refused(y) == "unknown_issuer");
}

TEST_CASE_FIXTURE(fixture, "an expired credential is refused") {
  attacker.credential = changed([](auto& x) { x.expires_s = wall_ms() / 1'000 - 1; });
  CHECK(refused(attacker) == "credential_expired");
}

TEST_CASE_FIXTURE(fixture, "a credential of the future is refused") {
  attacker.credential = changed([](auto& x) { x.not_before_s = wall_ms() / 1'000 + 3'600; });
  CHECK(refused(attacker) == "credential_not_yet_valid");
}

TEST_CASE_FIXTURE(fixture, "a stolen credential is refused") {
  peer_card victim{world.provisioning, "jlr.com/vin/1", {"jlr.com/cloud/media_server"}};
  auto body = victim.body().SerializeAsString();
  CHECK(refused(attacker.key, body) == "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "a changed credential is refused") {
  auto text = attacker.credential->text;
  auto body = attacker.body();
  auto& last = text[text.rfind('.') + 10];
  last = last == 'A' ? 'B' : 'A';
  body.set_credentials(0, text);
  CHECK(refused(attacker.key, body.SerializeAsString()) == "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "an address outside the credential is refused") {
  auto body = attacker.body();
  body.set_node_address("jlr.com/vin/1");
  CHECK(refused(attacker.key, body.SerializeAsString()) == "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "the node's own address is not taken over") {
  attacker.address = "jlr.com/cloud";
  attacker.credential = changed([](auto& x) { x.sources = {"jlr.com/cloud"}; });
  hostile_peer peer{port};
  peer.authorize(attacker);
  peer.announce(true, {});
  CHECK(peer.end().reason == "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "an Authorize with a flipped signature bit is refused") {
  hostile_peer peer{port};
  REQUIRE(peer.handshake(attacker.key));
  auto body = attacker.body().SerializeAsString();
  auto signature = peer.sign(body, attacker.key);
  signature[40] = static_cast<char>(signature[40] ^ 1);
  peer.send_authorize(body, signature);
  CHECK(peer.end().reason == "signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "an Authorize recorded in another session is refused") {
  std::string body = attacker.body().SerializeAsString();
  std::string signature;
  {
    hostile_peer first{port};
    REQUIRE(first.handshake(attacker.key));
    signature = first.sign(body, attacker.key);
    first.send_authorize(body, signature);
    REQUIRE(first.read_until(::rvi::wire::Frame::kAuthorize));
  }
  hostile_peer second{port};
  REQUIRE(second.handshake(attacker.key));
  second.send_authorize(body, signature);
  CHECK(second.end().reason == "signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "an Authorize whose transaction id does not rise is a replay") {
  {
    hostile_peer first{port};
    attacker.authorize_id = 10;
    first.authorize(attacker);
  }
  attacker.authorize_id = 10; // the same id again
  CHECK(refused(attacker) == "replay");
  attacker.authorize_id = 3; // a lower one
  CHECK(refused(attacker) == "replay");
}

TEST_CASE_FIXTURE(fixture, "another protocol or version is refused") {
  auto body = attacker.body();
  SUBCASE("rvi/3") {
    body.set_protocol("rvi/3");
  }
  SUBCASE("nothing") {
    body.set_protocol("");
  }
  SUBCASE("version 1") {
    body.set_version(1);
  }
  CHECK(refused(attacker.key, body.SerializeAsString()) == "protocol_mismatch");
}

TEST_CASE_FIXTURE(fixture, "an Authorize that is none is refused") {
  auto body = attacker.body();
  SUBCASE("garbage") {
    CHECK(refused(attacker.key, "\xff\xff\xff\xff") == "malformed");
  }
  SUBCASE("empty") {
    CHECK(refused(attacker.key, "") == "protocol_mismatch");
  }
  SUBCASE("no credential") {
    body.clear_credentials();
    CHECK(refused(attacker.key, body.SerializeAsString()) == "malformed");
  }
  SUBCASE("five credentials") {
    for (int i = 0; i < 4; ++i)
      body.add_credentials(attacker.credential->text);
    CHECK(refused(attacker.key, body.SerializeAsString()) == "limit_exceeded");
  }
  SUBCASE("a bad address") {
    body.set_node_address("jlr.com/vin/+");
    CHECK(refused(attacker.key, body.SerializeAsString()) == "malformed");
  }
  SUBCASE("credentials that are no JWS") {
    body.set_credentials(0, "a.b.c");
    CHECK(refused(attacker.key, body.SerializeAsString()) == "credential_invalid");
  }
}

TEST_CASE_FIXTURE(fixture, "frames of a wrong length are refused") {
  hostile_peer peer{port};
  REQUIRE(peer.handshake(attacker.key));
  SUBCASE("longer than the limit") {
    peer.send(length_prefix((1 << 20) + 1) + "x");
  }
  SUBCASE("4 GiB") {
    peer.send(length_prefix(UINT32_MAX));
  }
  SUBCASE("zero") {
    peer.send(length_prefix(0));
  }
  SUBCASE("70 KB before the Authorize") {
    peer.send(length_prefix(100'000) + std::string(70'000, 'x'));
  }
  auto end = peer.end();
  CHECK(end.closed);
  CHECK(end.reason == "limit_exceeded");
}

TEST_CASE_FIXTURE(fixture, "a frame cut off by the end of the connection harms nobody") {
  hostile_peer peer{port};
  REQUIRE(peer.handshake(attacker.key));
  auto body = attacker.body().SerializeAsString();
  ::rvi::wire::Frame frame;
  frame.mutable_authorize()->set_body(body);
  frame.mutable_authorize()->set_signature(peer.sign(body, attacker.key));
  std::string bytes;
  ::rvi::wire::append_frame(bytes, frame);
  peer.send(std::string_view{bytes}.substr(0, bytes.size() / 2));
  peer.close();
}

TEST_CASE_FIXTURE(fixture, "a frame of unknown or double content is malformed") {
  hostile_peer peer{port};
  REQUIRE(peer.handshake(attacker.key));
  SUBCASE("field 2000") {
    peer.send(length_prefix(3) + std::string("\x82\x7d\x00", 3));
  }
  SUBCASE("two contents") {
    peer.send(length_prefix(4) + std::string("\x0a\x00\x12\x00", 4));
  }
  SUBCASE("a varint") {
    peer.send(length_prefix(2) + std::string("\x08\x01", 2));
  }
  SUBCASE("garbage") {
    peer.send(length_prefix(8) + std::string(8, '\xff'));
  }
  CHECK(peer.end().reason == "malformed");
}

TEST_CASE_FIXTURE(impatient_fixture, "two hundred connections that say nothing keep nobody out") {
  std::vector<std::unique_ptr<hostile_peer>> crowd;
  for (int i = 0; i < 200; ++i)
    crowd.push_back(std::make_unique<hostile_peer>(port));
  for (auto& x : crowd)
    CHECK(x->read_raw_until_end().find("still open") == std::string::npos);
}

TEST_SUITE_END();
