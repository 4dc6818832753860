// SPDX-License-Identifier: MPL-2.0
//
// Lets the n-th request of LMDB for memory fail; everybody else's go on to the C library.

#include "test/store_faults/io_shim.hpp"

#include <cerrno>
#include <cstdlib>
#include <dlfcn.h>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace test::io {

namespace {

uint64_t fail_at = 0;
bool fail_for_ever = false;
bool armed = false;
uint64_t asked = 0;

/// Whether LMDB asks, and in vain.
bool in_vain(void* caller) {
  if (!armed)
    return false;
  static const void* lmdb = nullptr;
  Dl_info library{};
  armed = false; // dladdr may allocate
  if (!lmdb) {
    auto open = ::dlsym(RTLD_DEFAULT, "mdb_env_create");
    if (open && ::dladdr(open, &library))
      lmdb = library.dli_fbase;
  }
  auto ours = lmdb && ::dladdr(caller, &library) && library.dli_fbase == lmdb;
  armed = true;
  if (!ours)
    return false;
  ++asked;
  return fail_at != 0 && (asked == fail_at || (asked > fail_at && fail_for_ever));
}

} // namespace

void set_memory_fault(uint64_t call, bool for_ever) {
  fail_at = call;
  fail_for_ever = for_ever;
  asked = 0;
  armed = true;
}

uint64_t memory_calls() {
  return asked;
}

} // namespace test::io

extern "C" {

void* malloc(size_t size) {
  return test::io::in_vain(__builtin_return_address(0)) ? nullptr : __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  return test::io::in_vain(__builtin_return_address(0)) ? nullptr : __libc_calloc(count, size);
}

void* realloc(void* old, size_t size) {
  return test::io::in_vain(__builtin_return_address(0)) ? nullptr : __libc_realloc(old, size);
}

int posix_memalign(void** result, size_t alignment, size_t size) {
  if (test::io::in_vain(__builtin_return_address(0)))
    return ENOMEM;
  *result = __libc_memalign(alignment, size);
  return *result ? 0 : ENOMEM;
}

} // extern "C"
