// SPDX-License-Identifier: MPL-2.0
//
// A configuration file: whatever is in it, it is read or refused, and what is dumped reads again.

#include "runtime/config/config.hpp"

#include "test/fuzz/fuzz.hpp"

using namespace rvi;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto file = config::file::parse(fuzz::text_of(data, size), "rvi.toml");
  if (!file)
    return 0;
  auto ask = [](config::file& x) {
    auto node = x.table("node");
    (void)node.required_text("name");
    (void)node.choice("role", "vehicle", {"vehicle", "mobile", "cloud"});
    auto links = x.table("links.tls");
    (void)links.milliseconds("keepalive", 30'000, 1);
    (void)links.texts("connect");
    (void)links.integer("port", 8810, 0, 65'535);
    (void)x.table("limits").bytes("request_bytes", 8 << 20, 1'024, 64 << 20);
    for (auto& each : x.table("").tables("routes"))
      (void)each.required_text("pattern");
    return !x.finish();
  };
  if (!ask(**file))
    return 0;
  auto dump = (*file)->dump();
  auto again = config::file::parse(dump, "dump");
  assert(again && ask(**again) && (*again)->dump() == dump);
  return 0;
}
