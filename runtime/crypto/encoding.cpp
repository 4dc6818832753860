// SPDX-License-Identifier: MPL-2.0
//
// Hexadecimal and base64 in both alphabets. Only the canonical text of each byte string decodes, so
// that a text can stand for its bytes in comparisons and signatures.

#include "runtime/crypto/crypto.hpp"

#include <array>

namespace rvi::crypto {

namespace {

using alphabet = char[65];

constexpr alphabet url_alphabet
  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr alphabet plain_alphabet
  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr uint8_t no_symbol = 0xff;
using value_table = std::array<uint8_t, 256>;

consteval value_table values_of(const alphabet& symbols) {
  value_table result;
  result.fill(no_symbol);
  for (uint8_t i = 0; i < 64; ++i)
    result[uint8_t(symbols[i])] = i;
  return result;
}

constexpr auto url_values = values_of(url_alphabet);
constexpr auto plain_values = values_of(plain_alphabet);

/// Without padding.
std::string encode(std::string_view x, const alphabet& symbols) {
  std::string result;
  result.reserve((x.size() * 4 + 2) / 3 + 2);
  uint32_t buffer = 0;
  int bits = 0;
  for (char c : x) {
    buffer = buffer << 8 | uint8_t(c);
    for (bits += 8; bits >= 6; bits -= 6)
      result += symbols[buffer >> (bits - 6) & 63];
  }
  if (bits > 0)
    result += symbols[buffer << (6 - bits) & 63];
  return result;
}

/// `x` is without padding.
expected<std::string> decode(std::string_view x, const value_table& values) {
  auto refuse = [](const char* why) { return caf::make_error(ec::malformed, std::string{why}); };
  if (x.size() % 4 == 1)
    return refuse("not a length of base64");
  std::string result;
  result.reserve(x.size() * 3 / 4);
  uint32_t buffer = 0;
  int bits = 0;
  for (char c : x) {
    auto value = values[uint8_t(c)];
    if (value == no_symbol)
      return refuse("not a base64 symbol");
    buffer = buffer << 6 | value;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      result += char(buffer >> bits & 0xff);
    }
  }
  if ((buffer & ((1u << bits) - 1)) != 0)
    return refuse("unused base64 bits are set");
  return result;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

} // namespace

std::string hex(std::string_view x) {
  constexpr char digits[] = "0123456789abcdef";
  std::string result;
  result.reserve(x.size() * 2);
  for (char c : x) {
    result += digits[uint8_t(c) >> 4];
    result += digits[uint8_t(c) & 15];
  }
  return result;
}

expected<std::string> unhex(std::string_view x) {
  std::string result;
  result.reserve(x.size() / 2);
  if (x.size() % 2 != 0)
    return caf::make_error(ec::malformed, std::string{"an odd number of hex digits"});
  for (size_t i = 0; i < x.size(); i += 2) {
    auto high = hex_value(x[i]);
    auto low = hex_value(x[i + 1]);
    if (high < 0 || low < 0)
      return caf::make_error(ec::malformed, std::string{"not a hex digit"});
    result += char(high << 4 | low);
  }
  return result;
}

std::string base64url(std::string_view x) {
  return encode(x, url_alphabet);
}

expected<std::string> unbase64url(std::string_view x) {
  return decode(x, url_values);
}

std::string base64(std::string_view x) {
  auto result = encode(x, plain_alphabet);
  result.append((4 - result.size() % 4) % 4, '=');
  return result;
}

expected<std::string> unbase64(std::string_view x) {
  if (x.size() % 4 != 0)
    return caf::make_error(ec::malformed, std::string{"not a length of base64"});
  // A third '=' stays and is refused as no symbol.
  for (int i = 0; i < 2 && x.ends_with('='); ++i)
    x.remove_suffix(1);
  return decode(x, plain_values);
}

} // namespace rvi::crypto
