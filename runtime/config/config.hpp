// SPDX-License-Identifier: MPL-2.0
//
// A strict reader of one TOML file. Whatever is asked for counts as known; everything else in the
// file is an error, and errors name file, line and key. Not for use by several threads.

#pragma once

#include "runtime/error.hpp"

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::config {

namespace detail {
struct content;
struct table;
} // namespace detail

/// One table. Every question returns the default if the key is absent or wrong; what is wrong
/// comes out of `file::finish`.
class section {
public:
  std::string text(std::string_view key, std::string_view otherwise);
  std::string required_text(std::string_view key);
  /// One of a few words.
  std::string
  choice(std::string_view key, std::string_view otherwise, const std::vector<std::string>& words);
  int64_t integer(std::string_view key, int64_t otherwise,
                  int64_t min = std::numeric_limits<int64_t>::min(),
                  int64_t max = std::numeric_limits<int64_t>::max());
  bool boolean(std::string_view key, bool otherwise);
  std::vector<std::string>
  texts(std::string_view key, const std::vector<std::string>& otherwise = {});
  /// An integer of milliseconds, or "300ms", "5s", "10m", "2h", "30d".
  uint64_t milliseconds(std::string_view key, uint64_t otherwise_ms, uint64_t min_ms = 0,
                        uint64_t max_ms = std::numeric_limits<int64_t>::max());
  /// An integer, or "512B", "64KiB", "8MiB", "1GiB".
  uint64_t bytes(std::string_view key, uint64_t otherwise, uint64_t min = 0,
                 uint64_t max = std::numeric_limits<int64_t>::max());

  /// An array of tables ([[routes]]); absent is empty.
  std::vector<section> tables(std::string_view key);
  /// A table below this one, by dotted name; absent gives all defaults.
  section table(std::string_view name);

  /// Whether the file has this table.
  bool present() const;
  /// Whether the file sets this key. Does not make it known.
  bool has(std::string_view key) const;

  /// Reports a value that only the caller can judge, with the key's line.
  void reject(std::string_view key, std::string_view message);

private:
  friend class file;
  section(std::shared_ptr<detail::content> content, detail::table* table);
  std::shared_ptr<detail::content> content_;
  detail::table* table_;
};

class file {
public:
  /// Errors: `io_failed` (cannot be read), `config_invalid` (no TOML; with the line).
  static expected<std::shared_ptr<file>> load(const std::string& path);
  static expected<std::shared_ptr<file>> parse(std::string_view text, const std::string& name);

  /// A table by dotted name; the empty name is the file's top level.
  section table(std::string_view name);

  /// `config_invalid` with the first error by line, unknown keys and tables included. Call it when
  /// everything has been asked.
  caf::error finish() const;

  /// All errors, in the order `finish` ranks them.
  std::vector<std::string> errors() const;

  /// The effective configuration as TOML: everything asked, with the values in force.
  std::string dump() const;

private:
  explicit file(std::shared_ptr<detail::content> content);
  std::shared_ptr<detail::content> content_;
};

} // namespace rvi::config
