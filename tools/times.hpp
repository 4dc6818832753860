// SPDX-License-Identifier: MPL-2.0
//
// Times and durations as people write and read them.

#pragma once

#include "runtime/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace rvi {

/// "500ms", "30s", "2m", "1h", "7d"; a bare number is seconds. Error: `bad_request`.
expected<uint64_t> parse_duration_ms(std::string_view text);

/// RFC 3339 ("2026-01-31T12:00:00Z", with an offset, or the date alone) or Unix seconds, as Unix
/// seconds. Error: `bad_request`.
expected<uint64_t> parse_time_s(std::string_view text);

/// "2026-01-31T12:00:00Z".
std::string show_time(uint64_t unix_s);

/// "29 days 23 hours", the two largest units.
std::string show_duration(uint64_t seconds);

/// CLOCK_REALTIME.
uint64_t wall_now_ms();

/// CLOCK_MONOTONIC; for deadlines and measurements.
uint64_t steady_now_us();
inline uint64_t steady_now_ms() {
  return steady_now_us() / 1'000;
}

} // namespace rvi
