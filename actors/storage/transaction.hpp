// SPDX-License-Identifier: MPL-2.0
//
// What a step of work may do inside one transaction of the store. Steps see only this, so that they
// run the same on LMDB and on the memory disk of the tests.

#pragma once

#include "runtime/error.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace rvi {

/// The tables of a node's store. Append only: the order is part of the store format.
enum class table : uint8_t {
  meta,          // format, epoch and other single values
  records,       // requests and replies
  ids,           // ids already seen
  queue,         // what waits, in order of delivery
  due,           // what expires, in order of time
  names,         // service names and their ids
  dispatched,    // handed over, receipt outstanding
  nodes,         // what is known about other nodes
  known_nodes,   // nodes met before and their services
  dead,          // dead letters, in order of time
  subscriptions, // to metrics, by service
  retained,      // metrics that outlive a restart
  pieces,        // large arguments, piece by piece
  partials,      // large requests and replies that are on their way here
  services,      // ids that local services gave their requests
};

/// The names of the tables in LMDB, in the order of `table`.
inline constexpr std::array<const char*, 15> table_names = {
  "meta",          "records",    "ids",    "queue",       "due",
  "names",         "dispatched", "nodes",  "known_nodes", "dead",
  "subscriptions", "retained",   "pieces", "partials",    "services",
};
static_assert(table_names.size() == static_cast<size_t>(table::services) + 1);

inline const char* to_string(table x) {
  auto i = static_cast<size_t>(x);
  return i < table_names.size() ? table_names[i] : "unknown";
}

/// Reads and changes of one transaction. Keys have 1 to 511 bytes (`too_large`). Every read sees
/// the changes made before it. A failed change fails its step, whatever the step returns. In a step
/// that only reads, changes are refused with `internal`.
class transaction {
public:
  /// Takes one record; false ends the scan. The views are valid only during the call, and the
  /// transaction must not be changed in it.
  using record_visitor = std::function<bool(std::string_view key, std::string_view value)>;

  static constexpr size_t no_limit = std::numeric_limits<size_t>::max();

  virtual ~transaction() = default;

  /// The value of a key, or nothing. `malformed` if the record is damaged.
  virtual expected<std::optional<std::string>> get(table t, std::string_view key) = 0;

  /// Writes a record, replacing one of the same key.
  virtual caf::error put(table t, std::string_view key, std::string_view value) = 0;

  /// The same, faster if the key comes after all others of the table.
  virtual caf::error append(table t, std::string_view key, std::string_view value) = 0;

  /// From here to the end of the step, changes may use the room that is kept for ending what was
  /// accepted: a full store must drain. What accepts something new must not.
  virtual void use_reserve(bool allowed) = 0;

  /// Removes a record; whether there was one.
  virtual expected<bool> erase(table t, std::string_view key) = 0;

  /// Visits at most `limit` records in key order, from the first key >= `from_key` (empty: the
  /// start).
  virtual caf::error
  scan(table t, std::string_view from_key, size_t limit, const record_visitor& visit)
    = 0;

  /// The largest key, or nothing if the table is empty.
  virtual expected<std::optional<std::string>> last_key(table t) = 0;
};

} // namespace rvi
