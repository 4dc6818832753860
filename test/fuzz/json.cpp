// SPDX-License-Identifier: MPL-2.0
//
// JSON: what is accepted keeps its bytes, and those are accepted again.

#include "runtime/json/json.hpp"

#include "test/fuzz/fuzz.hpp"

using namespace rvi;

namespace {

void walk(json::value x) {
  (void)x.as_string();
  (void)x.as_double();
  (void)x.as_uint();
  (void)x.as_int();
  for (auto each : x.items())
    walk(each);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto document = json::parse(fuzz::text_of(data, size));
  if (!document)
    return 0;
  walk(document->root());
  auto again = json::parse(document->root().raw());
  assert(again && again->root().raw() == document->root().raw());
  return 0;
}
