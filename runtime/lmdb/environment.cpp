// SPDX-License-Identifier: MPL-2.0
//
// Opening and closing a store, and LMDB's errors.

#include "runtime/lmdb/handles.hpp"

#include <cassert>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rvi::lmdb {

namespace detail {

bool is_full(int rc) {
  return rc == MDB_MAP_FULL || rc == ENOSPC || rc == EDQUOT;
}

caf::error to_error(int rc, std::string_view doing) {
  return caf::make_error(is_full(rc) ? ec::store_full : ec::store_failed,
                         std::string(doing) + ": " + mdb_strerror(rc));
}

caf::error damaged(std::string_view table, std::string_view key) {
  return caf::make_error(ec::malformed,
                         "damaged record in " + std::string(table) + ", key " + to_hex(key));
}

expected<directory_lock> directory_lock::take(const std::string& path) {
  directory_lock result;
  auto name = path + "/lock";
  result.file_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (result.file_ < 0)
    return caf::make_error(ec::io_failed, name + ": " + std::strerror(errno));
  if (::flock(result.file_, LOCK_EX | LOCK_NB) != 0)
    return caf::make_error(ec::io_failed, errno == EWOULDBLOCK
                                            ? path + " is in use by another process"
                                            : name + ": " + std::strerror(errno));
  return result;
}

caf::error sync_path(const std::string& path) {
  auto file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  auto rc = file < 0 ? -1 : ::fsync(file);
  auto error
    = rc == 0 ? caf::error{} : caf::make_error(ec::io_failed, path + ": " + std::strerror(errno));
  if (file >= 0)
    ::close(file);
  return error;
}

directory_lock::~directory_lock() {
  if (file_ >= 0)
    ::close(file_);
}

namespace {

/// Makes a directory with those above it, whose names are on disk before its own.
caf::error make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0)
    return {};
  auto failure = errno;
  auto parent = std::filesystem::path(path).parent_path().string();
  if (failure == ENOENT && !parent.empty() && parent != path) {
    if (auto error = make_directory(parent))
      return error;
    if (auto error = sync_path(parent + "/.."))
      return error;
    if (::mkdir(path.c_str(), 0700) == 0)
      return {};
    failure = errno;
  }
  if (failure == EEXIST)
    return {};
  return caf::make_error(ec::io_failed, path + ": " + std::strerror(failure));
}

/// Makes the disk hold what is seen here. After a write that failed, in a process before this one,
/// the disk may show a transaction that the system's memory does not; its pages would be written
/// over. Names may be on their way as well.
caf::error settle(MDB_env* handle, const std::string& path) {
  if (auto rc = mdb_env_sync(handle, 1))
    return caf::make_error(ec::store_failed, path + ": " + mdb_strerror(rc));
  if (auto error = sync_path(path))
    return error;
  auto parent = path + "/..";
  // A directory that the node may not read was not made by a node.
  return ::access(parent.c_str(), R_OK) == 0 ? sync_path(parent) : caf::error{};
}

caf::error read_sums(MDB_txn* transaction, open_environment& open) {
  for (auto& table : open.tables) {
    auto key = to_val(table.name);
    MDB_val stored;
    auto rc = mdb_get(transaction, open.sums, &key, &stored);
    if (rc == MDB_NOTFOUND)
      continue;
    if (rc != 0)
      return to_error(rc, "reading the sums of " + table.name);
    auto payload = verified(sums_table, table.name, to_view(stored));
    auto sums = payload ? decode_sums(*payload) : std::nullopt;
    if (!sums)
      return damaged(sums_table, table.name);
    table.sums = *sums;
  }
  return {};
}

caf::error open_tables(open_environment& open, const std::vector<std::string>& names) {
  MDB_txn* raw = nullptr;
  if (auto rc = mdb_txn_begin(open.handle.get(), nullptr, open.read_only ? MDB_RDONLY : 0, &raw))
    return to_error(rc, "opening the tables");
  transaction_handle transaction(raw);
  auto open_one = [&](const std::string& name, MDB_dbi& dbi) {
    auto rc = mdb_dbi_open(raw, name.c_str(), open.read_only ? 0 : MDB_CREATE, &dbi);
    if (rc == MDB_NOTFOUND)
      return caf::make_error(ec::not_found, "the store has no table " + name);
    return rc == 0 ? caf::error{} : to_error(rc, "opening table " + name);
  };
  if (auto error = open_one(std::string(sums_table), open.sums))
    return error;
  for (auto& name : names) {
    assert(!name.empty() && name[0] != '$');
    open.tables.push_back({name, 0, {}});
    if (auto error = open_one(name, open.tables.back().dbi))
      return error;
  }
  if (auto error = read_sums(raw, open))
    return error;
  if (auto rc = mdb_txn_commit(transaction.release()))
    return to_error(rc, "opening the tables");
  return {};
}

expected<std::unique_ptr<open_environment>>
open_at(const options& options, const std::vector<std::string>& tables, unsigned flags) {
  auto result = std::make_unique<open_environment>();
  result->read_only = options.read_only;
  result->room.map_bytes = options.map_bytes;
  if (!options.read_only) {
    if (auto error = make_directory(options.path))
      return error;
    auto lock = directory_lock::take(options.path);
    if (!lock)
      return lock.error();
    result->lock = std::move(*lock);
  }
  MDB_env* handle = nullptr;
  if (auto rc = mdb_env_create(&handle))
    return to_error(rc, "opening " + options.path);
  result->handle.reset(handle);
  mdb_env_set_maxdbs(handle, unsigned(tables.size()) + 1);
  // A reader takes the size the writer set.
  if (auto rc = options.read_only ? 0 : mdb_env_set_mapsize(handle, result->room.hard_limit()))
    return to_error(rc, "setting the map size");
  flags |= MDB_NOTLS | (options.read_only ? unsigned(MDB_RDONLY) : 0u);
  if (auto rc = mdb_env_open(handle, options.path.c_str(), flags, 0600))
    return to_error(rc, "opening " + options.path);
  if (!options.read_only && (flags & MDB_NOSYNC) == 0)
    if (auto error = settle(handle, options.path))
      return error;
  int dead = 0;
  mdb_reader_check(handle, &dead); // readers that crashed hold back the reuse of pages
  if (auto error = open_tables(*result, tables))
    return error;
  return result;
}

} // namespace

} // namespace detail

environment::environment(std::unique_ptr<detail::open_environment> open) : open_(std::move(open)) {}

environment::~environment() {
  assert(!open_->writing);
}

expected<std::unique_ptr<environment>>
environment::open(const options& options, const std::vector<std::string>& tables) {
  auto opened = detail::open_at(options, tables, 0);
  if (!opened)
    return opened.error();
  return std::unique_ptr<environment>(new environment(std::move(*opened)));
}

expected<std::unique_ptr<environment>>
detail::unsynced::open(const options& options, const std::vector<std::string>& tables) {
  auto opened = open_at(options, tables, MDB_NOSYNC);
  if (!opened)
    return opened.error();
  return std::unique_ptr<environment>(new environment(std::move(*opened)));
}

bool environment::failed() const {
  return open_->failed;
}

uint64_t environment::count(table_id table) const {
  assert(table < open_->tables.size());
  return open_->tables[table].sums.count;
}

expected<write_transaction> environment::begin_write() {
  assert(!open_->read_only);
  if (open_->failed)
    return caf::make_error(ec::store_failed, "the store failed before and takes no more writes");
  auto already = open_->writing.exchange(true);
  assert(!already);
  static_cast<void>(already);
  auto result = std::make_unique<detail::writing>(*open_);
  auto full = open_->room.full(open_->handle.get());
  if (!full)
    return full.error();
  result->full = *full;
  MDB_txn* raw = nullptr;
  if (auto rc = mdb_txn_begin(open_->handle.get(), nullptr, 0, &raw)) {
    open_->failed = !detail::is_full(rc);
    return detail::to_error(rc, "beginning a change");
  }
  result->transaction.reset(raw);
  for (auto& table : open_->tables)
    result->sums.push_back(table.sums);
  return write_transaction(std::move(result));
}

expected<read_transaction> environment::begin_read() const {
  MDB_txn* raw = nullptr;
  if (auto rc = mdb_txn_begin(open_->handle.get(), nullptr, MDB_RDONLY, &raw))
    return detail::to_error(rc, "beginning a read");
  return read_transaction(
    std::unique_ptr<detail::reading>(new detail::reading{*open_, detail::transaction_handle(raw)}));
}

} // namespace rvi::lmdb
