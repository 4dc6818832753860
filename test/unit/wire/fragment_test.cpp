// SPDX-License-Identifier: MPL-2.0
//
// Large arguments on the wire: bytes that stay, and what is no fragment.

#include "messages/wire/batch.hpp"
#include "messages/wire/fragment.hpp"
#include "messages/wire/frame.hpp"
#include "rvi.pb.h"
#include "test/support/envelopes.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

const transaction_id id{node_uid{1}, 7, 9};
const std::string id_hex = "01" + std::string(30, '0') + "00000007" + "0000000000000009";

wire::Frame parsed(const std::string& stream) {
  wire::Frame result;
  REQUIRE_FALSE(wire::parse_frame(std::string_view{stream}.substr(4), {}, result));
  return result;
}

} // namespace

TEST_SUITE_BEGIN("fragment");

TEST_CASE("a fragment and its state have these bytes for ever") {
  std::string stream;
  wire::append_fragment_frame(stream, {id, true, 300, "ab"});
  CHECK(crypto::hex(stream)
        == "00000029"
           "5227"
           "0a1c"
             + id_hex
             + "1001"
               "18ac02"
               "22026162");
  auto fragment = wire::decode_fragment(*parsed(stream).mutable_fragment());
  REQUIRE(fragment);
  CHECK(fragment->id == id);
  CHECK(fragment->reply);
  CHECK(fragment->offset == 300);
  CHECK(fragment->content == "ab");
  stream.clear();
  wire::append_fragment_state_frame(stream, {id, false, 300, 55, true});
  CHECK(crypto::hex(stream)
        == "00000024"
           "8a0121"
           "0a1c"
             + id_hex + "18ac02");
  auto state = wire::decode_fragment_state(parsed(stream).fragment_state());
  REQUIRE(state);
  CHECK(state->id == id);
  CHECK_FALSE(state->reply);
  CHECK(state->offset == 300);
  CHECK(state->settled_bytes == 0);
}

TEST_CASE("a fragment without id or content is malformed") {
  wire::Fragment x;
  x.set_content("a");
  CHECK(code_of(wire::decode_fragment(x).error()) == ec::malformed);
  x.set_transaction_id(to_bytes(id));
  CHECK(wire::decode_fragment(x));
  x.clear_content();
  CHECK(code_of(wire::decode_fragment(x).error()) == ec::malformed);
  wire::FragmentState state;
  state.set_transaction_id("short");
  CHECK(code_of(wire::decode_fragment_state(state).error()) == ec::malformed);
}

TEST_CASE("an item without the arguments its header promises is an opening") {
  auto key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  auto headers = std::vector{test::header_of(key.public_part().uid(), 1)};
  auto large = test::sign_batch(key, headers, {std::string(300'000, 'x')}).front();
  auto opening = opening_of(*large);
  CHECK(opening->is_opening());
  CHECK(opening->size() == large->size());
  std::string stream;
  wire::append_batch_frames(stream, {opening}, 1 << 20);
  CHECK(stream.size() < 2'000);
  auto frame = parsed(stream);
  auto decoded = wire::decode_batch(frame.batch().SerializeAsString(), 1 << 20);
  REQUIRE(decoded);
  CHECK(decoded->items.front()->is_opening());
  CHECK(decoded->items.front()->header.arguments_length == 300'000);
  auto root = wire::root_of(*decoded);
  REQUIRE(root);
  // Part of them is neither all nor none.
  frame.mutable_batch()->mutable_items(0)->set_arguments("x");
  auto cut = wire::decode_batch(frame.batch().SerializeAsString(), 1 << 20);
  CHECK(code_of(cut.error()) == ec::malformed);
}

TEST_CASE("what goes in fragments depends on its size and the peer's frames") {
  auto key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  auto of_size = [&](size_t bytes) {
    return test::sign_batch(key, {test::header_of(key.public_part().uid(), 1)},
                            {std::string(bytes, 'x')})
      .front();
  };
  CHECK_FALSE(wire::needs_fragments(*of_size(fragment_bytes_max), 1 << 20));
  CHECK(wire::needs_fragments(*of_size(fragment_bytes_max + 1), 1 << 20));
  CHECK(wire::needs_fragments(*of_size(70'000), 65'536));
  CHECK_FALSE(wire::needs_fragments(*of_size(60'000), 65'536));
  CHECK(wire::fragment_bytes_for(1 << 20) == fragment_bytes_max);
  CHECK(wire::fragment_bytes_for(65'536) < 65'536);
  CHECK(wire::fragment_bytes_for(65'536) >= fragment_bytes_min);
}
