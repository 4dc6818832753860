// SPDX-License-Identifier: MPL-2.0
//
// What the fields of a service's calls may be, in whatever form they come.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rvi::service_limits {

inline constexpr size_t text_bytes_max = 2'048;       // of a field without a limit of its own
inline constexpr size_t signature_bytes_max = 16'384; // of a JWS, or a JWK
inline constexpr size_t channel_bytes_max = 128;
inline constexpr size_t role_bytes_max = 128; // also of how a user proved who they are
inline constexpr size_t data_class_bytes_max = 128;
inline constexpr size_t error_bytes_max = size_t{64} << 10; // of a service's error object
inline constexpr uint32_t priority_max = 7;
inline constexpr uint64_t seconds_below = 100'000'000'000; // a time below this is in seconds
inline constexpr uint64_t milliseconds_max = 9'007'199'254'740'992; // 2^53, exact in JSON

/// Printable ASCII.
inline bool is_data_class(std::string_view x) {
  return std::all_of(x.begin(), x.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

} // namespace rvi::service_limits
