// SPDX-License-Identifier: MPL-2.0

#include "runtime/observe/trace.hpp"

#include <doctest/doctest.h>

#include <memory>

using namespace rvi;

namespace {

struct fixture {
  std::shared_ptr<manual_time> time = std::make_shared<manual_time>(1'795'000'000'000);
  trace_buffer trace{time, 4};

  uint64_t wall_ms_of(std::string_view id) {
    auto found = trace.find(id);
    REQUIRE(found.size() == 1);
    return found[0].wall_ms;
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "events have the time when they were, also if told of later") {
  trace.add("a", 1, false, {});
  CHECK(wall_ms_of("a") == 1'795'000'000'000);
  auto before_us = time->boot_us();
  time->elapse_ms(250);
  trace.add("b", 2, false, {});
  trace.add_at(before_us, "c", 7, false, {});
  CHECK(wall_ms_of("b") == 1'795'000'000'250);
  CHECK(wall_ms_of("c") == 1'795'000'000'000);
}

TEST_CASE_FIXTURE(fixture, "a clock that is set shows a millisecond later") {
  trace.add("a", 1, false, {});
  time->set_wall_ms(1'000'000'000'000);
  time->elapse_ms(1);
  trace.add("b", 1, false, {});
  CHECK(wall_ms_of("a") == 1'795'000'000'000);
  CHECK(wall_ms_of("b") == 1'000'000'000'001);
}

TEST_CASE_FIXTURE(fixture, "the oldest event goes first") {
  for (auto id : {"a", "b", "c", "d", "e"})
    trace.add(id, 1, false, {});
  CHECK(trace.find("a").empty());
  CHECK(trace.find("").size() == 4);
  CHECK(trace.find("").front().id == "b");
}
