// SPDX-License-Identifier: MPL-2.0
//
// The node's audit trail: who was refused, what rights were given and taken, alarms, and what the
// node's key signed. One JSON object a line, in the order of `seq`; each line has the SHA-256 of
// the line before it as `previous`, so that a line changed, taken out or put in shows. A trail goes
// on in the next file when it is full, and after a restart where it ended.

#pragma once

#include "runtime/error.hpp"

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::audit {

/// A named value; a name that the record has already gets a `_` behind it. It does not own its
/// text: build fields in the call only.
struct field {
  field(std::string_view key, std::string_view value) : key(key), text(value) {}
  field(std::string_view key, const std::string& value) : key(key), text(value) {}
  field(std::string_view key, const char* value) : key(key), text(value) {}
  field(std::string_view key, std::unsigned_integral auto value) : key(key), number(value) {}

  std::string_view key;
  std::string_view text;
  std::optional<uint64_t> number;
};
using fields = std::initializer_list<field>;

struct settings {
  std::string path;                 // the newest file; older ones are path.1, path.2, ...
  uint64_t bytes_max = 16 << 20;    // of one file
  uint32_t files_max = 8;           // then the oldest goes
  uint32_t records_per_s_max = 200; // more are counted, and the count is recorded
};

/// Opens the trail of this process, made with mode 0600, and records `opened`. A line that a crash
/// cut short is taken off first; `opened` says so. Errors: `io_failed`, `file_unsafe` if others
/// could write it.
caf::error open(settings x);
/// Ends it; nothing is recorded after.
void close();

/// Any thread; written before it returns. Nothing happens if no trail is open. A trail that cannot
/// be written is reported in the log, once.
void record(std::string_view event, fields fields = {});

/// Records `refused`: what was, whatever names it, and why not.
void refused(std::string_view what, const caf::error& why, fields more = {});

/// What reading a trail found.
struct verdict {
  uint64_t records = 0;
  uint64_t first_seq = 0; // over 1: older files are gone
  uint64_t last_seq = 0;
  std::string last_hash; // of the last line, hex
  std::string broken;    // where the chain breaks and how; empty: it holds
};

/// Reads all files of a trail, oldest first, and gives each line to `visit`, as written. Goes on
/// after a break. Errors: `not_found`, `io_failed`.
expected<verdict>
read(const std::string& path, const std::function<void(std::string_view line)>& visit);

} // namespace rvi::audit
