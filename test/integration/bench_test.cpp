// SPDX-License-Identifier: MPL-2.0
//
// `rvi bench` measures something in every scenario, and nothing is lost. How fast is not asked
// here.

#include "runtime/json/json.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;

TEST_SUITE_BEGIN("bench" * doctest::skip(rvi_program().empty()));

TEST_CASE("every scenario of the bench measures and loses nothing") {
  for (std::string scenario :
       {"rpc --seconds 2 --outstanding 16", "message --seconds 2 --outstanding 64",
        "message --seconds 2 --outstanding 64 --json-rpc", "rpc --seconds 2 --durability none",
        "fan-out --seconds 2 --vehicles 2 --outstanding 16",
        "fan-in --seconds 2 --vehicles 2 --outstanding 16", "metric --seconds 2 --outstanding 64",
        "metric --seconds 2 --outstanding 8 --json-rpc", "queue-drain --requests 30000"}) {
    CAPTURE(scenario);
    auto result = run_rvi("bench " + scenario + " --format json");
    REQUIRE_MESSAGE(result.code == 0, result.output);
    auto text = json::parse(result.output);
    REQUIRE_MESSAGE(text, result.output);
    auto x = text->root();
    CHECK(scenario.starts_with(x["scenario"].as_string().value_or("none")));
    auto delivered = x["delivered"].as_uint().value_or(0);
    CHECK(delivered > 0);
    CHECK(delivered == x["accepted"].as_uint());
    CHECK(x["messages_per_s"].as_double().value_or(0) > 0);
    // What is durable was synced in the same run.
    bool durable = scenario.find("none") == std::string::npos && !scenario.starts_with("metric");
    CHECK((x["fdatasync_count"].as_uint().value_or(0) > 0) == durable);
    if (auto drain = x["drain"]) {
      CHECK(delivered == 30'000);
      CHECK(drain["start_us"].as_uint().value_or(0) > 0);
      CHECK(drain["anonymous_growth_bytes"].as_uint().value_or(UINT64_MAX) < size_t{64} << 20);
    }
    MESSAGE(result.output);
  }
}

// More than may be strangers at once (tls_link_config), so some are turned away and come again.
TEST_CASE("a storm of peers comes, stays and comes again with its tickets") {
  auto result = run_rvi("bench connect-storm --peers 1200 --seconds 1 --format json");
  REQUIRE_MESSAGE(result.code == 0, result.output);
  auto text = json::parse(result.output);
  REQUIRE_MESSAGE(text, result.output);
  auto x = text->root();
  CHECK(x["connect"]["up"].as_uint() == 1'200);
  CHECK(x["connect"]["resumed"].as_uint() == 0);
  CHECK(x["reconnect"]["up"].as_uint() == 1'200);
  CHECK(x["reconnect"]["resumed"].as_uint() == 1'200);
  CHECK(x["idle"]["lost"].as_uint() == 0);
  CHECK(x["rss_bytes"].as_uint().value_or(0) > x["rss_bytes_before"].as_uint().value_or(0));
  MESSAGE(result.output);
}

TEST_SUITE_END();
