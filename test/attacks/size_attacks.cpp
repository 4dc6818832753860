// SPDX-License-Identifier: MPL-2.0
//
// Too much of everything. Each limit is met before the work that it bounds.

#include "messages/wire/header.hpp"
#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;
using rvi::wire::Frame;

namespace {

std::string length_prefix(uint32_t size) {
  std::string result;
  for (int shift = 24; shift >= 0; shift -= 8)
    result.push_back(static_cast<char>(size >> shift));
  return result;
}

struct door_fixture : attack {
  door_fixture() {
    signatures_max = 0;
    REQUIRE(peer.handshake(attacker.key));
  }

  hostile_peer peer{at.cloud_port};
};

struct fixture : session_attack {
  void ends_for(const Frame& x, const std::string& code) {
    peer.send(x);
    ends(code);
  }
};

/// Opens a request whose arguments are to follow in fragments.
struct fragment_fixture : session_attack {
  static constexpr uint64_t size = 300 * 1'024;

  void opens(const std::string& arguments_hash) {
    header.arguments_length = size;
    header.arguments_sha256 = arguments_hash;
    ++signatures_max;
    peer.send(signed_frame(attacker, ::rvi::wire::encode_header(header), ""));
    REQUIRE(peer.read_until(Frame::kFragmentState));
  }

  void sends_piece(uint64_t offset, const std::string& content) {
    Frame x;
    x.mutable_fragment()->set_transaction_id(to_bytes(header.id));
    x.mutable_fragment()->set_offset(offset);
    x.mutable_fragment()->set_content(content);
    peer.send(x);
  }

  request_header header = attacker.header(echo_target);
};

} // namespace

TEST_SUITE_BEGIN("attacks: sizes" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(door_fixture, "a frame of 4 GiB at the door") {
  peer.send(length_prefix(UINT32_MAX));
  ends(peer, "limit_exceeded");
}

TEST_CASE_FIXTURE(door_fixture, "a frame of no bytes") {
  peer.send(length_prefix(0));
  ends(peer, "limit_exceeded");
}

TEST_CASE_FIXTURE(door_fixture, "more bytes before the Authorize than one may need") {
  peer.send(length_prefix(100'000) + std::string(70'000, 'x'));
  ends(peer, "limit_exceeded");
}

TEST_CASE_FIXTURE(door_fixture, "more serials in an Authorize than there are organizations") {
  auto body = attacker.body();
  for (int i = 0; i < 65; ++i)
    body.add_revocation_serials()->set_issuer("jlr.com");
  auto text = body.SerializeAsString();
  peer.send_authorize(text, peer.sign(text, attacker.key));
  ends(peer, "limit_exceeded");
}

TEST_CASE_FIXTURE(attack, "a credential of 20 KB") {
  signatures_max = 0;
  auto claims = replaced(this->claims(), R"("sources":[)",
                         R"("note":")" + std::string(20'000, 'x') + R"(","sources":[)");
  refuses_credential(signed_by_root(good_header(), claims), "credential_invalid");
}

TEST_CASE_FIXTURE(attack, "a credential with more patterns than there may be") {
  signatures_max = 0;
  std::string many;
  for (int i = 0; i < 257; ++i)
    many += "\"jlr.com/v/" + std::to_string(i) + "\",";
  auto claims = replaced(this->claims(), R"("sources":[)", R"("sources":[)" + many);
  refuses_credential(signed_by_root(good_header(), claims), "credential_invalid");
}

TEST_CASE_FIXTURE(attack, "claims nested deeper than any reader needs") {
  signatures_max = 0;
  auto claims
    = replaced(this->claims(), "{\"ver\"",
               R"({"x":)" + std::string(2'000, '[') + std::string(2'000, ']') + R"(,"ver")");
  refuses_credential(signed_by_root(good_header(), claims), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "a frame over the limit in a session") {
  peer.send(length_prefix((1 << 20) + 1) + "x");
  ends("limit_exceeded");
}

TEST_CASE_FIXTURE(fixture, "more announcements in one frame than there may be") {
  Frame x;
  for (int i = 0; i < 1'025; ++i)
    *x.mutable_announce()->add_entries() = ::rvi::wire::AnnounceEntry{};
  ends_for(x, "limit_exceeded");
}

TEST_CASE_FIXTURE(fixture, "more items in one batch than there may be") {
  auto frame = frame_of(attacker.requests({echo_target}, {"\"attack\""}));
  for (int i = 0; i < 1'024; ++i)
    frame.mutable_batch()->add_items();
  ends_for(frame, "limit_exceeded");
}

TEST_CASE_FIXTURE(fixture, "more hashes in one batch than any tree has") {
  auto frame = frame_of(attacker.requests({echo_target}, {"\"attack\""}));
  for (int i = 0; i < 10'241; ++i)
    frame.mutable_batch()->add_missing_nodes("");
  ends_for(frame, "limit_exceeded");
}

TEST_CASE_FIXTURE(fixture, "more questions for credentials than one may ask at once") {
  Frame x;
  for (int i = 0; i < 5; ++i)
    x.mutable_need_credential()->add_hashes(std::string(32, static_cast<char>(i)));
  ends_for(x, "limit_exceeded");
}

TEST_CASE_FIXTURE(fixture, "custody for more requests than numbers go") {
  Frame x;
  auto& ids = *x.mutable_custody()->add_accepted();
  ids.set_origin(std::string(20, 'o'));
  ids.set_first(1);
  ids.set_count(UINT64_MAX);
  ends_for(x, "malformed");
}

TEST_CASE_FIXTURE(fixture, "more subscriptions to metrics than there may be") {
  Frame x;
  for (int i = 0; i < 1'025; ++i)
    x.mutable_metric_subscriptions()->add_added()->set_pattern("metric:jlr.com/cloud/"
                                                               + std::to_string(i));
  ends_for(x, "limit_exceeded");
}

TEST_CASE_FIXTURE(fixture, "a metric over the limit") {
  Frame credit; // metrics come from peers that give it
  credit.mutable_credit()->set_envelopes(1);
  peer.send(credit);
  Frame x;
  auto& value = *x.mutable_metric_values()->add_values();
  value.set_topic("metric:" + attacker.address + "/services/speed");
  value.set_source(attacker.address + "/services/attacker");
  value.set_epoch(1);
  value.set_seq(1);
  value.set_value("\"" + std::string(70'000, 'x') + "\"");
  ends_for(x, "too_large");
}

TEST_CASE_FIXTURE(fixture, "a header over 8 KiB") {
  auto header = attacker.header(echo_target);
  header.arguments_length = 1;
  header.arguments_sha256 = crypto::view(crypto::sha256("1"));
  auto bytes = ::rvi::wire::encode_header(header);
  // A content type too long is the one member that says nothing else.
  ::rvi::wire::RequestHeader text;
  REQUIRE(text.ParseFromString(bytes));
  text.set_content_type(std::string(9'000, 'x'));
  ++signatures_max;
  ends_for(signed_frame(attacker, text.SerializeAsString(), "1"), "malformed");
}

TEST_CASE_FIXTURE(fixture, "a target of more bytes than a name may have") {
  auto header = attacker.header(std::string{echo_target} + "/" + std::string(2'048, 'x'));
  header.arguments_length = 1;
  header.arguments_sha256 = crypto::view(crypto::sha256("1"));
  ++signatures_max;
  ends_for(signed_frame(attacker, ::rvi::wire::encode_header(header), "1"), "malformed");
}

TEST_CASE_FIXTURE(fixture, "arguments larger than this node takes") {
  auto header = attacker.header(echo_target);
  header.arguments_length = uint64_t{1} << 40;
  header.arguments_sha256 = std::string(32, 'h');
  ++signatures_max;
  peer.send(signed_frame(attacker, ::rvi::wire::encode_header(header), ""));
  refuses_item(peer, header.id, "too_large");
}

TEST_CASE_FIXTURE(fixture, "more requests than were granted") {
  // Under a credential nobody knows, so that no custody gives the credit back meanwhile.
  peer_card unknown{at.world.provisioning, attacker.address, {"jlr.com/cloud/media_server"}};
  for (int frame = 0; frame < 5; ++frame) {
    std::vector<std::string> targets(1'024, echo_target);
    peer.send(unknown.requests(targets, std::vector<std::string>(1'024, "\"attack\"")));
  }
  ends("limit_exceeded");
}

TEST_CASE_FIXTURE(fixture, "batches under ever new credentials that are never shown") {
  for (int frame = 0; frame < 20; ++frame) {
    peer_card unknown{at.world.provisioning, attacker.address, {"jlr.com/cloud/media_server"}};
    peer.send(unknown.requests({echo_target}, {"\"attack\""}));
  }
  // They wait, as a relay's might, for no more than the credit, and hold up nothing else.
  auto good = attacker.requests({echo_target}, {"\"honest\""});
  ++signatures_max;
  peer.send(good);
  CHECK(peer.custody_of(good.front()->header.id) == "accepted");
  CHECK(wait_for({&at.media_server}, [&] { return at.media_server.invoked.size() == 1; }));
}

TEST_CASE_FIXTURE(fixture, "more useless revocation lists than an honest peer has") {
  at.revoke({});
  ++signatures_max; // of the list above; the old ones are not looked at
  Frame x;
  x.mutable_revocations()->add_lists(at.lists.front()->text);
  for (int i = 0; i < 1'025; ++i)
    peer.send(x);
  auto end = peer.end();
  CHECK(end.reason == "limit_exceeded");
  check_refusal_recorded(at.cloud, "limit_exceeded", attacker.address);
}

TEST_CASE_FIXTURE(fragment_fixture, "a fragment beyond the end") {
  opens(std::string(32, 'h'));
  sends_piece(0, std::string(size + 1, 'x'));
  ends("malformed");
}

TEST_CASE_FIXTURE(fragment_fixture, "fragments of a byte each") {
  opens(std::string(32, 'h'));
  sends_piece(0, "x");
  ends("malformed");
}

TEST_CASE_FIXTURE(fragment_fixture, "fragments that give other arguments than were signed") {
  opens(std::string(32, 'h'));
  sends_piece(0, std::string(256 * 1'024, 'x'));
  sends_piece(256 * 1'024, std::string(size - 256 * 1'024, 'x'));
  refuses_item(peer, header.id, "malformed");
}

TEST_CASE_FIXTURE(fragment_fixture, "fragments of a request that nobody has opened") {
  sends_piece(0, std::string(64 * 1'024, 'x'));
  auto good = attacker.requests({echo_target}, {"\"honest\""});
  sends(good);
  CHECK(peer.custody_of(good.front()->header.id) == "accepted");
}

TEST_SUITE_END();
