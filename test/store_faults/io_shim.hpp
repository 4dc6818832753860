// SPDX-License-Identifier: MPL-2.0
//
// Stands between the store and the system: the program's own pwrite, fdatasync, open and so on are
// found before the C library's, by LMDB and by our code alike. It can write down what happens to
// the files of one folder, and let the n-th call fail. Only calls on files of that folder count.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace test::io {

enum class event_kind : uint8_t {
  write,     // bytes at an offset; `durable_at_end` if the file was opened with O_DSYNC
  write_end, // that write returned; `bytes_done` of it were taken
  sync,      // fsync or fdatasync returned; of a file or a directory
  truncate,  // to `offset`
  create,    // a new name for a new file
  make_folder,
  link, // `path` also as `to`
  rename,
  remove,
  promise, // the test's own: `offset` says which
};

/// Where it happened and with what; strings point into the log.
struct event {
  event_kind kind = event_kind::promise;
  bool durable_at_end = false;
  int error = 0; // of `write_end` and `sync`
  uint64_t inode = 0;
  uint64_t offset = 0;
  uint64_t bytes_done = 0;
  std::string_view path;
  std::string_view to;
  std::string_view bytes;
};

/// Calls on files below this path are seen from now on.
void watch(const std::string& folder);

/// Starts a new log. It is shared memory: forked children write into the same.
void start_log();
void stop_log();
void promise(uint64_t number);

/// Reads the log from its start; false at its end.
class log_reader {
public:
  bool next(event& x);

private:
  uint64_t at_ = 0;
};

struct fault {
  uint64_t call = 0; // which call from now on, 1 is the next; 0: none
  int error = 0;     // errno; 0: a write is short instead, and other calls work
  bool for_ever = false;
  bool syncs_only = false; // count only fsync, fdatasync and writes with O_DSYNC
};

void set_fault(const fault& x);

/// Calls counted since `set_fault`.
uint64_t calls();

/// The name of the call that failed first; empty: none has.
std::string failed_call();

/// Syncs of a file whose last sync had failed, for anything but a full disk: nobody may.
uint64_t syncs_after_failed_sync();

/// The same for memory that LMDB asks for.
void set_memory_fault(uint64_t call, bool for_ever);
uint64_t memory_calls();

} // namespace test::io
