// SPDX-License-Identifier: MPL-2.0
//
// The fast check is simdjson's; the slow walk says where a text goes wrong.

#include "runtime/json/utf8.hpp"

#include <simdjson.h>

#include <cassert>

namespace rvi::json {

bool is_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

size_t utf8_length(std::string_view text, size_t i) {
  auto at = [&](size_t n) { return n < text.size() ? uint8_t(text[n]) : uint8_t(0); };
  auto continues = [&](size_t n) { return (at(n) & 0xC0) == 0x80; };
  auto first = at(i);
  if (first < 0x80)
    return i < text.size() ? 1 : 0;
  if (first >= 0xC2 && first <= 0xDF)
    return continues(i + 1) ? 2 : 0;
  if ((first & 0xF0) == 0xE0) {
    auto second = at(i + 1);
    auto narrow = first == 0xE0 ? second >= 0xA0 : first == 0xED ? second < 0xA0 : true;
    return narrow && continues(i + 1) && continues(i + 2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    auto second = at(i + 1);
    auto narrow = first == 0xF0 ? second >= 0x90 : first == 0xF4 ? second < 0x90 : true;
    return narrow && continues(i + 1) && continues(i + 2) && continues(i + 3) ? 4 : 0;
  }
  return 0;
}

size_t utf8_valid_up_to(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    auto n = utf8_length(text, i);
    if (n == 0)
      return i;
    i += n;
  }
  return i;
}

void append_utf8(std::string& out, uint32_t code_point) {
  assert(code_point < 0x110000 && (code_point < 0xD800 || code_point > 0xDFFF));
  if (code_point < 0x80) {
    out += char(code_point);
    return;
  }
  if (code_point < 0x800) {
    out += char(0xC0 | code_point >> 6);
  } else {
    if (code_point < 0x10000) {
      out += char(0xE0 | code_point >> 12);
    } else {
      out += char(0xF0 | code_point >> 18);
      out += char(0x80 | (code_point >> 12 & 0x3F));
    }
    out += char(0x80 | (code_point >> 6 & 0x3F));
  }
  out += char(0x80 | (code_point & 0x3F));
}

} // namespace rvi::json
