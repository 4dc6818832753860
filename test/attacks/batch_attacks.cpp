// SPDX-License-Identifier: MPL-2.0
//
// Batches changed after they were signed, or built so that two readers see two things. The one
// signature covers all of it, and is looked at once.

#include "messages/wire/header.hpp"
#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;
using rvi::wire::Frame;

namespace {

struct fixture : session_attack {
  void ends_by(const std::string& code) {
    ++signatures_max;
    peer.send(frame);
    ends(code);
  }

  Frame frame
    = frame_of(attacker.requests({echo_target, echo_target}, {"\"attack1\"", "\"attack2\""}));
  ::rvi::wire::Batch& batch = *frame.mutable_batch();
};

struct header_fixture : session_attack {
  void ends_by_header() {
    ++signatures_max;
    peer.send(signed_frame(attacker, header, "\"attack\""));
    ends("malformed");
  }

  static request_header filled(request_header x) {
    x.arguments_length = std::string_view{"\"attack\""}.size();
    x.arguments_sha256 = crypto::view(crypto::sha256("\"attack\""));
    return x;
  }

  std::string header = ::rvi::wire::encode_header(filled(attacker.header(echo_target)));
};

} // namespace

TEST_SUITE_BEGIN("attacks: batches" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a signature with one bit changed") {
  auto signature = batch.signature();
  signature[7] = static_cast<char>(signature[7] ^ 4);
  batch.set_signature(signature);
  ends_by("signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "another time of signing under the old signature") {
  batch.set_signed_at_ms(batch.signed_at_ms() + 1);
  ends_by("signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "another batch id under the old signature") {
  batch.set_batch_id(std::string(16, 'b'));
  ends_by("signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "another salt under the old signature") {
  batch.mutable_items(0)->set_salt(std::string(16, 's'));
  ends_by("signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "another header under the old signature") {
  auto header = ::rvi::wire::decode_header(batch.items(1).header());
  REQUIRE(header);
  header->target = "rpc:jlr.com/cloud/media_server/other";
  batch.mutable_items(1)->set_header(::rvi::wire::encode_header(*header));
  ends_by("signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "other arguments of the same length") {
  batch.mutable_items(1)->set_arguments("\"attack3\"");
  ends_by("malformed");
}

TEST_CASE_FIXTURE(fixture, "arguments with more behind them") {
  batch.mutable_items(1)->set_arguments("\"attack2\" ");
  ends_by("malformed");
}

TEST_CASE_FIXTURE(fixture, "items moved to each other's place") {
  batch.mutable_items()->SwapElements(0, 1);
  ends_by("malformed");
}

TEST_CASE_FIXTURE(fixture, "an item twice in one tree") {
  *batch.add_items() = batch.items(1);
  ends_by("malformed");
}

TEST_CASE_FIXTURE(fixture, "an item taken out without its hash") {
  batch.mutable_items()->RemoveLast();
  ends_by("malformed");
}

TEST_CASE_FIXTURE(fixture, "a hash too many, for a tree of another shape") {
  batch.add_missing_nodes(std::string(32, 'm'));
  ends_by("malformed");
}

TEST_CASE_FIXTURE(fixture, "a tree of more leaves than there may be") {
  batch.set_size(1'025);
  ends_by("malformed");
}

TEST_CASE_FIXTURE(fixture, "a tree of no leaves") {
  batch.set_size(0);
  ends_by("malformed");
}

TEST_CASE_FIXTURE(fixture, "no items at all") {
  batch.clear_items();
  ends_by("malformed");
}

TEST_CASE_FIXTURE(fixture, "the other algorithm over the same signature") {
  // The key's algorithm counts, so what the batch says must agree with it.
  batch.set_algorithm(::rvi::wire::ES256);
  ends_by("signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "an algorithm that does not exist") {
  batch.set_algorithm(static_cast<::rvi::wire::SignatureAlgorithm>(9));
  ends_by("malformed");
}

TEST_CASE_FIXTURE(fixture, "no algorithm") {
  batch.set_algorithm(::rvi::wire::SIGNATURE_UNSPECIFIED);
  ends_by("malformed");
}

TEST_CASE_FIXTURE(fixture, "a batch under the credential of somebody whom the node knows") {
  batch.set_credential_hash(at.vehicle.credential->hash);
  ends_by("malformed"); // its headers name another one
}

TEST_CASE_FIXTURE(session_attack, "a batch that names a stolen credential throughout") {
  auto header = attacker.header(echo_target);
  header.source = "jlr.com/vin/1234/services/media_player";
  header.id.origin = at.vehicle.key.public_part().uid();
  header.credential_hash = at.vehicle.credential->hash;
  auto batch = attacker.sign({header}, {"\"attack\""});
  peer.send(batch);
  // Without the claim to relay it is not even asked who has signed.
  refuses_item(peer, header.id, "unauthorized");
}

TEST_CASE_FIXTURE(attack, "a relay signs in the name of whom it carries for") {
  take_credential([](auto& x) { x.relay = {"jlr.com/cloud", "jlr.com/vin"}; });
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  auto header = attacker.header(echo_target);
  header.source = "jlr.com/vin/1234/services/media_player";
  header.id.origin = at.vehicle.key.public_part().uid();
  header.credential_hash = at.vehicle.credential->hash;
  auto frame = frame_of(attacker.sign({header}, {"\"attack\""}));
  auto uid = attacker.key.public_part().uid();
  frame.mutable_batch()->mutable_items(0)->set_hops(1);
  frame.mutable_batch()->mutable_items(0)->add_route(uid.data(), uid.size());
  ++signatures_max;
  peer.send(frame);
  ends(peer, "signature_invalid");
}

TEST_CASE_FIXTURE(attack, "a relay that hides itself from the route") {
  take_credential([](auto& x) { x.relay = {"jlr.com/cloud", "jlr.com/vin"}; });
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  auto header = attacker.header(echo_target);
  header.source = "jlr.com/vin/1234/services/media_player";
  header.id.origin = at.vehicle.key.public_part().uid();
  header.credential_hash = at.vehicle.credential->hash;
  peer.send(attacker.sign({header}, {"\"attack\""}));
  refuses_item(peer, header.id, "unauthorized");
}

// -- headers that are signed well and not canonical
// ------------------------------------------------

TEST_CASE_FIXTURE(header_fixture, "a number longer than it need be") {
  REQUIRE(header.ends_with(std::string{"\x88\x01\x01"})); // version: 1
  header.replace(header.size() - 1, 1, std::string("\x81\x00", 2));
  ends_by_header();
}

TEST_CASE_FIXTURE(header_fixture, "a field twice") {
  header += std::string("\x88\x01\x01", 3);
  ends_by_header();
}

TEST_CASE_FIXTURE(header_fixture, "a field nobody knows") {
  header += std::string("\xb0\x01\x01", 3);
  ends_by_header();
}

TEST_CASE_FIXTURE(header_fixture, "a default said aloud") {
  header += std::string("\x90\x01\x00", 3);
  ends_by_header();
}

TEST_CASE_FIXTURE(header_fixture, "a header of another version") {
  header.back() = '\2';
  ends_by_header();
}

TEST_CASE_FIXTURE(header_fixture, "a target in another letter case") {
  auto x = filled(attacker.header("rpc:jlr.com/cloud/Media_Server/echo"));
  header = ::rvi::wire::encode_header(x);
  ends_by_header();
}

TEST_CASE_FIXTURE(header_fixture, "a target with a wildcard") {
  auto x = filled(attacker.header("rpc:jlr.com/cloud/media_server/+"));
  header = ::rvi::wire::encode_header(x);
  ends_by_header();
}

TEST_CASE_FIXTURE(header_fixture, "a target without a type") {
  auto x = filled(attacker.header("jlr.com/cloud/media_server/echo"));
  header = ::rvi::wire::encode_header(x);
  ends_by_header();
}

TEST_CASE_FIXTURE(header_fixture, "a target whose type is not the request's") {
  auto x = filled(attacker.header("message:jlr.com/cloud/media_server/echo"));
  header = ::rvi::wire::encode_header(x);
  ends_by_header();
}

TEST_CASE_FIXTURE(session_attack, "arguments that break out of the JSON around them") {
  auto request = attacker.requests({echo_target}, {R"(1,"transaction_id":"attack")"});
  sends(request);
  CHECK(peer.custody_of(request.front()->header.id) == "accepted");
  auto good = attacker.requests({echo_target}, {"\"honest\""});
  sends(good);
  CHECK(wait_for({&at.media_server}, [&] { return !at.media_server.invoked.empty(); }));
  CHECK(at.media_server.invoked.size() == 1);
}

TEST_SUITE_END();
