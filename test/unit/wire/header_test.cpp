// SPDX-License-Identifier: MPL-2.0

#include "messages/wire/header.hpp"
#include "rvi.pb.h"
#include "test/support/envelopes.hpp"

#include <doctest/doctest.h>

#include <functional>

using namespace rvi;

namespace {

request_header example() {
  auto x = test::header_of({}, 9);
  x.id.origin.fill(0xab);
  x.arguments_sha256 = std::string(32, 'a');
  x.arguments_length = 2;
  return x;
}

bool refused(const std::string& bytes) {
  auto x = wire::decode_header(bytes);
  return !x && code_of(x.error()) == ec::malformed;
}

/// The example's bytes after a change through protobuf.
std::string changed(const std::function<void(wire::RequestHeader&)>& change) {
  wire::RequestHeader x;
  REQUIRE(x.ParseFromString(wire::encode_header(example())));
  change(x);
  return x.SerializeAsString();
}

} // namespace

TEST_SUITE_BEGIN("header");

TEST_CASE("a header has these bytes for ever") {
  CHECK(crypto::hex(wire::encode_header(example()))
        == "0801121cabababababababababababababababab0000000700000000000000091a266a6c722e636f6d2f"
           "76696e2f313233342f73657276696365732f6d656469615f706c61796572222b7270633a6a6c722e636f"
           "6d2f636c6f75642f6d656469615f7365727665722f73747265616d5f617564696f2880bcd9f29e3430e0"
           "90ddf29e343a206363636363636363636363636363636363636363636363636363636363636363422061"
           "6161616161616161616161616161616161616161616161616161616161616148025804880101");
}

TEST_CASE("a header survives its encoding") {
  auto x = wire::decode_header(wire::encode_header(example()));
  REQUIRE(x);
  CHECK(x->id == example().id);
  CHECK(x->source == example().source);
  CHECK(x->target == example().target);
  CHECK(x->expires_ms == example().expires_ms);
  CHECK(x->priority == 4);
}

TEST_CASE("a data class is the field 14 of a header, at most 128 bytes") {
  auto x = example();
  x.data_class = "wifi_only";
  auto bytes = wire::encode_header(x);
  CHECK(crypto::hex(bytes).find("7209776966695f6f6e6c79880101") != std::string::npos);
  auto decoded = wire::decode_header(bytes);
  REQUIRE(decoded);
  CHECK(decoded->data_class == "wifi_only");
  x.data_class = std::string(129, 'c');
  CHECK(refused(wire::encode_header(x)));
}

TEST_CASE("every other encoding of a header is refused") {
  auto bytes = wire::encode_header(example());
  SUBCASE("a field twice") {
    CHECK(refused(bytes.substr(0, 2) + bytes));
  }
  SUBCASE("fields out of order") {
    CHECK(refused(bytes.substr(2) + bytes.substr(0, 2)));
  }
  SUBCASE("an explicit default") {
    CHECK(refused(bytes + std::string("\x90\x01\x00", 3)));
  }
  SUBCASE("a long varint") {
    CHECK(refused(std::string("\x08\x81\x00", 3) + bytes.substr(2)));
  }
  SUBCASE("an unknown field") {
    CHECK(refused(bytes + std::string("\xb0\x01\x01", 3)));
  }
  SUBCASE("a known field in another wire type") {
    CHECK(refused(bytes + std::string("\xa8\x01\x06", 3)));        // target_uid as a varint
    CHECK(refused(bytes + std::string("\xad\x01\1\1\1\1", 6)));    // and as a fixed32
    CHECK(refused(std::string("\x0a\x01x", 3) + bytes.substr(2))); // kind as bytes
  }
  SUBCASE("the same within on_behalf_of") {
    auto user = std::string("\x0a\x10") + std::string(16, 'u');
    auto with = [](const std::string& content) {
      return changed([&](auto& x) { REQUIRE(x.mutable_on_behalf_of()->ParseFromString(content)); });
    };
    CHECK_FALSE(refused(with(user)));
    CHECK(refused(with(user + "\x20\x01"))); // method as a varint
  }
  SUBCASE("cut anywhere") {
    for (size_t i = 0; i < bytes.size(); ++i)
      CHECK(refused(bytes.substr(0, i)));
  }
  SUBCASE("nothing") {
    CHECK(refused(""));
  }
}

TEST_CASE("a header that breaks a rule of the schema is refused") {
  using h = wire::RequestHeader;
  CHECK_FALSE(refused(changed([](h&) {})));
  CHECK(refused(changed([](h& x) { x.set_version(2); })));
  CHECK(refused(changed([](h& x) { x.set_flags(1); }))); // of an rpc, which always has an outcome
  CHECK(refused(changed([](h& x) { x.set_flags(2); })));
  CHECK(refused(changed([](h& x) { x.set_priority(8); })));
  CHECK(refused(changed([](h& x) { x.set_kind(wire::METRIC); })));
  CHECK(refused(changed([](h& x) { x.set_kind(static_cast<wire::Kind>(99)); })));
  CHECK(refused(changed([](h& x) { x.set_kind(wire::MESSAGE); })));
  CHECK(refused(changed([](h& x) { x.set_transaction_id("short"); })));
  CHECK(refused(changed([](h& x) { x.set_credential_hash(std::string(31, 'c')); })));
  CHECK(refused(changed([](h& x) { x.set_request_hash(std::string(32, 'c')); })));
  CHECK(refused(changed([](h& x) { x.set_expires_ms(x.created_ms()); })));
  CHECK(refused(changed([](h& x) { x.set_target("rpc:JLR.com/cloud/media_server"); })));
  CHECK(refused(changed([](h& x) { x.set_target("rpc:jlr.com/+/media_server"); })));
  CHECK(refused(changed([](h& x) { x.set_source("jlr.com//x"); })));
  CHECK(refused(changed([](h& x) { x.set_source("rpc:jlr.com/cloud/x"); })));
  CHECK(refused(changed([](h& x) { x.mutable_on_behalf_of()->set_role("owner"); })));
  CHECK(refused(changed([](h& x) { x.mutable_on_behalf_of()->set_user("short"); })));
  CHECK(refused(changed([](h& x) { x.set_target_uid("short"); })));
  CHECK(refused(changed([](h& x) { x.set_channel(std::string(129, 'c')); })));
  CHECK(refused(changed([](h& x) { x.set_data_class(std::string(129, 'c')); })));
  CHECK(refused(changed([](h& x) { x.set_content_type(std::string(9'000, 'c')); })));
}

TEST_CASE("durability, class of data and the wish for a report are kept") {
  auto x = test::header_of({}, 1);
  x.kind = request_kind::message;
  x.target = "message:jlr.com/cloud/media_server";
  x.arguments_sha256 = std::string(32, 'a');
  x.durability = durability::none;
  x.data_class = "bulk";
  x.report = true;
  auto y = wire::decode_header(wire::encode_header(x));
  REQUIRE(y);
  CHECK(y->in_memory());
  CHECK(y->data_class == "bulk");
  CHECK(y->report);
  CHECK(y->owes_outcome());
}

TEST_CASE("a reply names the asker, without a type") {
  auto x = example();
  x.kind = request_kind::reply;
  x.source = "jlr.com/cloud/media_server/stream_audio";
  x.target = "jlr.com/vin/1234/services/media_player";
  x.request_hash = std::string(32, 'r');
  CHECK(wire::decode_header(wire::encode_header(x)));
  x.target = "rpc:" + x.target;
  CHECK(refused(wire::encode_header(x)));
}

TEST_CASE("the owner meant and the user's role are read") {
  auto x = wire::decode_header(changed([](wire::RequestHeader& h) {
    h.set_target_uid(std::string(16, 't'));
    h.mutable_on_behalf_of()->set_user(std::string(16, 'u'));
    h.mutable_on_behalf_of()->set_role("owner");
    h.mutable_on_behalf_of()->set_authenticated_ms(7);
    h.mutable_on_behalf_of()->set_method("pin");
  }));
  REQUIRE(x);
  CHECK(x->target_uid == std::string(16, 't'));
  REQUIRE(x->user);
  CHECK(*x->user == on_behalf_of{std::string(16, 'u'), "owner", 7, "pin"});
  CHECK(x->role() == "owner");
  // and written: the same bytes again
  auto again = wire::decode_header(wire::encode_header(*x));
  REQUIRE(again);
  REQUIRE(again->user);
  CHECK(*again->user == *x->user);
}

TEST_CASE("an announced service survives its encoding and nothing else passes") {
  node_uid owner;
  owner.fill(1);
  auto bytes = wire::encode_announced({"jlr.com/cloud/media_server", 5, true}, owner);
  auto x = wire::decode_announced(bytes);
  REQUIRE(x);
  CHECK(x->service.name == "jlr.com/cloud/media_server");
  CHECK(x->service.sequence == 5);
  CHECK(x->service.available);
  CHECK(x->owner == owner);
  CHECK_FALSE(wire::decode_announced(bytes + bytes));
  CHECK_FALSE(wire::decode_announced(bytes.substr(1)));
  auto gone = wire::encode_announced({"jlr.com/cloud/media_server", 5, false}, owner);
  CHECK(wire::decode_announced(gone));
  CHECK_FALSE(wire::decode_announced(gone + "\x25\1\1\1\1")); // available, as a fixed32
  CHECK_FALSE(wire::decode_announced(wire::encode_announced({"not a name", 5, true}, owner)));
}

TEST_SUITE_END();
