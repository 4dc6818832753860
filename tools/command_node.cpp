// SPDX-License-Identifier: MPL-2.0
//
// `rvi node`: runs a node until it is told to stop.

#include "actors/node/config.hpp"
#include "actors/node/environment.hpp"
#include "actors/node/node.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"
#include "tools/commands.hpp"
#include "tools/open_files.hpp"

#include <caf/actor_system.hpp>

#include <csignal>
#include <cstdio>
#include <ctime>
#include <unistd.h>

namespace rvi {

namespace {

constexpr const char* component = "node";
/// The node's own word to itself: another key has taken over.
constexpr int restart_signal = SIGUSR1;

int fail(const caf::error& err) {
  std::fprintf(stderr, "rvi node: %s\n", describe(err).c_str());
  return 1;
}

/// Signals the node acts on, blocked everywhere else.
sigset_t node_signals() {
  sigset_t result;
  sigemptyset(&result);
  for (int x : {SIGTERM, SIGINT, SIGHUP, restart_signal})
    sigaddset(&result, x);
  return result;
}

void reload(node& x, const std::string& config_path) {
  auto next = load_config(config_path);
  if (!next) {
    log::error(component, "configuration not read again", {{"error", describe(next.error())}});
    return;
  }
  (void)log::configure(next->config.log_level, next->config.log_format);
  auto err = x.reload();
  if (err)
    log::error(component, "reload failed; what was in force stays", {{"error", describe(err)}});
  else
    log::info(component, "reloaded");
}

/// This process with the same arguments: who watches it keeps its process number.
int start_anew(const std::string& config_path) {
  log::info(component, "starting anew");
  // Whatever the libraries left open goes with this program and not before: their threads still
  // run.
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  ::execl("/proc/self/exe", "rvi", "node", "--config", config_path.c_str(), nullptr);
  return fail(caf::make_error(ec::io_failed, std::string{"cannot start anew; start the node"}));
}

/// Waits for a signal, looking now and then whether the tree still stands.
int serve(node& x, const std::string& config_path, const sigset_t& signals) {
  bool anew = false;
  for (;;) {
    timespec patience{1, 0};
    int signal = sigtimedwait(&signals, nullptr, &patience);
    if (signal < 0 && anew) // a second after: what told of it has left
      break;
    if (signal == SIGHUP)
      reload(x, config_path);
    else if (signal == restart_signal)
      anew = true;
    else if (signal == SIGTERM || signal == SIGINT) {
      anew = false;
      break;
    } else if (!x.running())
      return fail(caf::make_error(ec::internal, std::string{"components failed too often"}));
  }
  log::info(component, "stopping");
  x.stop();
  log::info(component, "stopped");
  audit::record("stopped");
  return anew ? start_anew(config_path) : 0;
}

} // namespace

int run_node(const std::string& config_path, bool dump_config) {
  auto loaded = load_config(config_path);
  if (!loaded)
    return fail(loaded.error());
  if (dump_config) {
    std::fputs(loaded->effective.c_str(), stdout);
    return 0;
  }
  auto& config = loaded->config;
  if (auto err = log::configure(config.log_level, config.log_format))
    return fail(err);
  auto signals = node_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr); // before any thread: all inherit it
  std::signal(SIGPIPE, SIG_IGN);
  raise_open_files_limit();
  auto env = prepare_environment(config);
  if (!env)
    return fail(env.error());
  if (!config.audit_file.empty())
    if (auto err = audit::open({resolve_path(config, config.audit_file), config.audit_bytes_max,
                                config.audit_files_max}))
      return fail(err);
  (*env)->keys.restart = [] { ::kill(::getpid(), restart_signal); };
  node_system_config system_config;
  caf::actor_system system{system_config};
  auto x = node::start(system, *env);
  if (!x)
    return fail(x.error());
  log::info(component, "ready",
            {{"name", config.name},
             {"role", config.role},
             {"uid", to_string((*env)->context->uid)},
             {"api_port", (*x)->api_port()},
             {"tls_port", (*x)->tls_port()}});
  return serve(**x, config_path, signals);
}

} // namespace rvi
