// SPDX-License-Identifier: MPL-2.0
//
// Times and durations: reading is strict, a text that means nothing is an error.

#include "tools/times.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <utility>

namespace rvi {

namespace {

struct unit {
  std::string_view name;
  uint64_t factor;
};

constexpr std::array duration_units
  = {unit{"ms", 1},     unit{"s", 1'000},     unit{"", 1'000},
     unit{"m", 60'000}, unit{"h", 3'600'000}, unit{"d", 86'400'000}};
constexpr std::array shown_units
  = {unit{"day", 86'400}, unit{"hour", 3'600}, unit{"minute", 60}, unit{"second", 1}};
constexpr uint64_t year_9999_s = 253'402'300'799;

caf::error wrong(std::string why) {
  return caf::make_error(ec::bad_request, std::move(why));
}

/// A fixed number of digits at `i`, which moves behind them.
bool take_digits(std::string_view text, size_t& i, size_t count, int& out) {
  if (text.size() < i + count)
    return false;
  auto end = text.data() + i + count;
  auto [stop, error] = std::from_chars(text.data() + i, end, out);
  i += count;
  return error == std::errc{} && stop == end && out >= 0;
}

bool take(std::string_view text, size_t& i, char wanted) {
  if (i >= text.size() || text[i] != wanted)
    return false;
  ++i;
  return true;
}

/// The zone's offset in seconds: "Z", "+01:00".
bool take_zone(std::string_view text, size_t& i, int& offset_s) {
  if (take(text, i, 'Z') || take(text, i, 'z'))
    return true;
  int sign = take(text, i, '+') ? 1 : take(text, i, '-') ? -1 : 0;
  int hours = 0;
  int minutes = 0;
  if (sign == 0 || !take_digits(text, i, 2, hours) || !take(text, i, ':')
      || !take_digits(text, i, 2, minutes) || hours > 23 || minutes > 59)
    return false;
  offset_s = sign * (hours * 3'600 + minutes * 60);
  return true;
}

bool read_rfc3339(std::string_view text, int64_t& out) {
  std::tm t{};
  size_t i = 0;
  int offset_s = 0;
  if (!take_digits(text, i, 4, t.tm_year) || !take(text, i, '-')
      || !take_digits(text, i, 2, t.tm_mon) || !take(text, i, '-')
      || !take_digits(text, i, 2, t.tm_mday))
    return false;
  if (i < text.size()) {
    if (!take(text, i, 'T') && !take(text, i, 't') && !take(text, i, ' '))
      return false;
    if (!take_digits(text, i, 2, t.tm_hour) || !take(text, i, ':')
        || !take_digits(text, i, 2, t.tm_min) || !take(text, i, ':')
        || !take_digits(text, i, 2, t.tm_sec) || !take_zone(text, i, offset_s) || i != text.size())
      return false;
  }
  t.tm_year -= 1'900;
  t.tm_mon -= 1;
  auto wanted = t;
  auto seconds = timegm(&t); // normalises, so that the 31st of June differs afterwards
  if (t.tm_mday != wanted.tm_mday || t.tm_mon != wanted.tm_mon || t.tm_hour != wanted.tm_hour
      || t.tm_min != wanted.tm_min || t.tm_sec != wanted.tm_sec)
    return false;
  out = int64_t(seconds) - offset_s;
  return out >= 0;
}

uint64_t read_clock(clockid_t clock, uint64_t per_second) {
  timespec now{};
  clock_gettime(clock, &now);
  return uint64_t(now.tv_sec) * per_second + uint64_t(now.tv_nsec) / (1'000'000'000 / per_second);
}

} // namespace

expected<uint64_t> parse_duration_ms(std::string_view text) {
  uint64_t number = 0;
  auto end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, number);
  std::string_view name{stop, size_t(end - stop)};
  uint64_t result = 0;
  if (error == std::errc{})
    for (auto& x : duration_units)
      if (x.name == name && !__builtin_mul_overflow(number, x.factor, &result))
        return result;
  return wrong("\"" + std::string{text} + "\" is no duration such as 500ms, 30s, 2m, 1h or 7d");
}

expected<uint64_t> parse_time_s(std::string_view text) {
  uint64_t seconds = 0;
  auto end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, seconds);
  if (error == std::errc{} && stop == end && seconds <= year_9999_s)
    return seconds;
  int64_t read = 0;
  if (read_rfc3339(text, read))
    return uint64_t(read);
  return wrong("\"" + std::string{text}
               + "\" is no time such as 2026-01-31T12:00:00Z, 2026-01-31 or Unix seconds");
}

std::string show_time(uint64_t unix_s) {
  if (unix_s > year_9999_s)
    return std::to_string(unix_s);
  auto seconds = time_t(unix_s);
  std::tm t{};
  gmtime_r(&seconds, &t);
  char buffer[32];
  auto size = std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%SZ", &t);
  return {buffer, size};
}

std::string show_duration(uint64_t seconds) {
  std::string result;
  int parts = 0;
  for (auto& x : shown_units) {
    auto count = seconds / x.factor;
    seconds %= x.factor;
    if (count == 0 || parts == 2)
      continue;
    result += (parts++ ? " " : "") + std::to_string(count) + " " + std::string{x.name}
              + (count == 1 ? "" : "s");
  }
  return result.empty() ? "0 seconds" : result;
}

uint64_t wall_now_ms() {
  return read_clock(CLOCK_REALTIME, 1'000);
}

uint64_t steady_now_us() {
  return read_clock(CLOCK_MONOTONIC, 1'000'000);
}

} // namespace rvi
