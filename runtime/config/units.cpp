// SPDX-License-Identifier: MPL-2.0
//
// Times, sizes, strings and names as a configuration writes them.

#include "runtime/config/content.hpp"
#include "runtime/json/json.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

namespace rvi::config::detail {

namespace {

struct unit {
  std::string_view name;
  uint64_t factor;
};

// The largest first.
constexpr std::array time_units = {unit{"d", 86'400'000}, unit{"h", 3'600'000}, unit{"m", 60'000},
                                   unit{"s", 1000}, unit{"ms", 1}};
constexpr std::array size_units
  = {unit{"GiB", 1 << 30}, unit{"MiB", 1 << 20}, unit{"KiB", 1 << 10}, unit{"B", 1}};

std::optional<uint64_t> parse_units(std::string_view text, std::span<const unit> units) {
  uint64_t number = 0;
  auto end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{})
    return std::nullopt;
  auto name = std::string_view(stop, size_t(end - stop));
  for (auto& x : units) {
    uint64_t result = 0;
    if (x.name == name && !__builtin_mul_overflow(number, x.factor, &result))
      return result;
  }
  return std::nullopt;
}

const unit& best_unit(uint64_t x, std::span<const unit> units) {
  for (auto& candidate : units)
    if (x != 0 && x % candidate.factor == 0)
      return candidate;
  return units.back();
}

/// Changes from one word to the other; two letters swapped are one change.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i)
    d[i][0] = i;
  for (size_t k = 0; k <= b.size(); ++k)
    d[0][k] = k;
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t k = 1; k <= b.size(); ++k) {
      auto differs = size_t(a[i - 1] != b[k - 1]);
      d[i][k] = std::min({d[i - 1][k] + 1, d[i][k - 1] + 1, d[i - 1][k - 1] + differs});
      if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
        d[i][k] = std::min(d[i][k], d[i - 2][k - 2] + 1);
    }
  return d[a.size()][b.size()];
}

bool is_bare(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
           || c == '-';
  });
}

} // namespace

std::optional<uint64_t> parse_milliseconds(std::string_view text) {
  return parse_units(text, time_units);
}

std::optional<uint64_t> parse_bytes(std::string_view text) {
  return parse_units(text, size_units);
}

std::string show_milliseconds(uint64_t x) {
  auto& unit = best_unit(x, time_units);
  return std::to_string(x / unit.factor).append(unit.name);
}

std::string show_bytes(uint64_t x) {
  auto& unit = best_unit(x, size_units);
  return std::to_string(x / unit.factor).append(unit.name);
}

std::string quote(std::string_view text) {
  std::string json;
  json::append_string(json, text);
  std::string result;
  for (auto c : json)
    if (c == '\x7f')
      result += "\\u007f"; // a control character to TOML, but not to JSON
    else
      result += c;
  return result;
}

std::string join(const std::string& path, std::string_view key) {
  auto last = is_bare(key) ? std::string(key) : quote(key);
  return path.empty() ? last : path + '.' + last;
}

std::string nearest(std::string_view wrong, const std::vector<std::string>& words) {
  constexpr size_t length_max = 64;
  std::string result;
  auto best = std::max<size_t>(1, wrong.size() / 3) + 1;
  if (wrong.size() > length_max)
    return result;
  for (auto& word : words)
    if (auto n = distance(wrong, word); n < best) {
      best = n;
      result = word;
    }
  return result;
}

} // namespace rvi::config::detail
