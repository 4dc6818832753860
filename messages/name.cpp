// SPDX-License-Identifier: MPL-2.0
//
// Names and patterns are read level by level in place; only the two normalising functions allocate.
//
// What a pattern covers (credential semantics) has a simple shape: a sequence of levels, each a
// literal or "any open level", followed by any number of open levels. A level is open if it is
// neither reserved nor internal ($). A trailing # is one more open level. Containment is therefore
// a comparison level by level; a reserved or internal literal of the inner pattern needs the same
// literal in the outer one.

#include "messages/name.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace rvi {

namespace {

constexpr size_t label_bytes_max = 63;   // RFC 1035, 2.3.4
constexpr size_t domain_bytes_max = 253; // the text form of RFC 1035's 255 octets
constexpr size_t phone_digits_max = 15;  // E.164
constexpr std::string_view any_level = "+";
constexpr std::string_view rest_levels = "#";
constexpr std::array<std::string_view, 4> reserved_levels = {
  "provisioning",
  "trust",
  "sota",
  "admin",
};

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

constexpr bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

constexpr std::array<bool, 256> allowed_bytes = [] {
  std::array<bool, 256> result{};
  for (int c = 0; c < 256; ++c)
    result[size_t(c)] = is_letter(char(c)) || is_digit(char(c));
  for (char c : std::string_view{"._~@:+-"})
    result[static_cast<unsigned char>(c)] = true;
  return result;
}();

constexpr std::array<bool, 256> plain_bytes = [] {
  auto result = allowed_bytes;
  for (char c = 'A'; c <= 'Z'; ++c)
    result[size_t(c)] = false;
  result[size_t('+')] = false;
  return result;
}();

/// A name or pattern cut at its type's colon.
struct typed_path {
  std::string_view type; // empty if there is none
  std::string_view path;
  bool has_type = false;
};

typed_path split_type(std::string_view x) {
  auto colon = x.find(':');
  if (colon == std::string_view::npos || x.find('/') < colon)
    return {{}, x, false};
  return {x.substr(0, colon), x.substr(colon + 1), true};
}

class level_reader {
public:
  explicit level_reader(std::string_view path) : rest_(path) {}

  bool next(std::string_view& level) {
    if (done_)
      return false;
    auto slash = rest_.find('/');
    done_ = slash == std::string_view::npos;
    level = rest_.substr(0, slash);
    if (!done_)
      rest_.remove_prefix(slash + 1);
    return true;
  }

  bool done() const { return done_; }

private:
  std::string_view rest_;
  bool done_ = false;
};

bool is_reserved_level(std::string_view level) {
  for (auto& x : reserved_levels)
    if (level == x)
      return true;
  return false;
}

/// Whether a wildcard may stand for this level of a name.
bool is_open(std::string_view level) {
  return !level.empty() && level != any_level && level.front() != '$' && !is_reserved_level(level);
}

bool rest_is_open(level_reader& levels) {
  std::string_view level;
  while (levels.next(level))
    if (!is_open(level))
      return false;
  return true;
}

/// Whether a name's level fits one level of a pattern that is not `#`.
bool fits(std::string_view pattern_level, std::string_view level) {
  if (pattern_level == any_level)
    return is_open(level);
  return pattern_level == level && !level.empty();
}

bool is_any_type(const typed_path& x) {
  return !x.has_type || x.type == any_level;
}

bool type_fits(const typed_path& pattern, const typed_path& name) {
  if (name.has_type && name.type == any_level)
    return false;
  return is_any_type(pattern) || (name.has_type && pattern.type == name.type);
}

/// No wildcard can hide in what passes this and `fits`.
bool may_be_name(std::string_view x) {
  return !x.empty() && x.find('#') == std::string_view::npos;
}

// -- checking -----------------------------------------------------------------------------------

caf::error invalid(std::string detail) {
  return caf::make_error(ec::invalid_name, std::move(detail));
}

caf::error invalid_level(size_t number, const std::string& what) {
  return invalid("level " + std::to_string(number) + " " + what);
}

/// RFC 1035, 2.3.1: labels begin with a letter and end with a letter or digit.
bool is_domain(std::string_view x) {
  if (x.empty() || x.size() > domain_bytes_max)
    return false;
  while (true) {
    auto dot = x.find('.');
    auto label = x.substr(0, dot);
    if (label.empty() || label.size() > label_bytes_max || !is_letter(label.front())
        || label.back() == '-')
      return false;
    for (char c : label)
      if (!is_letter(c) && !is_digit(c) && c != '-')
        return false;
    if (dot == std::string_view::npos)
      return true;
    x.remove_prefix(dot + 1);
  }
}

bool is_phone_number(std::string_view level) {
  if (level.size() < 2 || level.size() > phone_digits_max + 1 || level.front() != '+')
    return false;
  for (char c : level.substr(1))
    if (!is_digit(c))
      return false;
  return true;
}

std::string byte_text(char c) {
  char text[8];
  std::snprintf(text, sizeof text, "0x%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
  return text;
}

/// One level of a name, or a literal level of a pattern.
caf::error check_literal(std::string_view level, size_t number) {
  if (level.empty())
    return invalid_level(number, "is empty");
  for (char c : level) {
    if (c == '#')
      return invalid_level(number, "has a # (only in patterns, after the last slash)");
    if (!allowed_bytes[static_cast<unsigned char>(c)])
      return invalid_level(number, "has the byte " + byte_text(c) + ", which is not allowed");
  }
  if (level.find('+') != std::string_view::npos && !is_phone_number(level))
    return invalid_level(number, "has a + which does not begin a phone number");
  if (number == 1 && !is_domain(level))
    return invalid_level(number, "is not a domain name (RFC 1035)");
  return {};
}

std::optional<name_type> parse_type(std::string_view x) {
  if (x == "rpc")
    return name_type::rpc;
  if (x == "message")
    return name_type::message;
  if (x == "metric")
    return name_type::metric;
  return std::nullopt;
}

void fold(std::string& x) {
  for (auto& c : x)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
}

/// Length and type; the text comes folded.
caf::error check_head(std::string_view x, bool is_pattern) {
  if (x.empty())
    return invalid("is empty");
  if (x.size() > name_bytes_max)
    return invalid("is longer than " + std::to_string(name_bytes_max) + " bytes");
  auto parts = split_type(x);
  if (!parts.has_type || parse_type(parts.type) || (is_pattern && parts.type == any_level))
    return {};
  return invalid("has an unknown type (rpc, message and metric are known)");
}

caf::error check_pattern_levels(std::string_view path) {
  level_reader levels{path};
  std::string_view level;
  for (size_t number = 1; levels.next(level); ++number) {
    if (level == rest_levels && levels.done() && number > 1)
      return {};
    if (level == any_level)
      continue;
    if (auto failure = check_literal(level, number))
      return failure;
  }
  return {};
}

} // namespace

const char* to_string(name_type x) {
  switch (x) {
    case name_type::rpc:
      return "rpc";
    case name_type::message:
      return "message";
    case name_type::metric:
      return "metric";
  }
  return "unknown";
}

namespace {

/// A name without wildcards; the text comes folded.
caf::error check_folded(std::string_view x, size_t levels_min) {
  if (auto failure = check_head(x, false))
    return failure;
  level_reader levels{split_type(x).path};
  std::string_view level;
  size_t count = 0;
  while (levels.next(level))
    if (auto failure = check_literal(level, ++count))
      return failure;
  if (count < levels_min)
    return invalid("has fewer than " + std::to_string(levels_min) + " levels");
  return {};
}

/// In one pass, as each request brings several: true for what is folded and right beyond doubt. Not
/// for all of it: phone numbers and errors take the longer way.
bool is_plain(std::string_view x, size_t levels_min) {
  auto parts = split_type(x);
  if (x.size() > name_bytes_max || (parts.has_type && !parse_type(parts.type)))
    return false;
  size_t levels = 1;
  bool empty = true;
  for (char c : parts.path) {
    if (c == '/') {
      if (empty)
        return false;
      ++levels;
    } else if (!plain_bytes[static_cast<unsigned char>(c)]) {
      return false;
    }
    empty = c == '/';
  }
  return !empty && levels >= levels_min && is_domain(parts.path.substr(0, parts.path.find('/')));
}

/// Both kinds of literal text: checked and folded.
expected<std::string> normalise_literal(std::string_view x, size_t levels_min) {
  if (x.size() > name_bytes_max) // before copying it
    return check_head(x, false);
  if (is_plain(x, levels_min))
    return std::string{x};
  std::string result{x};
  fold(result);
  if (auto failure = check_folded(result, levels_min))
    return failure;
  return result;
}

} // namespace

expected<std::string> normalise_name(std::string_view x) {
  return normalise_literal(x, name_levels_min);
}

bool is_normal_name(std::string_view x) {
  return is_plain(x, name_levels_min)
         || (std::none_of(x.begin(), x.end(), [](char c) { return c >= 'A' && c <= 'Z'; })
             && !check_folded(x, name_levels_min));
}

expected<std::string> normalise_node_address(std::string_view x) {
  auto result = normalise_literal(x, node_address_levels_min);
  if (result && type_of(*result))
    return invalid("has a type prefix, which a node address has not");
  return result;
}

expected<std::string> normalise_pattern(std::string_view x) {
  if (x.size() > name_bytes_max)
    return check_head(x, true);
  std::string result{x};
  fold(result);
  if (result.ends_with('/'))
    result += rest_levels;
  if (auto failure = check_head(result, true))
    return failure;
  if (auto failure = check_pattern_levels(split_type(result).path))
    return failure;
  return result;
}

std::optional<name_type> type_of(std::string_view name) {
  return parse_type(split_type(name).type);
}

std::string_view without_type(std::string_view name) {
  return split_type(name).path;
}

bool is_organization(std::string_view x) {
  return is_domain(x)
         && std::none_of(x.begin(), x.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

std::string_view organization_of(std::string_view name_or_pattern) {
  auto path = without_type(name_or_pattern);
  return path.substr(0, path.find('/'));
}

bool is_below(std::string_view name, std::string_view prefix) {
  auto path = without_type(name);
  auto above = without_type(prefix);
  if (above.empty() || !path.starts_with(above))
    return false;
  return path.size() == above.size() || path[above.size()] == '/';
}

bool covers(std::string_view pattern, std::string_view name) {
  auto outer = split_type(pattern);
  auto inner = split_type(name);
  if (!may_be_name(name) || !type_fits(outer, inner))
    return false;
  level_reader wanted{outer.path};
  level_reader given{inner.path};
  std::string_view pattern_level;
  std::string_view level;
  while (wanted.next(pattern_level)) {
    if (!given.next(level))
      return false;
    if (pattern_level == rest_levels)
      return wanted.done() && is_open(level) && rest_is_open(given);
    if (level == any_level || !fits(pattern_level, level))
      return false;
  }
  return rest_is_open(given);
}

bool matches(std::string_view pattern, std::string_view name) {
  auto outer = split_type(pattern);
  auto inner = split_type(name);
  if (!may_be_name(name) || !type_fits(outer, inner))
    return false;
  level_reader wanted{outer.path};
  level_reader given{inner.path};
  std::string_view pattern_level;
  std::string_view level;
  while (wanted.next(pattern_level)) {
    if (pattern_level == rest_levels)
      return wanted.done() && rest_is_open(given);
    if (!given.next(level) || level == any_level || !fits(pattern_level, level))
      return false;
  }
  return given.done();
}

bool contains(std::string_view outer, std::string_view inner) {
  auto out = split_type(outer);
  auto in = split_type(inner);
  if (!is_any_type(out) && (!in.has_type || in.type != out.type))
    return false;
  level_reader wanted{out.path};
  level_reader given{in.path};
  std::string_view outer_level = any_level;
  std::string_view inner_level;
  while (given.next(inner_level)) {
    if (inner_level == rest_levels) {
      if (!given.done())
        return false;
      inner_level = any_level;
    }
    // Beyond its end the outer pattern takes open levels only, as a wildcard does.
    if (!wanted.next(outer_level))
      outer_level = any_level;
    if (outer_level == rest_levels) {
      if (!wanted.done())
        return false;
      outer_level = any_level;
    }
    if (outer_level == any_level ? inner_level != any_level && !is_open(inner_level)
                                 : outer_level != inner_level || inner_level.empty())
      return false;
  }
  return wanted.done();
}

bool is_reserved(std::string_view name) {
  level_reader levels{without_type(name)};
  std::string_view level;
  while (levels.next(level))
    if (is_reserved_level(level))
      return true;
  return false;
}

} // namespace rvi
