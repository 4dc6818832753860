// SPDX-License-Identifier: MPL-2.0
//
// SIGINT and SIGTERM as a flag.

#include "tools/stop_signal.hpp"

#include <csignal>
#include <initializer_list>

namespace rvi {

namespace {

volatile std::sig_atomic_t requested = 0;

void raise_flag(int) {
  requested = 1;
}

} // namespace

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = raise_flag;
  action.sa_flags = int(SA_RESETHAND); // and no SA_RESTART: poll must return
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool stop_requested() {
  return requested != 0;
}

void restore_signals_in_child() {
  for (int x : {SIGINT, SIGTERM, SIGPIPE})
    std::signal(x, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

} // namespace rvi
