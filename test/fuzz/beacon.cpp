// SPDX-License-Identifier: MPL-2.0
//
// A beacon, the only bytes a node takes from anybody by UDP.

#include "actors/links/beacon.hpp"

#include "test/fuzz/fuzz.hpp"

using namespace rvi;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto text = fuzz::text_of(data, size);
  if (auto x = decode_beacon(text)) {
    auto again = decode_beacon(encode_beacon(*x));
    assert(again && again->tcp_port == x->tcp_port && again->instance == x->instance);
  }
  return 0;
}
