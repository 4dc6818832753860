// SPDX-License-Identifier: MPL-2.0
//
// Strict JSON (RFC 8259) as a tree, and canonical base64url, for credentials.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::simulation::reference {

struct json {
  enum class form { null, boolean, number, text, list, object };
  form what = form::null;
  bool boolean = false;
  std::string text; // a string's content; a number as written
  std::vector<json> list;
  std::map<std::string, json> object;

  /// The member, null if there is none or this is no object.
  const json* member(const std::string& name) const;
  /// A string's content.
  std::optional<std::string> string() const;
  /// A number written as an unsigned integer of at most 64 bits, with no fraction and no exponent.
  std::optional<uint64_t> unsigned_integer() const;
  /// A list of strings.
  std::optional<std::vector<std::string>> strings() const;
};

/// B1's credential rules: depth at most 8, no duplicate members, nothing after the value, UTF-8.
std::optional<json> read_json(std::string_view text);

/// No padding, no other alphabet, unused bits zero (decisions 4: "non-canonical base64url
/// refused").
std::optional<std::string> read_base64url(std::string_view text);

} // namespace rvi::simulation::reference
