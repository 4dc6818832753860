// SPDX-License-Identifier: MPL-2.0
//
// Attacks on a real cloud node by a peer it has admitted: announcements outside its rights, batches
// that were changed, repeated or never asked for, and more of everything than was granted.

#include "messages/wire/header.hpp"
#include "test/integration/node_hostile_peer.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace rvi;
using namespace rvi::test;

namespace {

using fixture = hostile_fixture;

request_header filled(request_header x, const std::string& arguments) {
  x.arguments_length = arguments.size();
  x.arguments_sha256 = crypto::view(crypto::sha256(arguments));
  return x;
}

} // namespace

TEST_SUITE_BEGIN("hostile peers with a session" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a good request passes, so that the refusals below mean something") {
  hostile_peer peer{port};
  peer.come_up(attacker);
  auto good = attacker.requests({echo_target, echo_target}, {"\"a\"", "\"b\""});
  peer.send(good);
  CHECK(peer.custody_of(good[1]->header.id) == "accepted");
  CHECK(invokes("\"b\""));
  auto header = filled(attacker.header(echo_target), "\"raw\"");
  peer.send(signed_frame(attacker, ::rvi::wire::encode_header(header), "\"raw\""));
  CHECK(peer.custody_of(header.id) == "accepted");
  CHECK(invokes("\"raw\""));
}

TEST_CASE_FIXTURE(fixture, "the reply to an admitted peer answers its request and is its own") {
  hostile_peer peer{port};
  peer.come_up(attacker);
  peer.announce(false, {attacker.entry("jlr.com/vin/666/services/attacker")});
  ::rvi::wire::Frame credit;
  credit.mutable_credit()->set_envelopes(10);
  credit.mutable_credit()->set_bytes(100'000);
  peer.send(credit);
  auto request = attacker.requests({echo_target}, {"\"mine\""});
  peer.send(request);
  CHECK(invokes("\"mine\""));
  auto answer = peer.read_until(::rvi::wire::Frame::kBatch);
  REQUIRE(answer);
  REQUIRE(answer->batch().items_size() == 1);
  auto header = ::rvi::wire::decode_header(answer->batch().items(0).header());
  REQUIRE(header);
  CHECK(header->kind == request_kind::reply);
  CHECK(header->id == request.front()->header.id);
  CHECK(header->source == "jlr.com/cloud/media_server/echo");
  CHECK(answer->batch().items(0).arguments() == "\"mine\"");
}

TEST_CASE_FIXTURE(fixture, "an announcement outside the rights ends the session and is not seen") {
  std::string name;
  SUBCASE("of another vehicle") {
    name = "jlr.com/vin/1/services/lock";
  }
  SUBCASE("of the node itself") {
    name = "jlr.com/cloud/media_server";
  }
  SUBCASE("of another organization") {
    name = "evil.org/vin/666/services/lock";
  }
  SUBCASE("of everything above it") {
    name = "jlr.com/vin/666x/services/lock";
  }
  hostile_peer peer{port};
  peer.come_up(attacker);
  peer.announce(false, {attacker.entry("jlr.com/vin/666/services/good"), attacker.entry(name)});
  CHECK(peer.end().reason == "unauthorized");
  auto seen = media_server.call("get_available_services", "{}").result;
  CHECK_MESSAGE(seen.find("666") == std::string::npos, seen);
  CHECK_MESSAGE(seen.find("lock") == std::string::npos, seen);
  CHECK_MESSAGE(seen.find("jlr.com/cloud/media_server") != std::string::npos, seen);
}

TEST_CASE_FIXTURE(fixture, "an announcement not signed by its owner ends the session") {
  hostile_peer peer{port};
  peer.come_up(attacker);
  auto entry = attacker.entry("jlr.com/vin/666/services/lock");
  std::string reason = "signature_invalid";
  SUBCASE("a flipped bit") {
    auto signature = entry.signature();
    signature[3] = static_cast<char>(signature[3] ^ 1);
    entry.set_signature(signature);
  }
  SUBCASE("another name under the same signature") {
    entry.set_service(attacker.entry("jlr.com/vin/666/services/door").service());
  }
  SUBCASE("another owner") {
    peer_card other{world.provisioning, "jlr.com/vin/666", {}};
    entry = other.entry("jlr.com/vin/666/services/lock");
    reason = "unauthorized";
  }
  SUBCASE("a name that is not canonical") {
    entry.set_service(entry.service() + std::string("\x28\x01", 2));
    reason = "malformed";
  }
  peer.announce(false, {entry});
  CHECK(peer.end().reason == reason);
  auto seen = media_server.call("get_available_services", "{}").result;
  CHECK_MESSAGE(seen.find("666") == std::string::npos, seen);
}

TEST_CASE_FIXTURE(fixture, "what an attacker announced is gone with its session") {
  {
    hostile_peer peer{port};
    peer.come_up(attacker);
    peer.announce(false, {attacker.entry("jlr.com/vin/666/services/good")});
    auto seen = [&] {
      return media_server.call("get_available_services", "{}").result.find("666/services/good")
             != std::string::npos;
    };
    CHECK(wait_for({&media_server}, seen));
  }
  auto gone = [&] {
    return media_server.call("get_available_services", "{}").result.find("666")
           == std::string::npos;
  };
  CHECK(wait_for({&media_server}, gone));
}

TEST_CASE_FIXTURE(fixture, "a changed batch ends the session and runs nothing") {
  auto frame = frame_of(attacker.requests({echo_target, echo_target}, {"\"one\"", "\"two\""}));
  auto& batch = *frame.mutable_batch();
  std::string reason = "malformed";
  SUBCASE("a flipped signature bit") {
    auto signature = batch.signature();
    signature[7] = static_cast<char>(signature[7] ^ 4);
    batch.set_signature(signature);
    reason = "signature_invalid";
  }
  SUBCASE("a changed time of signing") {
    batch.set_signed_at_ms(batch.signed_at_ms() + 1);
    reason = "signature_invalid";
  }
  SUBCASE("a changed salt") {
    batch.mutable_items(0)->set_salt(std::string(16, 's'));
    reason = "signature_invalid";
  }
  SUBCASE("changed arguments of the same length") {
    batch.mutable_items(1)->set_arguments("\"TWO\"");
  }
  SUBCASE("longer arguments") {
    batch.mutable_items(1)->set_arguments("\"two\" ");
  }
  SUBCASE("a batch without items") {
    batch.clear_items();
  }
  SUBCASE("leaves that do not ascend") {
    batch.mutable_items()->SwapElements(0, 1);
  }
  SUBCASE("a leaf that is not there") {
    batch.mutable_items()->RemoveLast();
  }
  SUBCASE("a leaf out of range") {
    batch.mutable_items(1)->set_leaf_index(2);
  }
  SUBCASE("a size over the limit") {
    batch.set_size(1'025);
  }
  SUBCASE("a short batch id") {
    batch.set_batch_id("short");
  }
  SUBCASE("an unknown algorithm") {
    batch.set_algorithm(static_cast<::rvi::wire::SignatureAlgorithm>(9));
  }
  hostile_peer peer{port};
  peer.come_up(attacker);
  peer.send(frame);
  auto end = peer.end();
  CHECK(end.closed);
  CHECK_MESSAGE(end.reason == reason, end.detail);
  CHECK(media_server.invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "a header that is signed but not canonical is malformed") {
  auto header = ::rvi::wire::encode_header(filled(attacker.header(echo_target), "1"));
  REQUIRE(header.ends_with(std::string{"\x88\x01\x01"})); // version: 1
  SUBCASE("a varint longer than need be") {
    header.replace(header.size() - 1, 1, std::string("\x81\x00", 2));
  }
  SUBCASE("an explicit default") {
    header += std::string("\x90\x01\x00", 3);
  }
  SUBCASE("an unknown field") {
    header += std::string("\xb0\x01\x01", 3);
  }
  SUBCASE("a field twice") {
    header += std::string("\x88\x01\x01", 3);
  }
  SUBCASE("an unknown version") {
    header.back() = '\2';
  }
  SUBCASE("garbage") {
    header = "garbage";
  }
  SUBCASE("nothing") {
    header.clear();
  }
  hostile_peer peer{port};
  peer.come_up(attacker);
  peer.send(signed_frame(attacker, header, "1"));
  CHECK(peer.end().reason == "malformed");
  CHECK(media_server.invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "requests that are signed well but not allowed are refused one by one") {
  auto header = attacker.header(echo_target);
  std::string reason = "unauthorized";
  SUBCASE("a target outside the destinations") {
    header.target = "rpc:jlr.com/cloud/billing/charge";
  }
  SUBCASE("a target on another node") {
    header.target = "rpc:jlr.com/vin/1/services/lock/open";
  }
  SUBCASE("a reserved level") {
    header.target = "rpc:jlr.com/cloud/media_server/admin/stop";
  }
  SUBCASE("somebody else's name") {
    header.source = "jlr.com/vin/1/services/media_player";
  }
  SUBCASE("somebody else's id") {
    header.id.origin[0] ^= 1;
  }
  SUBCASE("an expired request") {
    header.created_ms = wall_ms() - 2'000;
    header.expires_ms = wall_ms() - 1'000;
    reason = "timeout";
  }
  SUBCASE("a request of the future") {
    header.created_ms = wall_ms() + 3'600'000;
    header.expires_ms = header.created_ms + 60'000;
  }
  SUBCASE("a request that lives for years") {
    header.expires_ms = header.created_ms + 3ULL * 365 * 86'400'000;
  }
  hostile_peer peer{port};
  peer.come_up(attacker);
  auto good = attacker.header(echo_target);
  // The good one is the first: its time of creation is the tree's time of signing.
  auto batch = attacker.sign({good, header}, {"\"good\"", "\"bad\""});
  peer.send(batch);
  CHECK(peer.custody_of(header.id) == reason);
  CHECK(invokes("\"good\""));
  CHECK(invoked("\"bad\"") == 0);
}

TEST_CASE_FIXTURE(fixture, "a replayed batch is taken again and runs once") {
  auto request = attacker.requests({echo_target}, {"\"once\""});
  auto id = request.front()->header.id;
  {
    hostile_peer peer{port};
    peer.come_up(attacker);
    peer.send(request);
    CHECK(peer.custody_of(id) == "accepted");
    peer.send(request);
    CHECK(peer.custody_of(id) == "accepted");
    peer.send(request);
    CHECK(peer.custody_of(id) == "accepted");
  }
  hostile_peer again{port};
  again.come_up(attacker);
  again.send(request);
  CHECK(again.custody_of(id) == "accepted");
  // The same header in another tree is the same request.
  auto anew = attacker.sign({request.front()->header}, {"\"once\""});
  again.send(anew);
  CHECK(again.custody_of(id) == "accepted");
  auto last = attacker.requests({echo_target}, {"\"last\""});
  again.send(last);
  CHECK(invokes("\"last\""));
  CHECK(invoked("\"once\"") == 1);
}

TEST_CASE_FIXTURE(fixture, "a replay after a restart of the node runs nothing again") {
  auto request = attacker.requests({echo_target}, {"\"once\""});
  auto id = request.front()->header.id;
  {
    hostile_peer peer{port};
    peer.come_up(attacker);
    peer.send(request);
    CHECK(peer.custody_of(id) == "accepted");
    CHECK(invokes("\"once\""));
  }
  cloud.kill();
  cloud.start();
  media_server.register_service("media_server");
  hostile_peer again{port};
  again.come_up(attacker);
  again.send(request);
  CHECK(again.custody_of(id) == "accepted");
  auto last = attacker.requests({echo_target}, {"\"last\""});
  again.send(last);
  CHECK(invokes("\"last\""));
  CHECK(invoked("\"once\"") == 1);
}

TEST_CASE_FIXTURE(fixture, "the same id with other content is a replay") {
  hostile_peer peer{port};
  peer.come_up(attacker);
  auto first = attacker.requests({echo_target}, {"\"first\""});
  peer.send(first);
  CHECK(peer.custody_of(first.front()->header.id) == "accepted");
  auto second = attacker.sign({first.front()->header}, {"\"second\""});
  peer.send(second);
  CHECK(peer.custody_of(second.front()->header.id) == "replay");
  CHECK(invokes("\"first\""));
  CHECK(invoked("\"second\"") == 0);
}

TEST_CASE_FIXTURE(fixture, "more envelopes than were granted end the session") {
  hostile_peer peer{port};
  peer.come_up(attacker);
  // Under a credential nobody knows, so that no custody gives the credit back meanwhile.
  peer_card unknown{world.provisioning, "jlr.com/vin/666", {"jlr.com/cloud/media_server"}};
  for (int frame = 0; frame < 5; ++frame) {
    std::vector<std::string> targets(1'024, echo_target);
    peer.send(unknown.requests(targets, std::vector<std::string>(1'024, "0")));
  }
  CHECK(peer.end().reason == "limit_exceeded");
  CHECK(media_server.invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "batches under credentials that are never sent hold up no other") {
  hostile_peer peer{port};
  peer.come_up(attacker);
  peer_card unknown{world.provisioning, "jlr.com/vin/666", {"jlr.com/cloud/media_server"}};
  for (int frame = 0; frame < 20; ++frame)
    peer.send(unknown.requests({echo_target}, {"0"}));
  auto good = attacker.requests({echo_target}, {"\"good\""});
  peer.send(good);
  CHECK(peer.custody_of(good.front()->header.id) == "accepted");
  CHECK(invokes("\"good\""));
  CHECK(media_server.invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "another node's requests are not carried") {
  hostile_peer peer{port};
  peer.come_up(attacker);
  peer_card other{world.provisioning, "jlr.com/vin/777", {"jlr.com/cloud/media_server"}};
  auto request = other.requests({echo_target}, {"\"carried\""});
  peer.send(request);
  REQUIRE(peer.read_until(::rvi::wire::Frame::kNeedCredential));
  ::rvi::wire::Frame chain;
  chain.mutable_credential_chain()->add_credentials(other.credential->text);
  peer.send(chain);
  CHECK(peer.custody_of(request.front()->header.id) == "unauthorized");
  CHECK(invoked("\"carried\"") == 0);
}

TEST_CASE_FIXTURE(fixture, "a credential nobody asked for ends the session") {
  hostile_peer peer{port};
  peer.come_up(attacker);
  ::rvi::wire::Frame chain;
  chain.mutable_credential_chain()->add_credentials(attacker.credential->text);
  peer.send(chain);
  CHECK(peer.end().reason == "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "a reply nobody asked for is refused") {
  hostile_peer peer{port};
  peer.come_up(attacker);
  auto header = attacker.header("jlr.com/cloud/media_server");
  header.kind = request_kind::reply;
  header.source = "jlr.com/vin/666/services/attacker";
  header.request_hash = std::string(32, 'h');
  auto reply = attacker.sign({header}, {"\"surprise\""});
  peer.send(reply);
  CHECK(peer.custody_of(reply.front()->header.id, true) == "unauthorized");
  CHECK(media_server.outcomes.empty());
}

TEST_CASE_FIXTURE(fixture, "an answer of the wrong node does not end a request") {
  auto& root = world.provisioning;
  cloud.write_credential("node.jwt",
                         root.issue(root.claims(cloud.key.public_part(), {"jlr.com/cloud"},
                                                {"jlr.com/vin"}, wall_ms() / 1'000)));
  cloud.kill();
  cloud.start();
  media_server.register_service("media_server");
  auto asked = media_server.invoke("media_server", "rpc:jlr.com/vin/1/services/lock/open", "{}",
                                   wall_ms() + 60'000);
  REQUIRE_MESSAGE(asked.code.empty(), asked.message);
  auto id = *parse_transaction_id(asked.transaction_id);
  hostile_peer peer{port};
  peer.come_up(attacker);
  auto header = attacker.header("jlr.com/cloud/media_server");
  header.kind = request_kind::reply;
  header.id = id;
  header.request_hash = std::string(32, 'h');
  SUBCASE("under its own name") {
    header.source = "jlr.com/vin/666/services/lock/open";
  }
  SUBCASE("under the asked one's name") {
    header.source = "jlr.com/vin/1/services/lock/open";
  }
  auto reply = attacker.sign({header}, {"\"forged\""});
  peer.send(reply);
  CHECK(peer.custody_of(id, true) == "unauthorized");
  auto outcome
    = media_server.call("get_outcome", R"({"transaction_id":")" + asked.transaction_id + "\"}");
  CHECK(outcome.result.find("pending") != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "frames this node does not take end the session") {
  ::rvi::wire::Frame frame;
  SUBCASE("a fragment") {
    frame.mutable_fragment()->set_content("x");
  }
  SUBCASE("a release") {
    frame.mutable_release()->set_batch_id(std::string(16, 'b'));
  }
  SUBCASE("revocations") {
    frame.mutable_revocations()->add_lists("x");
  }
  SUBCASE("custody out of bounds") {
    auto& ids = *frame.mutable_custody()->add_accepted();
    ids.set_origin(std::string(20, 'o'));
    ids.set_first(1);
    ids.set_count(UINT64_MAX);
  }
  hostile_peer peer{port};
  peer.come_up(attacker);
  peer.send(frame);
  CHECK(peer.end().reason == "malformed");
}

TEST_CASE_FIXTURE(fixture, "custody and credit for nothing harm nobody") {
  hostile_peer peer{port};
  peer.come_up(attacker);
  ::rvi::wire::Frame custody;
  auto& ids = *custody.mutable_custody()->add_accepted();
  ids.set_origin(std::string(20, 'o'));
  ids.set_first(1);
  ids.set_count(60'000);
  ::rvi::wire::Frame credit;
  credit.mutable_credit()->set_envelopes(UINT32_MAX);
  credit.mutable_credit()->set_bytes(UINT64_MAX);
  ::rvi::wire::Frame ping;
  ping.mutable_ping()->set_nonce(42);
  for (auto& frame : {custody, credit, credit, ping})
    peer.send(frame);
  auto pong = peer.read_until(::rvi::wire::Frame::kPing);
  while (pong && !pong->ping().answer()) // the node's own, which measures the new link
    pong = peer.read_until(::rvi::wire::Frame::kPing);
  REQUIRE(pong);
  CHECK(pong->ping().nonce() == 42);
}

TEST_CASE_FIXTURE(fixture, "arguments that are no JSON reach no service") {
  hostile_peer peer{port};
  peer.come_up(attacker);
  auto request = attacker.requests({echo_target}, {R"(1,"transaction_id":"x")"});
  peer.send(request);
  CHECK(peer.custody_of(request.front()->header.id) == "accepted");
  auto good = attacker.requests({echo_target}, {"\"good\""});
  peer.send(good);
  CHECK(invokes("\"good\""));
  CHECK(media_server.invoked.size() == 1);
}

TEST_SUITE_END();
