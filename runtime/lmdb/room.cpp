// SPDX-License-Identifier: MPL-2.0
//
// Keeps room for erasing. Every change needs new pages, erasing too; a store that is full to the
// last page could never be emptied. So additions stop while some room is left.

#include "runtime/lmdb/handles.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>

namespace rvi::lmdb::detail {

namespace {

/// Pages inside the file that hold nothing any more.
expected<uint64_t> count_free_pages(MDB_env* handle) {
  MDB_txn* raw = nullptr;
  if (auto rc = mdb_txn_begin(handle, nullptr, MDB_RDONLY, &raw))
    return to_error(rc, "counting free pages");
  transaction_handle transaction(raw);
  constexpr MDB_dbi free_list = 0; // LMDB's own; each record is a count and that many pages
  MDB_cursor* raw_cursor = nullptr;
  if (auto rc = mdb_cursor_open(raw, free_list, &raw_cursor))
    return to_error(rc, "counting free pages");
  cursor_handle cursor(raw_cursor);
  uint64_t result = 0;
  MDB_val key, pages;
  while (mdb_cursor_get(raw_cursor, &key, &pages, MDB_NEXT) == 0) {
    size_t count = 0;
    if (pages.mv_size >= sizeof count)
      std::memcpy(&count, pages.mv_data, sizeof count);
    result += count;
  }
  return result;
}

} // namespace

uint64_t room::reserve_bytes() const {
  return std::clamp<uint64_t>(map_bytes / 64, 64 << 10, 16 << 20);
}

uint64_t room::hard_limit() const {
  constexpr uint64_t page = 65'536; // LMDB wants a multiple of the system's page
  return (map_bytes + 4 * reserve_bytes() + page - 1) / page * page;
}

expected<bool> room::full(MDB_env* handle) {
  MDB_envinfo info;
  MDB_stat stat;
  mdb_env_info(handle, &info);
  mdb_env_stat(handle, &stat);
  auto used_to = uint64_t(info.me_last_pgno + 1) * stat.ms_psize;
  auto disk_full = false;
  if (used_to + reserve_bytes() > allocated_to) {
    // Blocks behind the end of the file, so that a full disk cannot take them.
    int file = -1;
    mdb_env_get_fd(handle, &file);
    auto length = 2 * reserve_bytes();
    auto rc = ::fallocate(file, FALLOC_FL_KEEP_SIZE, off_t(used_to), off_t(length));
    disk_full = rc != 0 && is_full(errno);
    if (!disk_full)
      allocated_to = used_to + length; // or the file system cannot do it
  }
  if (!disk_full && used_to <= map_bytes)
    return false;
  auto free_pages = count_free_pages(handle);
  if (!free_pages)
    return free_pages.error();
  return *free_pages * stat.ms_psize < reserve_bytes();
}

} // namespace rvi::lmdb::detail
