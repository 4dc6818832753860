// SPDX-License-Identifier: MPL-2.0
//
// What happened in a run, for people: one line for each thing.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rvi::simulation {

/// `2d 03:04:05.678`, since the start of the run.
std::string time_text(uint64_t ms);

/// The frames in these bytes: `batch of 3, custody of 2, ping`. With a transaction id (hex) only
/// those that speak of it, or nothing.
std::string describe_frames(std::string_view bytes, const std::string& id);

} // namespace rvi::simulation
