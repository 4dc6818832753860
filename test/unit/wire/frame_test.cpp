// SPDX-License-Identifier: MPL-2.0

#include "messages/wire/batch.hpp"
#include "messages/wire/frame.hpp"
#include "rvi.pb.h"
#include "test/support/envelopes.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace rvi;

namespace {

std::string ping_frame(uint64_t nonce) {
  wire::Frame frame;
  frame.mutable_ping()->set_nonce(nonce);
  std::string result;
  wire::append_frame(result, frame);
  return result;
}

ec code_for(const wire::Frame& frame) {
  return code_of(wire::check_frame(frame.SerializeAsString(), {}));
}

struct signed_requests {
  crypto::private_key key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  batch make(size_t n, size_t bytes = 20) {
    std::vector<request_header> headers;
    std::vector<std::string> arguments;
    for (size_t i = 0; i < n; ++i) {
      headers.push_back(test::header_of(key.public_part().uid(), i + 1));
      arguments.push_back("\"" + std::string(bytes, 'x') + std::to_string(i) + "\"");
    }
    return test::sign_batch(key, headers, arguments);
  }
};

/// All batches in a stream of frames.
std::vector<wire::decoded_batch> batches_in(const std::string& stream, size_t frame_max) {
  wire::frame_reader reader{frame_max};
  reader.append(stream);
  std::vector<wire::decoded_batch> result;
  for (;;) {
    auto bytes = reader.next();
    REQUIRE(bytes);
    if (!*bytes)
      return result;
    wire::Frame frame;
    REQUIRE_FALSE(wire::parse_frame(**bytes, {}, frame));
    auto x = wire::decode_batch(frame.batch().SerializeAsString(), 1 << 20);
    REQUIRE_MESSAGE(x, describe(x.error()));
    result.push_back(std::move(*x));
  }
}

} // namespace

TEST_SUITE_BEGIN("frame");

TEST_CASE("a ping frame has these bytes for ever") {
  CHECK(crypto::hex(ping_frame(5)) == "000000045a020805");
}

TEST_CASE("frames are cut the same however the bytes arrive") {
  auto stream = ping_frame(1) + ping_frame(300) + ping_frame(70'000);
  std::mt19937 rng{5};
  for (int run = 0; run < 200; ++run) {
    wire::frame_reader reader{1'024};
    std::vector<std::string> found;
    for (size_t i = 0; i < stream.size();) {
      auto n = std::min<size_t>(1 + rng() % 7, stream.size() - i);
      reader.append(std::string_view{stream}.substr(i, n));
      i += n;
      for (auto x = reader.next(); *x; x = reader.next())
        found.emplace_back(**x);
    }
    REQUIRE(found.size() == 3);
    REQUIRE(reader.pending() == 0);
  }
}

TEST_CASE("a frame over the limit or empty is refused before its bytes come") {
  wire::frame_reader reader{1'000};
  reader.append(std::string("\x00\x00\x03\xe9", 4));
  CHECK(code_of(reader.next().error()) == ec::limit_exceeded);
  wire::frame_reader empty{1'000};
  empty.append(std::string(4, '\0'));
  CHECK(code_of(empty.next().error()) == ec::limit_exceeded);
  wire::frame_reader exact{1'000};
  exact.append(std::string("\x00\x00\x03\xe8", 4));
  CHECK(exact.next());
}

TEST_CASE("lists over their limit are refused without parsing them") {
  wire::Frame frame;
  SUBCASE("credentials") {
    wire::AuthorizeBody body;
    for (int i = 0; i < 5; ++i)
      body.add_credentials("x");
    frame.mutable_authorize()->set_body(body.SerializeAsString());
  }
  SUBCASE("items") {
    for (int i = 0; i < 1'025; ++i)
      frame.mutable_batch()->add_items();
  }
  SUBCASE("paths") {
    auto& item = *frame.mutable_batch()->add_items();
    for (int i = 0; i < 11; ++i)
      item.add_path("x");
  }
  SUBCASE("services") {
    for (int i = 0; i < 1'025; ++i)
      frame.mutable_announce()->add_entries();
  }
  SUBCASE("hashes") {
    for (int i = 0; i < 5; ++i)
      frame.mutable_need_credential()->add_hashes("x");
  }
  SUBCASE("custody") {
    for (int i = 0; i < 2'049; ++i)
      frame.mutable_custody()->add_accepted();
  }
  CHECK(code_for(frame) == ec::limit_exceeded);
}

TEST_CASE("bytes that are no frame are malformed") {
  for (auto* text : {"", "hello", "GET / HTTP/1.1\r\n", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"})
    CHECK(code_of(wire::check_frame(text, {})) == ec::malformed);
  auto two = ping_frame(1).substr(4) + ping_frame(2).substr(4);
  CHECK(code_of(wire::check_frame(two, {})) == ec::malformed);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("batch codec");

TEST_CASE_FIXTURE(signed_requests, "whole and partial batches verify after the wire") {
  crypto::verified_root_cache roots;
  for (size_t n : {1, 2, 3, 7, 64}) {
    auto whole = make(n);
    for (unsigned mask = 1; mask < (n < 7 ? 1u << n : 40u); ++mask) {
      batch some;
      for (size_t i = 0; i < n; ++i)
        if (n >= 7 ? (i * 7 + mask) % 5 < 3 : (mask >> i & 1) != 0)
          some.push_back(whole[i]);
      std::string stream;
      wire::append_batch_frames(stream, some, 1 << 20);
      size_t found = 0;
      for (auto& x : batches_in(stream, 1 << 20)) {
        auto root = wire::root_of(x);
        REQUIRE(root);
        CHECK(roots.verify(*x.root, *root, key.public_part()));
        for (auto& item : x.items)
          CHECK(item->arguments == some[found++]->arguments);
      }
      CHECK(found == some.size());
    }
  }
}

TEST_CASE_FIXTURE(signed_requests, "large batches are split at the frame limit") {
  auto whole = make(100, 3'000);
  std::string stream;
  wire::append_batch_frames(stream, whole, 64 * 1'024);
  auto found = batches_in(stream, 64 * 1'024);
  CHECK(found.size() >= 5);
  crypto::verified_root_cache roots;
  for (auto& x : found)
    CHECK(roots.verify(*x.root, *wire::root_of(x), key.public_part()));
  CHECK(roots.misses() == 1); // one signature check for all
}

TEST_CASE_FIXTURE(signed_requests, "changed arguments, counts and credentials are malformed") {
  auto whole = make(3);
  std::string stream;
  wire::append_batch_frames(stream, whole, 1 << 20);
  wire::Frame frame;
  REQUIRE_FALSE(wire::parse_frame(std::string_view{stream}.substr(4), {}, frame));
  auto& x = *frame.mutable_batch();
  auto refused = [&] { return !wire::decode_batch(x.SerializeAsString(), 1 << 20); };
  CHECK_FALSE(refused());
  SUBCASE("arguments") {
    x.mutable_items(1)->mutable_arguments()->at(2) ^= 1;
  }
  SUBCASE("length") {
    x.mutable_items(1)->mutable_arguments()->push_back(' ');
  }
  SUBCASE("credential") {
    x.set_credential_hash(std::string(32, 'd'));
  }
  SUBCASE("size zero") {
    x.set_size(0);
  }
  SUBCASE("size") {
    x.set_size(1'025);
  }
  SUBCASE("index") {
    x.mutable_items(2)->set_leaf_index(1);
  }
  SUBCASE("index over size") {
    x.mutable_items(2)->set_leaf_index(3);
  }
  SUBCASE("salt") {
    x.mutable_items(0)->set_salt("short");
  }
  SUBCASE("batch id") {
    x.set_batch_id("short");
  }
  SUBCASE("signature") {
    x.set_signature(std::string(63, 's'));
  }
  SUBCASE("algorithm") {
    x.set_algorithm(static_cast<wire::SignatureAlgorithm>(77));
  }
  SUBCASE("path beside items") {
    x.mutable_items(0)->add_path(std::string(32, 'p'));
  }
  SUBCASE("nothing") {
    x.clear_items();
  }
  CHECK(refused());
}

TEST_CASE_FIXTURE(signed_requests, "a flipped bit in any header or hash breaks the signature") {
  auto whole = make(4);
  crypto::verified_root_cache roots;
  auto proof = whole[2]->proof;
  auto header = whole[2]->header_bytes;
  CHECK(roots.verify(*whole[2]->root, *crypto::root_from_path(*whole[2]->root, proof, header),
                     key.public_part()));
  for (size_t i = 0; i < header.size(); ++i) {
    auto bad = header;
    bad[i] ^= 4;
    CHECK_FALSE(roots.verify(*whole[2]->root, *crypto::root_from_path(*whole[2]->root, proof, bad),
                             key.public_part()));
  }
}

TEST_CASE("custody travels as ranges") {
  node_uid origin;
  origin.fill(3);
  custody_report report;
  for (uint64_t seq : {5, 6, 7, 9})
    report.accepted.push_back({{origin, 1, seq}, false});
  report.accepted.push_back({{origin, 1, 10}, true});
  report.refused.push_back(
    {{origin, 2, 1}, false, caf::make_error(ec::unauthorized, std::string{"no right"}), true, 0});
  std::string bytes;
  wire::append_custody_frame(bytes, report);
  wire::Frame frame;
  REQUIRE_FALSE(wire::parse_frame(std::string_view{bytes}.substr(4), {}, frame));
  CHECK(frame.custody().accepted_size() == 3);
  auto back = wire::decode_custody(frame.custody());
  REQUIRE(back);
  REQUIRE(back->accepted.size() == 5);
  CHECK(back->accepted[2].id.seq == 7);
  CHECK(back->accepted[4].reply);
  REQUIRE(back->refused.size() == 1);
  CHECK(code_of(back->refused[0].reason) == ec::unauthorized);
  CHECK(detail_of(back->refused[0].reason) == "no right");
  CHECK(back->refused[0].permanent);
}

TEST_CASE("a custody range of absurd length is refused") {
  wire::Custody x;
  auto& range = *x.add_accepted();
  range.set_origin(std::string(20, 'o'));
  range.set_first(1);
  SUBCASE("too long") {
    range.set_count(1'000'000);
  }
  SUBCASE("wraps") {
    range.set_first(UINT64_MAX - 1);
    range.set_count(10);
  }
  SUBCASE("empty") {
    range.set_count(0);
  }
  SUBCASE("no origin") {
    range.set_count(1);
    range.set_origin("x");
  }
  CHECK_FALSE(wire::decode_custody(x));
}

TEST_SUITE_END();
