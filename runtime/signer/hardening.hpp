// SPDX-License-Identifier: MPL-2.0
//
// What a process that holds a key gives up before it listens to anybody.

#pragma once

#include "runtime/error.hpp"

namespace rvi::signer {

/// First thing of all, before a key is in memory: no core, no debugger, no /proc/PID/mem, no new
/// privileges by exec, memory that is not swapped out. Memory that cannot be locked
/// (RLIMIT_MEMLOCK) is told in the log and no error: key files' keys then lie in Botan's own locked
/// pool. Error: `io_failed`.
caf::error hide_process();

/// What calls remain.
enum class key_place {
  memory, // answers on sockets that are there: no open, socket, connect, exec, fork
  token,  // and what a PKCS#11 module may need: files, threads, Unix sockets; no exec, no network
};

/// From here on every other system call fails with EPERM, for all threads and for ever. Error:
/// `io_failed`.
caf::error drop_calls(key_place x);

} // namespace rvi::signer
