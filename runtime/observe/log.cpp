// SPDX-License-Identifier: MPL-2.0
//
// Builds each line here and hands it to an spdlog sink as it is.

#include "runtime/observe/log.hpp"

#include "runtime/json/json.hpp"
#include "runtime/json/utf8.hpp"

#include <array>
#include <chrono>
#include <ctime>
#include <fmt/format.h>
#include <mutex>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace rvi::log {

namespace {

constexpr std::array names = {"debug", "info", "warning", "error", "off"};

struct destination {
  std::shared_ptr<spdlog::sinks::sink> sink;
  log::format format = format::text;
};

std::shared_ptr<spdlog::sinks::sink> as_it_is(std::shared_ptr<spdlog::sinks::sink> sink) {
  sink->set_formatter(std::make_unique<spdlog::pattern_formatter>("%v"));
  return sink;
}

struct {
  std::mutex mutex;
  destination current;
} shared;

destination current_destination() {
  std::lock_guard guard(shared.mutex);
  if (!shared.current.sink)
    shared.current.sink = as_it_is(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  return shared.current;
}

/// RFC 3339 in UTC with milliseconds.
void append_time(std::string& out) {
  auto now = std::chrono::system_clock::now();
  auto since_epoch = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  auto seconds = std::chrono::system_clock::to_time_t(now);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                 utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                 utc.tm_sec, since_epoch.count() % 1000);
}

/// Whether the character at `i` would control a terminal: C0, DEL and C1.
bool is_control(std::string_view text, size_t i) {
  auto c = uint8_t(text[i]);
  return c < 0x20 || c == 0x7F || (c == 0xC2 && i + 1 < text.size() && uint8_t(text[i + 1]) < 0xA0);
}

/// Like a JSON string without its quotes; keeps `"` and `\` if they do no harm there.
void append_escaped(std::string& out, std::string_view text, bool within_quotes) {
  for (size_t i = 0; i < text.size();) {
    auto length = json::utf8_length(text, i);
    if (length == 0) {
      out += "\xEF\xBF\xBD"; // U+FFFD
      ++i;
      continue;
    }
    auto c = text[i];
    if (is_control(text, i)) {
      if (c == '\n' || c == '\r' || c == '\t')
        out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
      else
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", uint8_t(text[i + length - 1]));
    } else {
      if (within_quotes && (c == '"' || c == '\\'))
        out += '\\';
      out.append(text, i, length);
    }
    i += length;
  }
}

bool needs_quotes(std::string_view text) {
  if (text.empty() || !json::is_utf8(text))
    return true;
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == ' ' || text[i] == '"' || text[i] == '=' || text[i] == '\\'
        || is_control(text, i))
      return true;
  return false;
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  append_escaped(out, text, true);
  out += '"';
}

} // namespace

std::atomic<level> detail::threshold = level::info;

/// One record on its way to the sink.
class line {
public:
  line(level level, std::string_view component, std::string_view message, fields fields)
    : level_(level),
      component_(component),
      message_(message),
      fields_(fields) {}

  std::string as_text() const {
    std::string out;
    append_time(out);
    out.append(" ").append(to_string(level_)).append(" ");
    append_escaped(out, component_, false);
    out += ' ';
    append_escaped(out, message_, false);
    for (auto& x : fields_) {
      out += ' ';
      append_escaped(out, x.key_, false);
      out += '=';
      if (x.type_ == field::type::text && needs_quotes(x.text_))
        append_quoted(out, x.text_);
      else
        append_value(out, x);
    }
    return out;
  }

  std::string as_json() const {
    std::string out = "{\"time\":\"";
    append_time(out);
    out.append("\",\"level\":\"").append(to_string(level_)).append("\",\"component\":");
    append_quoted(out, component_);
    out += ",\"message\":";
    append_quoted(out, message_);
    for (auto& x : fields_) {
      out += ',';
      append_quoted(out, x.key_);
      out += ':';
      if (x.type_ == field::type::text)
        append_quoted(out, x.text_);
      else
        append_value(out, x);
    }
    out += '}';
    return out;
  }

private:
  static void append_value(std::string& out, const field& x) {
    if (x.type_ == field::type::signed_number)
      out += std::to_string(int64_t(x.number_));
    else if (x.type_ == field::type::unsigned_number)
      out += std::to_string(x.number_);
    else
      out += x.text_;
  }

  level level_;
  std::string_view component_;
  std::string_view message_;
  fields fields_;
};

const char* to_string(level x) {
  return names[size_t(x)];
}

std::optional<level> level_of(std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i)
    if (name == names[i])
      return level(i);
  return std::nullopt;
}

caf::error configure(level threshold, format format, const std::optional<std::string>& path) {
  destination next;
  next.format = format;
  try {
    if (path)
      next.sink = as_it_is(std::make_shared<spdlog::sinks::basic_file_sink_mt>(*path));
    else
      next.sink = as_it_is(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  } catch (const spdlog::spdlog_ex& error) {
    return caf::make_error(ec::io_failed, std::string(error.what()));
  }
  std::lock_guard guard(shared.mutex);
  shared.current = std::move(next);
  detail::threshold = threshold;
  return {};
}

void write(level level, std::string_view component, std::string_view message, fields fields) {
  if (!enabled(level))
    return;
  auto to = current_destination();
  line record(level, component, message, fields);
  auto text = to.format == format::json ? record.as_json() : record.as_text();
  spdlog::details::log_msg message_as_it_is(spdlog::string_view_t{}, spdlog::level::info, text);
  try {
    to.sink->log(message_as_it_is);
    to.sink->flush();
  } catch (const spdlog::spdlog_ex&) {
    // A full disk; the node goes on without its log.
  }
}

} // namespace rvi::log
