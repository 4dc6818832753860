// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/reference_names.hpp"

#include "tools/simulation/reference_verifier.hpp"

#include <algorithm>
#include <cstdint>

namespace rvi::simulation::reference {

namespace {

constexpr size_t bytes_max = 2'048; // architecture 3
constexpr size_t levels_min = 3;    // architecture 3: organization and at least two levels

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Decisions 3: compared with A-Z folded.
std::string folded(std::string_view x) {
  std::string result{x};
  for (auto& c : result)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  return result;
}

std::vector<std::string> split(std::string_view x, char at) {
  std::vector<std::string> result{""};
  for (auto c : x)
    if (c == at)
      result.emplace_back();
    else
      result.back() += c;
  return result;
}

std::string joined(const name_parts& x) {
  std::string result = x.type.empty() ? "" : x.type + ":";
  for (size_t i = 0; i < x.levels.size(); ++i)
    result += (i > 0 ? "/" : "") + x.levels[i];
  return result;
}

/// A + and 1 to 15 digits (E.164), such as +447412123123.
bool is_phone_number(std::string_view level) {
  return level.size() >= 2 && level.size() <= 16 && level[0] == '+'
         && std::all_of(level.begin() + 1, level.end(), is_digit);
}

/// Decisions 3: `[A-Za-z0-9._~@:+-]`, after folding; a literal + only in phone numbers.
bool is_literal_level(std::string_view level) {
  if (level.empty())
    return false;
  if (level.find('+') != std::string_view::npos)
    return is_phone_number(level);
  return std::all_of(level.begin(), level.end(), [](char c) {
    return is_lower(c) || is_digit(c) || std::string_view{"._~@:-"}.find(c) != std::string::npos;
  });
}

bool is_type(std::string_view x) {
  return x == "rpc" || x == "message" || x == "metric";
}

bool is_reserved_level(std::string_view x) {
  return x == "provisioning" || x == "trust" || x == "sota" || x == "admin";
}

/// Decisions 3: wildcards never match a level starting with $, nor a reserved one.
bool wildcard_matches(std::string_view level) {
  return !level.starts_with('$') && !is_reserved_level(level);
}

} // namespace

name_parts parts_of(std::string_view name) {
  name_parts result;
  auto colon = name.find(':');
  if (colon != std::string_view::npos && colon < name.find('/')) {
    result.type = name.substr(0, colon);
    name.remove_prefix(colon + 1);
  }
  result.levels = split(name, '/');
  return result;
}

std::string without_type(std::string_view name) {
  auto parts = parts_of(name);
  parts.type.clear();
  return joined(parts);
}

bool is_domain(std::string_view x) {
  if (x.size() > 253)
    return false;
  for (auto& label : split(x, '.')) {
    if (label.empty() || label.size() > 63 || !is_lower(label.front()) || label.back() == '-')
      return false;
    for (auto c : label)
      if (!is_lower(c) && !is_digit(c) && c != '-')
        return false;
  }
  return true;
}

bool is_below(std::string_view name, std::string_view prefix) {
  auto x = parts_of(name).levels;
  auto y = parts_of(prefix).levels;
  return !prefix.empty() && x.size() >= y.size() && std::equal(y.begin(), y.end(), x.begin());
}

bool contains(std::string_view outer, std::string_view inner) {
  auto in = parts_of(inner);
  auto more = in.levels.back() == "#";
  if (more)
    in.levels.pop_back();
  // No pattern names this level: what holds for it holds for every other that a wildcard takes.
  for (auto& level : in.levels)
    if (level == "+")
      level = "no-pattern-names-this";
  auto types = in.type.empty()  ? std::vector<std::string>{"", "rpc", "message", "metric"}
               : in.type == "+" ? std::vector<std::string>{"rpc", "message", "metric"}
                                : std::vector<std::string>{in.type};
  for (auto& type : types) {
    in.type = type;
    auto name = in;
    for (size_t deeper = 0; deeper < parts_of(outer).levels.size() + 2; ++deeper) {
      if ((deeper > 0 || !more) && !covers(outer, joined(name)))
        return false;
      name.levels.push_back("no-pattern-names-this");
    }
  }
  return true;
}

bool has_reserved_level(std::string_view name) {
  auto levels = parts_of(name).levels;
  return std::any_of(levels.begin(), levels.end(), is_reserved_level);
}

std::optional<std::string> normalise(std::string_view name) {
  auto x = folded(name);
  if (x.size() > bytes_max)
    return {};
  auto parts = parts_of(x);
  if (x.starts_with(':') || (!parts.type.empty() && !is_type(parts.type)))
    return {};
  if (parts.levels.size() < levels_min || !is_domain(parts.levels[0]))
    return {};
  for (auto& level : parts.levels)
    if (!is_literal_level(level))
      return {};
  return x;
}

std::optional<std::string> normalise_pattern(std::string_view pattern) {
  auto x = folded(pattern);
  if (x.ends_with('/'))
    x += '#'; // decisions 3: `P/` and `P/#` mean at least one level more
  if (x.size() > bytes_max)
    return {};
  auto parts = parts_of(x);
  if (x.starts_with(':') || (!parts.type.empty() && parts.type != "+" && !is_type(parts.type)))
    return {};
  auto& levels = parts.levels;
  if (levels[0] != "+" && !is_domain(levels[0]))
    return {};
  for (size_t i = 0; i < levels.size(); ++i) {
    auto last = i > 0 && i + 1 == levels.size();
    if (levels[i] != "+" && !(levels[i] == "#" && last) && !is_literal_level(levels[i]))
      return {};
  }
  return x;
}

bool covers(std::string_view pattern, std::string_view name) {
  auto p = parts_of(pattern);
  auto n = parts_of(name);
  // Decisions 3: names that contain wildcards are refused.
  if (n.type == "+" || name.find('#') != std::string_view::npos)
    return false;
  for (auto& level : n.levels)
    if (level.empty() || level == "+")
      return false;
  // A pattern without a type is for every type.
  if (!p.type.empty() && p.type != "+" && p.type != n.type)
    return false;
  auto more = p.levels.back() == "#"; // at least one level more
  if (more)
    p.levels.pop_back();
  if (n.levels.size() < p.levels.size() + (more ? 1 : 0))
    return false;
  for (size_t i = 0; i < n.levels.size(); ++i) {
    auto wild = i >= p.levels.size() || p.levels[i] == "+";
    if (wild ? !wildcard_matches(n.levels[i]) : p.levels[i] != n.levels[i])
      return false;
  }
  return true;
}

bool is_utf8(std::string_view x) {
  for (size_t i = 0; i < x.size();) {
    auto first = static_cast<uint8_t>(x[i]);
    size_t more = first < 0x80             ? 0
                  : (first & 0xe0) == 0xc0 ? 1
                  : (first & 0xf0) == 0xe0 ? 2
                  : (first & 0xf8) == 0xf0 ? 3
                                           : 4;
    if (more == 4 || i + more >= x.size())
      return false;
    uint32_t code = more == 0 ? first : first & (0x3fu >> more);
    for (size_t k = 1; k <= more; ++k) {
      auto c = static_cast<uint8_t>(x[i + k]);
      if ((c & 0xc0) != 0x80)
        return false;
      code = code << 6 | (c & 0x3fu);
    }
    constexpr uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    if (code < smallest[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
      return false;
    i += more + 1;
  }
  return true;
}

} // namespace rvi::simulation::reference
