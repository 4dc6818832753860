// SPDX-License-Identifier: MPL-2.0

#include "runtime/signer/hardening.hpp"

#include "runtime/observe/log.hpp"

#include <cerrno>
#include <cstring>
#include <seccomp.h>
#include <span>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

namespace rvi::signer {

namespace {

constexpr int answering[] = {
  SCMP_SYS(accept4),      SCMP_SYS(getsockopt),    SCMP_SYS(recvfrom),
  SCMP_SYS(sendto),       SCMP_SYS(poll),          SCMP_SYS(ppoll),
  SCMP_SYS(read),         SCMP_SYS(write),         SCMP_SYS(writev),
  SCMP_SYS(close),        SCMP_SYS(lseek),         SCMP_SYS(futex),
  SCMP_SYS(brk),          SCMP_SYS(munmap),        SCMP_SYS(mremap),
  SCMP_SYS(madvise),      SCMP_SYS(mlock),         SCMP_SYS(munlock),
  SCMP_SYS(getrandom),    SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
  SCMP_SYS(gettimeofday), SCMP_SYS(fstat),         SCMP_SYS(newfstatat),
  SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigaction),  SCMP_SYS(rt_sigprocmask),
  SCMP_SYS(getpid),       SCMP_SYS(gettid),        SCMP_SYS(restart_syscall),
  SCMP_SYS(exit),         SCMP_SYS(exit_group),    SCMP_SYS(sched_yield),
  SCMP_SYS(tgkill),
};

constexpr int using_module[] = {
  SCMP_SYS(open),        SCMP_SYS(openat),
  SCMP_SYS(stat),        SCMP_SYS(lstat),
  SCMP_SYS(statx),       SCMP_SYS(access),
  SCMP_SYS(faccessat),   SCMP_SYS(faccessat2),
  SCMP_SYS(readlink),    SCMP_SYS(readlinkat),
  SCMP_SYS(getdents64),  SCMP_SYS(fcntl),
  SCMP_SYS(flock),       SCMP_SYS(ftruncate),
  SCMP_SYS(fsync),       SCMP_SYS(fdatasync),
  SCMP_SYS(rename),      SCMP_SYS(unlink),
  SCMP_SYS(mkdir),       SCMP_SYS(umask),
  SCMP_SYS(pread64),     SCMP_SYS(pwrite64),
  SCMP_SYS(readv),       SCMP_SYS(ioctl),
  SCMP_SYS(connect),     SCMP_SYS(sendmsg),
  SCMP_SYS(recvmsg),     SCMP_SYS(select),
  SCMP_SYS(pselect6),    SCMP_SYS(getuid),
  SCMP_SYS(geteuid),     SCMP_SYS(getgid),
  SCMP_SYS(getegid),     SCMP_SYS(getppid),
  SCMP_SYS(getcwd),      SCMP_SYS(uname),
  SCMP_SYS(sysinfo),     SCMP_SYS(set_robust_list),
  SCMP_SYS(rseq),        SCMP_SYS(sched_getaffinity),
  SCMP_SYS(prlimit64),   SCMP_SYS(eventfd2),
  SCMP_SYS(pipe2),       SCMP_SYS(nanosleep),
  SCMP_SYS(setsockopt),  SCMP_SYS(shutdown),
  SCMP_SYS(getpeername), SCMP_SYS(getsockname),
};

/// Memory may be had, but none that can be run.
int allow_data_memory(scmp_filter_ctx filter) {
  auto not_executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
  auto result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, not_executable);
  return result != 0
           ? result
           : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, not_executable);
}

/// Threads, but no processes; sockets of this machine alone. clone3 hides its flags from a filter:
/// libc goes back to clone if it is told that there is none.
int allow_module(scmp_filter_ctx filter) {
  constexpr unsigned long thread = 0x00010000; // CLONE_THREAD
  auto result = 0;
  for (auto x : using_module)
    if (result == 0)
      result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, x, 0);
  if (result == 0)
    result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
  if (result == 0)
    result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  if (result == 0)
    result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                              SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
  return result;
}

caf::error failed(const char* what, int code) {
  return caf::make_error(ec::io_failed, std::string{what} + ": " + std::strerror(code));
}

} // namespace

caf::error hide_process() {
  rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0)
    return failed("RLIMIT_CORE", errno);
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    return failed("PR_SET_DUMPABLE", errno);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return failed("PR_SET_NO_NEW_PRIVS", errno);
  // ONFAULT: what is never touched needs no room.
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0)
    log::warning("signer",
                 "memory is not locked as a whole; allow it with LimitMEMLOCK= or ulimit -l",
                 {{"reason", std::strerror(errno)}});
  return {};
}

caf::error drop_calls(key_place x) {
  auto filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (filter == nullptr)
    return failed("seccomp", ENOMEM);
  auto result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
  for (auto call : answering)
    if (result == 0)
      result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
  if (result == 0)
    result = allow_data_memory(filter);
  if (result == 0 && x == key_place::token)
    result = allow_module(filter);
  if (result == 0)
    result = seccomp_load(filter);
  seccomp_release(filter);
  return result == 0 ? caf::error{} : failed("seccomp", -result);
}

} // namespace rvi::signer
