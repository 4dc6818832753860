// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/reference_json.hpp"

#include "tools/simulation/reference_names.hpp"

#include <algorithm>

namespace rvi::simulation::reference {

namespace {

constexpr int depth_max = 8; // security design 3.2.5: "depth <= 8"

std::string utf8_of(uint32_t code) {
  std::string result;
  auto tail = [&](int shift) { result += static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) {
    result += static_cast<char>(code);
  } else if (code < 0x800) {
    result += static_cast<char>(0xc0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    result += static_cast<char>(0xe0 | code >> 12);
    tail(6);
    tail(0);
  } else {
    result += static_cast<char>(0xf0 | code >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
  return result;
}

/// Recursive descent over RFC 8259's grammar. Each function takes its part from the front of `rest`
/// and returns false if the text breaks the grammar.
struct reader {
  std::string_view rest;

  void skip_space() {
    while (!rest.empty() && std::string_view{" \t\n\r"}.find(rest[0]) != std::string_view::npos)
      rest.remove_prefix(1);
  }

  bool take(std::string_view x) {
    if (!rest.starts_with(x))
      return false;
    rest.remove_prefix(x.size());
    return true;
  }

  bool value(json& out, int depth) {
    skip_space();
    if (rest.empty())
      return false;
    if (rest[0] == '{' || rest[0] == '[') {
      if (depth >= depth_max)
        return false;
      return rest[0] == '{' ? object(out, depth + 1) : list(out, depth + 1);
    }
    if (rest[0] == '"') {
      out.what = json::form::text;
      return string(out.text);
    }
    if (take("null"))
      return true;
    out.boolean = rest[0] == 't';
    out.what = json::form::boolean;
    if (take("true") || take("false"))
      return true;
    return number(out);
  }

  bool object(json& out, int depth) {
    out.what = json::form::object;
    take("{");
    skip_space();
    if (take("}"))
      return true;
    do {
      skip_space();
      std::string name;
      json member;
      if (!string(name))
        return false;
      skip_space();
      if (!take(":") || !value(member, depth))
        return false;
      if (!out.object.emplace(name, std::move(member)).second)
        return false; // a duplicate
      skip_space();
    } while (take(","));
    return take("}");
  }

  bool list(json& out, int depth) {
    out.what = json::form::list;
    take("[");
    skip_space();
    if (take("]"))
      return true;
    do {
      if (!value(out.list.emplace_back(), depth))
        return false;
      skip_space();
    } while (take(","));
    return take("]");
  }

  bool string(std::string& out) {
    if (!take("\""))
      return false;
    while (!rest.empty()) {
      auto c = rest[0];
      if (static_cast<uint8_t>(c) < 0x20)
        return false;
      rest.remove_prefix(1);
      if (c == '"')
        return true;
      if (c != '\\')
        out += c;
      else if (!escape(out))
        return false;
    }
    return false;
  }

  bool escape(std::string& out) {
    if (rest.empty())
      return false;
    constexpr std::string_view names = "\"\\/bfnrt";
    constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
    auto c = rest[0];
    rest.remove_prefix(1);
    if (auto at = names.find(c); at != std::string_view::npos) {
      out += meanings[at];
      return true;
    }
    uint32_t code = 0;
    if (c != 'u' || !four_digits(code) || (code >= 0xdc00 && code <= 0xdfff))
      return false;
    if (code >= 0xd800 && code <= 0xdbff) {
      uint32_t low = 0;
      if (!take("\\u") || !four_digits(low) || low < 0xdc00 || low > 0xdfff)
        return false;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    out += utf8_of(code);
    return true;
  }

  bool four_digits(uint32_t& out) {
    constexpr std::string_view digits = "0123456789abcdef";
    out = 0;
    for (int i = 0; i < 4; ++i) {
      if (rest.empty())
        return false;
      auto c = rest[0] >= 'A' && rest[0] <= 'F' ? static_cast<char>(rest[0] + 32) : rest[0];
      auto at = digits.find(c);
      if (at == std::string_view::npos)
        return false;
      out = out * 16 + static_cast<uint32_t>(at);
      rest.remove_prefix(1);
    }
    return true;
  }

  /// -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
  bool number(json& out) {
    out.what = json::form::number;
    auto start = rest;
    take("-");
    if (!take("0") && !digits())
      return false;
    if (take(".") && !digits())
      return false;
    if (take("e") || take("E")) {
      if (!take("+"))
        take("-");
      if (!digits())
        return false;
    }
    out.text = start.substr(0, start.size() - rest.size());
    return true;
  }

  bool digits() {
    auto end = rest.find_first_not_of("0123456789");
    auto count = end == std::string_view::npos ? rest.size() : end;
    rest.remove_prefix(count);
    return count > 0;
  }
};

} // namespace

const json* json::member(const std::string& name) const {
  auto found = object.find(name);
  return found == object.end() ? nullptr : &found->second;
}

std::optional<std::string> json::string() const {
  return what == form::text ? std::optional{text} : std::nullopt;
}

std::optional<uint64_t> json::unsigned_integer() const {
  if (what != form::number || text.size() > 20)
    return {};
  uint64_t result = 0;
  for (auto c : text) {
    if (c < '0' || c > '9')
      return {};
    auto digit = static_cast<uint64_t>(c - '0');
    if (result > (UINT64_MAX - digit) / 10)
      return {};
    result = result * 10 + digit;
  }
  return result;
}

std::optional<std::vector<std::string>> json::strings() const {
  if (what != form::list)
    return {};
  std::vector<std::string> result;
  for (auto& x : list) {
    if (x.what != form::text)
      return {};
    result.push_back(x.text);
  }
  return result;
}

std::optional<json> read_json(std::string_view text) {
  if (!is_utf8(text))
    return {};
  json result;
  reader in{text};
  if (!in.value(result, 0))
    return {};
  in.skip_space();
  return in.rest.empty() ? std::optional{std::move(result)} : std::nullopt;
}

std::optional<std::string> read_base64url(std::string_view text) {
  constexpr std::string_view symbols
    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string result;
  uint32_t bits = 0;
  int count = 0;
  for (auto c : text) {
    auto at = symbols.find(c);
    if (at == std::string_view::npos)
      return {};
    bits = bits << 6 | static_cast<uint32_t>(at);
    count += 6;
    if (count >= 8) {
      count -= 8;
      result += static_cast<char>(bits >> count & 0xff);
      bits &= (1u << count) - 1;
    }
  }
  // A rest of six bits is a symbol that says nothing; other rests must be zero.
  if (count == 6 || bits != 0)
    return {};
  return result;
}

} // namespace rvi::simulation::reference
