// SPDX-License-Identifier: MPL-2.0
//
// A Batch (RVI-B1) and each header in it: what is accepted has one encoding only.

#include "messages/wire/batch.hpp"

#include "messages/wire/frame.hpp"
#include "messages/wire/header.hpp"
#include "runtime/crypto/crypto.hpp"
#include "test/fuzz/fuzz.hpp"

using namespace rvi;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto decoded = wire::decode_batch(fuzz::text_of(data, size), wire::frame_bytes_max_default);
  if (!decoded)
    return 0;
  for (auto& x : decoded->items) {
    assert(wire::decode_kept_header(x->header_bytes));
    assert(x->is_opening() || x->arguments.size() == x->header.arguments_length);
  }
  crypto::leaf_paths paths;
  auto root = wire::root_of(*decoded, &paths);
  assert(!root || paths.size() == decoded->items.size());
  return 0;
}
