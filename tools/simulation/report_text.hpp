// SPDX-License-Identifier: MPL-2.0
//
// Numbers, sizes and times as the report shows them to people, and text made safe for HTML.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rvi::simulation {

/// Safe as HTML text and in a quoted attribute; control characters become U+FFFD.
std::string escaped(std::string_view text);

/// "1,234,567".
std::string grouped(uint64_t x);

/// Three digits and a unit: "2.5 k", "13.1 M"; less than `plain_max` as it is.
std::string compact(double x, double plain_max = 10'000);

/// "512 B", "1.5 MiB".
std::string byte_size(double x);

/// A part of a whole: "99.2 %"; says "under 0.1 %" and "over 99.9 %" rather than round to none or
/// all. "–" if the whole is 0.
std::string share(uint64_t part, uint64_t whole);

/// Two digits are enough: "250 ms", "4.6 s", "18 min", "1.5 d".
std::string rough_duration(double ms);

/// The two largest units: "7 d", "2 d 3 h", "1 min 30 s".
std::string duration(uint64_t ms);

/// A moment of the run: "2 d 03:20:15".
std::string moment(uint64_t ms);

} // namespace rvi::simulation
