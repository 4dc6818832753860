// SPDX-License-Identifier: MPL-2.0
//
// The report's number formats. A space before a unit never breaks a line.

#include "tools/simulation/report_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <iterator>

namespace rvi::simulation {

namespace {

constexpr const char* gap = "\u00a0";

/// `x` with so many digits after the point, without zeros at the end.
std::string decimal(double x, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, x);
  std::string result = buffer;
  if (result.find('.') != std::string::npos) {
    result.erase(result.find_last_not_of('0') + 1);
    if (result.back() == '.')
      result.pop_back();
  }
  return result;
}

/// `x` with so many digits in all.
std::string significant(double x, int digits) {
  if (x < 0.001)
    return "0";
  auto before = 1 + int(std::floor(std::log10(x)));
  return decimal(x, std::max(0, digits - before));
}

struct time_unit {
  uint64_t ms;
  const char* name;
};

constexpr time_unit time_units[]
  = {{86'400'000, "d"}, {3'600'000, "h"}, {60'000, "min"}, {1'000, "s"}, {1, "ms"}};

} // namespace

std::string escaped(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (auto c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        if ((uint8_t(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
          result += "\ufffd";
        else
          result += c;
    }
  }
  return result;
}

std::string grouped(uint64_t x) {
  auto result = std::to_string(x);
  for (auto i = int(result.size()) - 3; i > 0; i -= 3)
    result.insert(size_t(i), 1, ',');
  return result;
}

std::string compact(double x, double plain_max) {
  if (x < plain_max - 0.5)
    return x < 100 ? significant(x, 3) : grouped(uint64_t(std::llround(x)));
  constexpr std::array units{"k", "M", "G", "T", "P", "E"};
  size_t unit = 0;
  x /= 1'000;
  // What would round up to 1000 belongs to the next unit.
  while (x >= 999.5 && unit + 1 < units.size()) {
    x /= 1'000;
    ++unit;
  }
  return significant(x, 3) + gap + units[unit];
}

std::string byte_size(double x) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  while (x >= 1'000 && unit + 1 < units.size()) {
    x /= 1'024;
    ++unit;
  }
  return significant(x, 3) + gap + units[unit];
}

std::string share(uint64_t part, uint64_t whole) {
  if (whole == 0)
    return "–";
  auto percent = 100.0 * double(part) / double(whole);
  if (part > 0 && percent < 0.1)
    return std::string{"under"} + gap + "0.1" + gap + "%";
  if (part < whole && percent > 99.9)
    return std::string{"over"} + gap + "99.9" + gap + "%";
  return decimal(percent, 1) + gap + "%";
}

std::string rough_duration(double ms) {
  for (auto unit : time_units)
    if (ms >= double(unit.ms))
      return significant(ms / double(unit.ms), 2) + gap + unit.name;
  return std::string{"under 1"} + gap + "ms";
}

std::string duration(uint64_t ms) {
  for (size_t i = 0; i + 1 < std::size(time_units); ++i) {
    auto large = time_units[i];
    auto small = time_units[i + 1];
    if (ms < large.ms)
      continue;
    auto result = grouped(ms / large.ms) + gap + large.name;
    if (auto rest = ms % large.ms / small.ms; rest > 0)
      result += gap + std::to_string(rest) + gap + small.name;
    return result;
  }
  return std::to_string(ms) + gap + "ms";
}

std::string moment(uint64_t ms) {
  char buffer[32];
  auto seconds = ms / 1'000;
  std::snprintf(buffer, sizeof buffer, "%02u:%02u:%02u", unsigned(seconds / 3'600 % 24),
                unsigned(seconds / 60 % 60), unsigned(seconds % 60));
  if (auto days = seconds / 86'400; days > 0)
    return std::to_string(days) + gap + "d" + gap + buffer;
  return buffer;
}

} // namespace rvi::simulation
