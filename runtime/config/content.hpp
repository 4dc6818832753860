// SPDX-License-Identifier: MPL-2.0
//
// What a configuration file holds and what was asked of it. Internal to this folder.

#pragma once

#include "runtime/config/config.hpp"

#include <toml++/toml.h>

namespace rvi::config::detail {

struct question {
  std::string key;
  std::string effective; // as TOML; empty for an array of tables
};

struct table {
  std::string name;                    // within its parent
  std::string path;                    // from the top, for messages and headers
  bool element = false;                // of an array of tables
  const toml::table* source = nullptr; // null: not in the file
  std::vector<question> questions;
  std::vector<std::unique_ptr<table>> children;

  const toml::node* find(std::string_view key) const { return source ? source->get(key) : nullptr; }
};

struct problem {
  uint32_t line = 0; // 0: of no line
  std::string text;
};

struct content {
  std::string name;
  toml::table root;
  table top;
  std::vector<problem> problems;

  void report(const toml::node* where, const std::string& path, const std::string& message);
  void report(uint32_t line, const std::string& path, const std::string& message);
};

/// `path.key`, with quotes where TOML wants them.
std::string join(const std::string& path, std::string_view key);

/// What the file holds and nobody asked for.
void find_unknown(const table& from, std::vector<problem>& out, const std::string& file);

std::string quote(std::string_view text);
std::string show_milliseconds(uint64_t x);
std::string show_bytes(uint64_t x);

/// "5s" and the like; nothing if it is no such text or does not fit.
std::optional<uint64_t> parse_milliseconds(std::string_view text);
std::optional<uint64_t> parse_bytes(std::string_view text);

/// Of the words, the one that looks like `wrong`; empty if none does.
std::string nearest(std::string_view wrong, const std::vector<std::string>& words);

/// Appends a table's answered questions, and those of the tables below.
void dump(const table& from, std::string& out);

} // namespace rvi::config::detail
