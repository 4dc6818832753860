// SPDX-License-Identifier: MPL-2.0
//
// A native session from its first byte: the input is cut into frames (u16 length each), so that the
// fuzzer need not get a length right to reach what is behind it. Whoever owns the session believes
// the peer, so that everything a member may send is reached.

#include "actors/links/native_session.hpp"
#include "messages/wire/batch.hpp"
#include "runtime/crypto/crypto.hpp"
#include "test/fuzz/fuzz.hpp"

using namespace rvi;

namespace {

void judge(const std::string& batch) {
  auto decoded = wire::decode_batch(batch, wire::frame_bytes_max_default);
  if (!decoded)
    return;
  crypto::leaf_paths paths;
  auto root = wire::root_of(*decoded, &paths);
  if (root)
    assert(paths.size() == decoded->items.size());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::input in{data, size};
  native_session session{native_session_limits{}};
  session.introduce("body", std::string(64, 's'));
  while (!in.empty()) {
    size_t length = in.byte();
    length = length << 8 | in.byte();
    auto frame = in.take(length);
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8)
      bytes += static_cast<char>(frame.size() >> shift);
    bytes += frame;
    if (session.receive(bytes))
      return 0;
    while (auto event = session.next()) {
      if (std::holds_alternative<peer_authorize>(*event)) {
        if (session.admitted(wire::frame_bytes_max_default))
          return 0;
        session.announce(true, {});
      } else if (std::holds_alternative<peer_announce>(*event)) {
        session.announcement_accepted();
      } else if (auto batch = std::get_if<peer_batch>(&*event)) {
        judge(batch->bytes);
      }
    }
  }
  return 0;
}
