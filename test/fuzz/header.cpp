// SPDX-License-Identifier: MPL-2.0
//
// A RequestHeader: canonical or refused; an announced service alike.

#include "messages/wire/header.hpp"

#include "messages/name.hpp"
#include "test/fuzz/fuzz.hpp"

using namespace rvi;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto text = fuzz::text_of(data, size);
  if (auto x = wire::decode_header(text)) {
    auto kept = wire::decode_kept_header(text);
    assert(kept && kept->id == x->id && kept->source == x->source && kept->target == x->target);
    assert(is_normal_name(x->source) && is_normal_name(x->target));
    auto again = wire::decode_header(wire::encode_header(*x));
    assert(again && again->id == x->id && again->expires_ms == x->expires_ms);
  }
  if (auto x = wire::decode_announced(text))
    assert(wire::encode_announced(x->service, x->owner) == text);
  return 0;
}
