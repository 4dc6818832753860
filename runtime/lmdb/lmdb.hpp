// SPDX-License-Identifier: MPL-2.0
//
// LMDB for one writer and its readers. Every record carries a checksum, every table a count and a
// set hash, because LMDB itself checks neither. Keep one environment per path and process.

#pragma once

#include "runtime/error.hpp"

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::lmdb {

struct options {
  std::string path; // a directory
  // Additions are refused beyond it, erasing goes on. Address space, not memory or disk.
  uint64_t map_bytes = uint64_t(16) << 30;
  bool read_only = false; // takes no lock: may run beside the writer
};

/// The position of a table in the list given to `environment::open`.
using table_id = size_t;

class read_transaction;
class write_transaction;

namespace detail {
struct open_environment;
struct writing;
struct reading;
struct unsynced;
} // namespace detail

/// An open store. Must outlive its transactions, and the process must not fork while it is open.
class environment {
public:
  /// Creates the directory (0700) and the tables that are missing. Names must not begin with `$`.
  /// Errors: `io_failed` (in use by another process, or the directory cannot be made),
  /// `malformed` (damaged sums), `not_found` (read-only and a table is missing), `store_full`,
  /// `store_failed`.
  static expected<std::unique_ptr<environment>>
  open(const options& options, const std::vector<std::string>& tables);
  ~environment();

  /// At most one at a time; begin, use and end it in one thread. `store_failed` after a failure.
  expected<write_transaction> begin_write();

  /// Any thread, any number up to 126; keep them short, they hold back the reuse of pages.
  expected<read_transaction> begin_read() const;

  /// True after a commit or sync failed: nothing is written any more.
  bool failed() const;

  /// Records in a table, as last committed. Only in the writer's thread.
  uint64_t count(table_id table) const;

private:
  friend struct detail::unsynced;
  explicit environment(std::unique_ptr<detail::open_environment> open);
  std::unique_ptr<detail::open_environment> open_;
};

struct scan_range {
  table_id table = 0;
  std::string_view from = {}; // the first key wanted; empty is the table's start
  size_t limit = std::numeric_limits<size_t>::max(); // records handed out
};

/// Takes one record; false ends the scan.
using record_visitor = std::function<bool(std::string_view key, std::string_view value)>;

/// Takes the key of a record whose checksum is wrong.
using damage_visitor = std::function<void(std::string_view key)>;

/// Changes that become durable together at `commit`; the destructor drops them. After a failed
/// change every further call returns that error. Keys have 1 to 511 bytes (`too_large`).
class write_transaction {
public:
  write_transaction(write_transaction&&) noexcept;
  write_transaction& operator=(write_transaction&&) noexcept;
  ~write_transaction();

  /// `value` must not be what `get` of this transaction returned: copy that first.
  caf::error put(table_id table, std::string_view key, std::string_view value);

  /// Like `put`; faster if the key comes after all others of the table.
  caf::error append(table_id table, std::string_view key, std::string_view value);

  /// Lets additions use the room that is kept for erasing: for what ends or moves what is there.
  void use_reserve(bool allowed);

  /// Whether there was such a record.
  expected<bool> erase(table_id table, std::string_view key);

  /// The value is valid until the next change or the end. `malformed` if the record is damaged.
  expected<std::optional<std::string_view>> get(table_id table, std::string_view key) const;

  /// Visits records in key order, with the changes so far, and skips damaged ones; returns how many
  /// were handed out. Nothing may be changed meanwhile.
  expected<size_t>
  scan(const scan_range& range, const record_visitor& record, const damage_visitor& damaged) const;

  /// Nothing if the table is empty. Valid until the next change or the end.
  expected<std::optional<std::string_view>> last_key(table_id table) const;

  /// Returns when the data is on disk. `store_full` leaves the environment usable, every other
  /// error makes it fail for good. The transaction is over in any case.
  caf::error commit();

private:
  friend class environment;
  explicit write_transaction(std::unique_ptr<detail::writing> writing);
  std::unique_ptr<detail::writing> writing_;
};

/// A steady view of the store as it was at the beginning. May move between threads.
class read_transaction {
public:
  read_transaction(read_transaction&&) noexcept;
  read_transaction& operator=(read_transaction&&) noexcept;
  ~read_transaction();

  /// The value is valid until the transaction ends. `malformed` if the record is damaged.
  expected<std::optional<std::string_view>> get(table_id table, std::string_view key) const;

  /// Visits records in key order and skips damaged ones; returns how many were handed out.
  expected<size_t>
  scan(const scan_range& range, const record_visitor& record, const damage_visitor& damaged) const;

  /// Nothing if the table is empty. Valid until the transaction ends.
  expected<std::optional<std::string_view>> last_key(table_id table) const;

private:
  friend class environment;
  explicit read_transaction(std::unique_ptr<detail::reading> reading);
  std::unique_ptr<detail::reading> reading_;
};

struct table_report {
  uint64_t records = 0;                  // that verify
  uint64_t damaged = 0;                  // that do not
  std::vector<std::string> damaged_keys; // in hex, the first 100
  bool count_matches = true;
  bool hash_matches = true;
  std::string problem; // why the table could not be read to its end
  bool sound() const { return damaged == 0 && count_matches && hash_matches && problem.empty(); }
};

struct check_report {
  std::map<std::string, table_report> tables;
  bool crashed = false; // the file made LMDB's reader crash
  std::string problem;  // why the file could not be read at all
  bool sound() const;
  /// One line for people.
  std::string describe() const;
};

/// Reads everything and compares with the sums. A path without a store is sound. The process must
/// not have the store open.
expected<check_report> check(const std::string& path);

/// The same in a forked child, as a damaged file may crash the reader. Call it before any thread
/// exists.
expected<check_report> check_in_child(const std::string& path);

/// Copies every record that verifies into a new file, which replaces the damaged one; that is kept
/// as `data.mdb.damaged-<unix seconds>`. Returns how many records were saved. Reads in children, so
/// call it before any thread exists and while nobody has the store open.
expected<uint64_t> salvage(const std::string& path);

} // namespace rvi::lmdb
