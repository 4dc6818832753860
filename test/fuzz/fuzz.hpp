// SPDX-License-Identifier: MPL-2.0
//
// What fuzz targets share. A target takes any bytes; what must hold is asserted, and assertions are
// on in every build.

#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fuzz {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Takes bytes off the front of an input.
class input {
public:
  input(const uint8_t* data, size_t size) : rest_(text_of(data, size)) {}

  uint8_t byte() {
    if (rest_.empty())
      return 0;
    auto result = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return result;
  }

  /// Up to `n` bytes.
  std::string_view take(size_t n) {
    auto result = rest_.substr(0, n);
    rest_.remove_prefix(result.size());
    return result;
  }

  /// Up to and without the next line break.
  std::string_view line() {
    auto result = rest_.substr(0, rest_.find('\n'));
    rest_.remove_prefix(result.size() < rest_.size() ? result.size() + 1 : result.size());
    return result;
  }

  std::string_view rest() { return take(rest_.size()); }
  bool empty() const { return rest_.empty(); }

private:
  std::string_view rest_;
};

} // namespace fuzz
