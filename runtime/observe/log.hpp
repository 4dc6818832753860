// SPDX-License-Identifier: MPL-2.0
//
// The node's log: one line per record, for people (logfmt) or machines (JSON). Values are escaped,
// so that nothing from outside can forge a line.

#pragma once

#include "runtime/error.hpp"

#include <atomic>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace rvi::log {

enum class level : uint8_t { debug, info, warning, error, off };
enum class format : uint8_t { text, json };

const char* to_string(level x);
/// `debug`, `info`, `warning` or `error`; else nothing.
std::optional<level> level_of(std::string_view name);

/// A named value. It does not own its text: build fields in the call only.
class field {
public:
  field(std::string_view key, std::string_view value) : key_(key), text_(value) {}
  field(std::string_view key, const std::string& value) : key_(key), text_(value) {}
  field(std::string_view key, const char* value) : key_(key), text_(value) {}
  field(std::string_view key, bool value)
    : key_(key),
      text_(value ? "true" : "false"),
      type_(type::literal) {}
  template <std::integral T>
  requires(!std::same_as<T, bool>) field(std::string_view key, T value)
    : key_(key),
      number_(uint64_t(value)),
      type_(std::signed_integral<T> ? type::signed_number : type::unsigned_number) {}

private:
  friend class line;
  enum class type : uint8_t { text, literal, signed_number, unsigned_number };
  std::string_view key_;
  std::string_view text_;
  uint64_t number_ = 0;
  type type_ = type::text;
};

using fields = std::initializer_list<field>;

/// Where records go; standard error if there is no path. Before this, `info` as text goes to
/// standard error. `io_failed` if the file cannot be opened; then nothing changes.
caf::error
configure(level threshold, format format, const std::optional<std::string>& path = std::nullopt);

namespace detail {
extern std::atomic<level> threshold;
}

inline bool enabled(level x) {
  return x >= detail::threshold.load(std::memory_order_relaxed);
}

/// Any thread. Writes the record out before it returns.
void write(level level, std::string_view component, std::string_view message, fields fields = {});

inline void debug(std::string_view component, std::string_view message, fields fields = {}) {
  if (enabled(level::debug))
    write(level::debug, component, message, fields);
}

inline void info(std::string_view component, std::string_view message, fields fields = {}) {
  if (enabled(level::info))
    write(level::info, component, message, fields);
}

inline void warning(std::string_view component, std::string_view message, fields fields = {}) {
  if (enabled(level::warning))
    write(level::warning, component, message, fields);
}

inline void error(std::string_view component, std::string_view message, fields fields = {}) {
  if (enabled(level::error))
    write(level::error, component, message, fields);
}

} // namespace rvi::log
