// SPDX-License-Identifier: MPL-2.0
//
// How commands speak: results to standard output as text or one JSON document, failures to standard
// error with what to do about them.

#pragma once

#include "runtime/error.hpp"
#include "runtime/json/json.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace rvi {

/// The option `--format`, the same for every command.
struct output_format {
  std::string name = "text";
  bool json() const { return name == "json"; }
  void add_to(CLI::App& app);
};

/// Writes a line to standard output.
void print_line(std::string_view text);

/// Writes "rvi COMMAND: code: detail" and a hint, if there is one; returns exit code 1.
int fail(std::string_view command, const caf::error& why, std::string_view hint = {});

/// The same for a wrong command line; returns exit code 2.
int fail_usage(std::string_view command, std::string_view why);

/// What a person can do about an error a node answered; may be empty.
std::string advice_for(ec code);

/// The code of this stable name; `internal` if there is none.
ec code_named(std::string_view name);

/// A JSON string as its text, everything else as written.
std::string text_of(json::value x);

/// Writes an object as indented "name: value" lines.
void print_fields(json::value x, int indent = 0);

/// Columns as wide as their widest cell; the last one is not padded.
class text_table {
public:
  explicit text_table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  /// These columns hold numbers and are aligned to the right.
  void align_right(size_t column) { right_.push_back(column); }
  void print() const;

private:
  std::vector<std::vector<std::string>> rows_; // the header first
  std::vector<size_t> right_;
};

} // namespace rvi
