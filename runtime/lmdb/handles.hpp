// SPDX-License-Identifier: MPL-2.0
//
// LMDB's handles with owners, and its errors as ours. Internal to this folder.

#pragma once

#include "runtime/lmdb/lmdb.hpp"
#include "runtime/lmdb/record.hpp"

#include <lmdb.h>

#include <atomic>

namespace rvi::lmdb::detail {

inline MDB_val to_val(std::string_view x) {
  return {x.size(), const_cast<char*>(x.data())};
}

inline std::string_view to_view(const MDB_val& x) {
  return {static_cast<const char*>(x.mv_data), x.mv_size};
}

struct close_environment {
  void operator()(MDB_env* x) const { mdb_env_close(x); }
};
struct abort_transaction {
  void operator()(MDB_txn* x) const { mdb_txn_abort(x); }
};
struct close_cursor {
  void operator()(MDB_cursor* x) const { mdb_cursor_close(x); }
};
using environment_handle = std::unique_ptr<MDB_env, close_environment>;
using transaction_handle = std::unique_ptr<MDB_txn, abort_transaction>;
using cursor_handle = std::unique_ptr<MDB_cursor, close_cursor>;

/// No room, which is no failure of the store.
bool is_full(int rc);

/// `store_full` or `store_failed` with LMDB's own words.
caf::error to_error(int rc, std::string_view doing);

/// `malformed`, naming table and key.
caf::error damaged(std::string_view table, std::string_view key);

/// Waits until a file, or the names in a directory, are on disk. Error: `io_failed`.
caf::error sync_path(const std::string& path);

/// The file that marks a directory as in use; closes, and so unlocks, at its end.
class directory_lock {
public:
  static expected<directory_lock> take(const std::string& path);
  directory_lock() = default;
  directory_lock(directory_lock&& x) noexcept : file_(std::exchange(x.file_, -1)) {}
  directory_lock& operator=(directory_lock&& x) noexcept {
    std::swap(file_, x.file_);
    return *this;
  }
  ~directory_lock();

private:
  int file_ = -1;
};

/// What is left for additions.
struct room {
  uint64_t map_bytes = 0;
  uint64_t allocated_to = 0; // offset up to which the disk has blocks for the file

  /// What is kept for erasing.
  uint64_t reserve_bytes() const;
  uint64_t hard_limit() const;
  /// Whether additions must stop; no transaction of this thread may be open.
  expected<bool> full(MDB_env* handle);
};

struct open_table {
  std::string name;
  MDB_dbi dbi = 0;
  table_sums sums; // as last committed
};

struct open_environment {
  directory_lock lock;
  environment_handle handle;
  bool read_only = false;
  std::atomic<bool> failed = false;
  std::atomic<bool> writing = false;
  detail::room room;
  MDB_dbi sums = 0;
  std::vector<open_table> tables;
};

struct writing {
  explicit writing(open_environment& open) : open(open), cursors(open.tables.size()) {}
  ~writing();
  /// The table's cursor stays where it is between calls: what is near is found without a search
  /// from the root.
  int cursor(table_id table, MDB_cursor*& result);
  /// Puts it on this key, if that is there.
  int find(table_id table, std::string_view key, MDB_cursor*& at, MDB_val& stored);

  open_environment& open;
  transaction_handle transaction;     // null when over
  std::vector<cursor_handle> cursors; // of the tables used; go before the transaction
  std::vector<table_sums> sums;       // as they will be
  bool full = false;                  // takes no additions
  bool reserve_allowed = false;       // but these
  caf::error error;                   // the first one
};

struct reading {
  const open_environment& open;
  transaction_handle transaction;
};

/// Opens for writing without syncs: for files nobody relies on yet.
struct unsynced {
  static expected<std::unique_ptr<environment>>
  open(const options& options, const std::vector<std::string>& tables);
};

/// A file opened to be read as a whole, its tables found in it rather than given.
struct inspection {
  static expected<inspection> open(const std::string& path);
  /// Names of all tables, `$sums` included.
  expected<std::vector<std::string>> tables() const;
  expected<cursor_handle> open_table(const std::string& name) const;

  environment_handle handle;
  transaction_handle transaction;
};

constexpr const char* data_file = "/data.mdb";

/// Runs `work` in a forked child and returns what it returned; nothing if the child crashed or
/// was not done in time.
expected<std::optional<std::string>>
run_in_child(unsigned seconds_max, const std::function<std::string()>& work);

/// Time to read a file of this store once, with plenty to spare.
unsigned seconds_to_read(const std::string& path);

} // namespace rvi::lmdb::detail
