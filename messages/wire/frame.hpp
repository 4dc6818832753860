// SPDX-License-Identifier: MPL-2.0
//
// Frames of the native protocol: a u32 big-endian length and one `Frame`. Limits are checked on the
// raw bytes, before protobuf parses them.

#pragma once

#include "runtime/error.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rvi::wire {

class Frame;

inline constexpr size_t frame_header_bytes = 4;
inline constexpr size_t frame_bytes_max_default = 1 << 20;

/// How many elements each list of a frame may have.
struct frame_limits {
  size_t bytes_max = frame_bytes_max_default;
  size_t items_max = 1'024;
  size_t announce_entries_max = 1'024;
  size_t custody_entries_max = 2'048;
  size_t credentials_max = 4;
  size_t serials_max = 64;
  size_t metric_subscriptions_max = 1'024;
  size_t metric_values_max = 4'096;
};

/// Appends length and frame.
void append_frame(std::string& out, const Frame& x);

/// Cuts a byte stream into frames.
class frame_reader {
public:
  explicit frame_reader(size_t bytes_max) : bytes_max_(bytes_max) {}

  void append(std::string_view bytes) { buffer_.append(bytes); }

  /// The bytes of the next whole frame (valid until the next call of anything), or nothing yet.
  /// Error: `limit_exceeded` for a length over the limit or zero.
  expected<std::optional<std::string_view>> next();

  /// Bytes received of a frame that is not whole yet.
  size_t pending() const { return buffer_.size() - taken_; }

private:
  size_t bytes_max_;
  std::string buffer_;
  size_t taken_ = 0;
};

/// Exactly one known content and no list over its limit. Errors: `malformed`, `limit_exceeded`.
caf::error check_frame(std::string_view bytes, const frame_limits& limits);

/// check_frame, then the parser.
caf::error parse_frame(std::string_view bytes, const frame_limits& limits, Frame& result);

} // namespace rvi::wire
