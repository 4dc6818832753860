// SPDX-License-Identifier: MPL-2.0
//
// Characters, lists and headers (RFC 9110 5).

#include "runtime/http/message_reader.hpp"

#include <algorithm>
#include <array>

namespace rvi::http {

namespace {

constexpr auto token_table = [] {
  std::array<char, 256> result{};
  for (char x : std::string_view{"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"})
    result[static_cast<unsigned char>(x)] = x;
  for (char x = 'A'; x <= 'Z'; ++x)
    result[static_cast<unsigned char>(x)] = static_cast<char>(x - 'A' + 'a');
  return result;
}();

} // namespace

char token_char(char x) {
  return token_table[static_cast<unsigned char>(x)];
}

std::string_view trim(std::string_view x) {
  auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!x.empty() && blank(x.front()))
    x.remove_prefix(1);
  while (!x.empty() && blank(x.back()))
    x.remove_suffix(1);
  return x;
}

bool equal_ignoring_case(std::string_view x, std::string_view lowercase) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(x.begin(), x.end(), lowercase.begin(), lowercase.end(),
                    [&](char a, char b) { return lower(a) == b; });
}

bool has_token(std::string_view list, std::string_view lowercase) {
  while (!list.empty()) {
    auto comma = std::min(list.find(','), list.size());
    if (equal_ignoring_case(trim(list.substr(0, comma)), lowercase))
      return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

bool header_has_token(const header_list& headers, std::string_view name, std::string_view token) {
  return std::any_of(headers.begin(), headers.end(),
                     [&](auto& x) { return x.first == name && has_token(x.second, token); });
}

size_t count_headers(const header_list& headers, std::string_view lowercase_name) {
  return static_cast<size_t>(std::count_if(headers.begin(), headers.end(),
                                           [&](auto& x) { return x.first == lowercase_name; }));
}

std::string_view find_header(const header_list& headers, std::string_view lowercase_name) {
  for (auto& [name, value] : headers)
    if (name == lowercase_name)
      return value;
  return {};
}

std::string_view request::header(std::string_view lowercase_name) const {
  return find_header(headers, lowercase_name);
}

std::string_view response::header(std::string_view lowercase_name) const {
  return find_header(headers, lowercase_name);
}

} // namespace rvi::http
