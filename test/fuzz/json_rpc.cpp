// SPDX-License-Identifier: MPL-2.0
//
// What a service may send: JSON-RPC 2.0, one call or many.

#include "messages/wire/json_rpc.hpp"

#include "test/fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)rvi::json_rpc::decode(fuzz::text_of(data, size), 1'795'000'000'000);
  return 0;
}
