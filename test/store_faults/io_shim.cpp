// SPDX-License-Identifier: MPL-2.0
//
// Each call goes on to the kernel by its number, so that nothing has to be looked up.

// Both names of each call are defined here, with and without 64.
#undef _FILE_OFFSET_BITS

#include "test/store_faults/io_shim.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace test::io {

namespace {

struct open_file {
  bool watched = false;
  bool durable = false; // O_DSYNC
  uint64_t inode = 0;
  char path[200] = {};
};

struct shared_log {
  std::atomic<uint64_t> used;
  std::atomic<bool> on;
};

constexpr size_t log_bytes_max = 256 << 20; // address space; pages come with use
constexpr size_t files_max = 1024;
constexpr size_t inodes_max = 64;

std::array<open_file, files_max> files;
std::array<uint64_t, inodes_max> failed_inodes; // whose last sync failed
char folder[200];
shared_log* log_head = nullptr;
char* log_bytes = nullptr;
fault planned;
uint64_t counted = 0;
uint64_t syncs_again = 0;
const char* failed_name = nullptr;

struct record_head {
  event_kind kind;
  bool durable_at_end;
  int error;
  uint64_t inode, offset, bytes_done;
  uint32_t path, to, bytes;
};

bool in_folder(const char* path) {
  return folder[0] != '\0' && std::strncmp(path, folder, std::strlen(folder)) == 0;
}

open_file* watched(int file) {
  if (file < 0 || size_t(file) >= files_max || !files[size_t(file)].watched)
    return nullptr;
  return &files[size_t(file)];
}

bool logging() {
  return log_head && log_head->on;
}

char* add_to_log(event_kind kind, const open_file* file, uint64_t offset, int error,
                 uint64_t bytes_done, const char* path, const char* to, size_t bytes) {
  record_head head{kind,
                   file && file->durable,
                   error,
                   file ? file->inode : 0,
                   offset,
                   bytes_done,
                   uint32_t(std::strlen(path)),
                   uint32_t(std::strlen(to)),
                   uint32_t(bytes)};
  auto size = (sizeof head + head.path + head.to + head.bytes + 7) / 8 * 8;
  auto at = log_head->used.fetch_add(size);
  if (at + size > log_bytes_max)
    std::abort();
  auto out = log_bytes + at;
  std::memcpy(out, &head, sizeof head);
  out += sizeof head;
  std::memcpy(out, path, head.path);
  std::memcpy(out + head.path, to, head.to);
  return out + head.path + head.to;
}

void note(event_kind kind, const open_file* file, uint64_t offset, int error = 0,
          uint64_t bytes_done = 0) {
  if (logging())
    add_to_log(kind, file, offset, error, bytes_done, file ? file->path : "", "", 0);
}

void note_name(event_kind kind, const char* path, const char* to, uint64_t inode) {
  if (!logging())
    return;
  open_file file;
  file.inode = inode;
  add_to_log(kind, &file, 0, 0, 0, path, to, 0);
}

/// Whether this call is the one to fail. `error` 0: only writes know what to do.
bool fails(const char* name, bool sync = false) {
  if (planned.syncs_only && !sync)
    return false;
  ++counted;
  if (planned.call == 0 || counted < planned.call || (counted > planned.call && !planned.for_ever))
    return false;
  if (!failed_name)
    failed_name = name;
  return true;
}

/// For calls that are no writes. True: `errno` is set, return -1.
bool refused(const char* name, bool sync = false) {
  if (!fails(name, sync) || planned.error == 0)
    return false;
  errno = planned.error;
  return true;
}

bool disk_full(int error) {
  return error == ENOSPC || error == EDQUOT;
}

void remember_failed_sync(const open_file& file, int error) {
  if (disk_full(error))
    return;
  for (auto& x : failed_inodes)
    if (x == 0 || x == file.inode) {
      x = file.inode;
      return;
    }
}

void count_sync_again(const open_file& file) {
  for (auto x : failed_inodes)
    syncs_again += x == file.inode;
}

int sync(const char* name, int file, long number) {
  auto x = watched(file);
  if (!x)
    return int(::syscall(number, file));
  count_sync_again(*x);
  int result = -1;
  if (!refused(name, true))
    result = int(::syscall(number, file));
  auto error = result == 0 ? 0 : errno;
  if (error != 0)
    remember_failed_sync(*x, error);
  note(event_kind::sync, x, 0, error);
  errno = error;
  return result;
}

ssize_t write_at(const char* name, int file, const iovec* parts, int count, off_t offset) {
  auto x = watched(file);
  if (!x)
    return ::syscall(SYS_pwritev, file, parts, count, offset, 0);
  size_t size = 0;
  for (int i = 0; i < count; ++i)
    size += parts[i].iov_len;
  std::string copy;
  for (int i = 0; i < count; ++i)
    copy.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  if (x->durable)
    count_sync_again(*x);
  auto failing = fails(name, x->durable);
  if (failing)
    size = planned.error == 0 ? size / 2 : 0;
  if (logging()) {
    // What a failed durable write left on the disk is anybody's guess: all of it may be there.
    auto to = add_to_log(event_kind::write, x, uint64_t(offset), 0, 0, x->path, "", copy.size());
    std::memcpy(to, copy.data(), copy.size());
  }
  ssize_t result = -1;
  if (size > 0 || !failing)
    result = ::syscall(SYS_pwrite64, file, copy.data(), size, offset);
  auto error = failing && planned.error != 0 ? planned.error : result < 0 ? errno : 0;
  if (error != 0 && error != EINTR && x->durable) // a write that was interrupted wrote nothing
    remember_failed_sync(*x, error);
  note(event_kind::write_end, x, uint64_t(offset), error, result < 0 ? 0 : uint64_t(result));
  errno = error;
  return error == 0 ? result : -1;
}

int open_watched(const char* path, int flags, mode_t mode) {
  if (!in_folder(path))
    return int(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  if (refused("open"))
    return -1;
  struct stat before {};
  auto there = ::syscall(SYS_stat, path, &before) == 0;
  auto file = int(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  if (file < 0 || size_t(file) >= files_max)
    return file;
  struct stat status {};
  ::syscall(SYS_fstat, file, &status);
  auto& x = files[size_t(file)];
  x.watched = true;
  x.durable = (flags & O_DSYNC) != 0;
  x.inode = status.st_ino;
  std::snprintf(x.path, sizeof x.path, "%s", path);
  if (!there)
    note_name(event_kind::create, path, "", x.inode);
  else if (flags & O_TRUNC)
    note(event_kind::truncate, &x, 0);
  return file;
}

uint64_t inode_of(const char* path) {
  struct stat status {};
  return ::syscall(SYS_lstat, path, &status) == 0 ? status.st_ino : 0;
}

} // namespace

void watch(const std::string& path) {
  std::snprintf(folder, sizeof folder, "%s", path.c_str());
}

void start_log() {
  if (!log_head) {
    auto memory = ::mmap(nullptr, log_bytes_max + 4096, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
      std::abort();
    log_head = new (memory) shared_log;
    log_bytes = static_cast<char*>(memory) + 4096;
  }
  log_head->used = 0;
  log_head->on = true;
}

void stop_log() {
  if (log_head)
    log_head->on = false;
}

void promise(uint64_t number) {
  note(event_kind::promise, nullptr, number);
}

bool log_reader::next(event& x) {
  if (!log_head || at_ >= log_head->used)
    return false;
  record_head head;
  auto from = log_bytes + at_;
  std::memcpy(&head, from, sizeof head);
  at_ += (sizeof head + head.path + head.to + head.bytes + 7) / 8 * 8;
  from += sizeof head;
  x.kind = head.kind;
  x.durable_at_end = head.durable_at_end;
  x.error = head.error;
  x.inode = head.inode;
  x.offset = head.offset;
  x.bytes_done = head.bytes_done;
  x.path = {from, head.path};
  x.to = {from + head.path, head.to};
  x.bytes = {from + head.path + head.to, head.bytes};
  return true;
}

void set_fault(const fault& x) {
  planned = x;
  counted = 0;
  failed_name = nullptr;
}

uint64_t calls() {
  return counted;
}

std::string failed_call() {
  return failed_name ? failed_name : "";
}

uint64_t syncs_after_failed_sync() {
  return syncs_again;
}

} // namespace test::io

using namespace test::io;

extern "C" {

int open64(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  auto mode = mode_t((flags & (O_CREAT | O_TMPFILE)) ? va_arg(list, unsigned) : 0);
  va_end(list);
  return open_watched(path, flags, mode);
}

int open(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  auto mode = mode_t((flags & (O_CREAT | O_TMPFILE)) ? va_arg(list, unsigned) : 0);
  va_end(list);
  return open_watched(path, flags, mode);
}

int close(int file) {
  if (auto x = watched(file))
    x->watched = false;
  return int(::syscall(SYS_close, file));
}

ssize_t pwrite(int file, const void* bytes, size_t size, off_t offset) {
  iovec part{const_cast<void*>(bytes), size};
  return write_at("pwrite", file, &part, 1, offset);
}

ssize_t pwrite64(int file, const void* bytes, size_t size, off64_t offset) {
  iovec part{const_cast<void*>(bytes), size};
  return write_at("pwrite", file, &part, 1, offset);
}

ssize_t writev(int file, const iovec* parts, int count) {
  if (!watched(file))
    return ::syscall(SYS_writev, file, parts, count);
  auto offset = ::syscall(SYS_lseek, file, 0, SEEK_CUR);
  auto result = write_at("writev", file, parts, count, offset);
  if (result > 0) {
    auto error = errno;
    ::syscall(SYS_lseek, file, offset + result, SEEK_SET);
    errno = error;
  }
  return result;
}

ssize_t write(int file, const void* bytes, size_t size) {
  if (!watched(file))
    return ::syscall(SYS_write, file, bytes, size);
  iovec part{const_cast<void*>(bytes), size};
  return writev(file, &part, 1);
}

ssize_t pread(int file, void* bytes, size_t size, off_t offset) {
  if (watched(file) && refused("pread"))
    return -1;
  return ::syscall(SYS_pread64, file, bytes, size, offset);
}

int fsync(int file) {
  return sync("fsync", file, SYS_fsync);
}

int fdatasync(int file) {
  return sync("fdatasync", file, SYS_fdatasync);
}

int ftruncate(int file, off_t size) {
  auto x = watched(file);
  if (x && refused("ftruncate"))
    return -1;
  if (x)
    note(event_kind::truncate, x, uint64_t(size));
  return int(::syscall(SYS_ftruncate, file, size));
}

int ftruncate64(int file, off64_t size) {
  return ftruncate(file, size);
}

off_t lseek(int file, off_t offset, int whence) noexcept {
  if (watched(file) && refused("lseek"))
    return -1;
  return ::syscall(SYS_lseek, file, offset, whence);
}

int fallocate(int file, int mode, off_t offset, off_t size) {
  if (watched(file) && refused("fallocate"))
    return -1;
  return int(::syscall(SYS_fallocate, file, mode, offset, size));
}

int fallocate64(int file, int mode, off64_t offset, off64_t size) {
  return fallocate(file, mode, offset, size);
}

int flock(int file, int operation) noexcept {
  if (watched(file) && refused("flock"))
    return -1;
  return int(::syscall(SYS_flock, file, operation));
}

void* mmap(void* at, size_t size, int protection, int flags, int file, off_t offset) noexcept {
  if (watched(file) && refused("mmap"))
    return MAP_FAILED;
  return reinterpret_cast<void*>(::syscall(SYS_mmap, at, size, protection, flags, file, offset));
}

int mkdir(const char* path, mode_t mode) noexcept {
  if (!in_folder(path))
    return int(::syscall(SYS_mkdir, path, mode));
  if (refused("mkdir"))
    return -1;
  auto result = int(::syscall(SYS_mkdir, path, mode));
  if (result == 0)
    note_name(event_kind::make_folder, path, "", inode_of(path));
  return result;
}

int link(const char* path, const char* to) noexcept {
  if (!in_folder(path))
    return int(::syscall(SYS_link, path, to));
  if (refused("link"))
    return -1;
  auto result = int(::syscall(SYS_link, path, to));
  if (result == 0)
    note_name(event_kind::link, path, to, inode_of(path));
  return result;
}

int rename(const char* path, const char* to) noexcept {
  if (!in_folder(path))
    return int(::syscall(SYS_rename, path, to));
  if (refused("rename"))
    return -1;
  auto inode = inode_of(path);
  auto result = int(::syscall(SYS_rename, path, to));
  if (result == 0)
    note_name(event_kind::rename, path, to, inode);
  return result;
}

int unlink(const char* path) noexcept {
  auto result = int(::syscall(SYS_unlink, path));
  if (result == 0 && in_folder(path))
    note_name(event_kind::remove, path, "", 0);
  return result;
}

/// How std::filesystem::remove_all removes: by folder and name.
int unlinkat(int at, const char* name, int flags) noexcept {
  auto x = at == AT_FDCWD ? nullptr : watched(at);
  if ((x || (at == AT_FDCWD && in_folder(name))) && refused("unlinkat"))
    return -1;
  auto result = int(::syscall(SYS_unlinkat, at, name, flags));
  if (result == 0 && (x || (at == AT_FDCWD && in_folder(name)))) {
    auto path = x ? std::string(x->path) + "/" + name : std::string(name);
    note_name(event_kind::remove, path.c_str(), "", 0);
  }
  return result;
}

int openat(int at, const char* path, int flags, ...) {
  auto folder_of = at == AT_FDCWD ? nullptr : watched(at);
  va_list list;
  va_start(list, flags);
  auto mode = mode_t((flags & (O_CREAT | O_TMPFILE)) ? va_arg(list, unsigned) : 0);
  va_end(list);
  if (at == AT_FDCWD)
    return open_watched(path, flags, mode);
  if (folder_of)
    return open_watched((std::string(folder_of->path) + "/" + path).c_str(), flags, mode);
  return int(::syscall(SYS_openat, at, path, flags, mode));
}

} // extern "C"
