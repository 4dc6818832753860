// SPDX-License-Identifier: MPL-2.0
//
// What a service may send in frames: the stream from its first byte on, and each frame in it.

#include "messages/wire/service_frame.hpp"

#include "test/fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace frame = rvi::service_frame;
  constexpr uint64_t now_ms = 1'795'000'000'000;
  auto input = fuzz::text_of(data, size);
  (void)frame::decode(input, now_ms, {});
  frame::stream stream{size_t{1} << 20};
  if (size % 2 == 0)
    stream.receive(frame::preface);
  stream.receive(input.substr(0, size / 3)); // in two pieces
  stream.receive(input.substr(size / 3));
  for (auto next = stream.next(); next && *next; next = stream.next())
    (void)frame::decode(**next, now_ms, {});
  return 0;
}
