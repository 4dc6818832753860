// SPDX-License-Identifier: MPL-2.0
//
// `rvi signer`: a process that alone has a node's key and signs for its router ([node] signer).

#include "actors/sockets/sockets.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/observe/log.hpp"
#include "runtime/signer/hardening.hpp"
#include "runtime/signer/server.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <pwd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace rvi {

namespace {

constexpr auto me = "signer";
/// What the key signs once before anybody may ask, so that all it needs is there.
constexpr std::string_view probe = "RVI-KEY-CHECK-1";

struct signer_options {
  std::string key = "node.key";
  std::string socket;
  std::string user;
  std::string level = "info";
  std::string format = "text";
};

expected<uid_t> user_id(const std::string& name) {
  if (name.empty())
    return ::geteuid();
  uid_t number = 0;
  auto end = name.data() + name.size();
  auto [stop, error] = std::from_chars(name.data(), end, number);
  if (error == std::errc{} && stop == end)
    return number;
  auto* found = ::getpwnam(name.c_str());
  if (found == nullptr)
    return caf::make_error(ec::config_invalid, "--user " + name + ": there is no such user");
  return found->pw_uid;
}

/// sd_listen_fds(3): the socket that systemd has made, whose file belongs to the router's user.
expected<socket_fd> passed_socket() {
  auto number = [](const char* name) {
    auto* text = std::getenv(name);
    return text == nullptr ? -1 : std::atol(text);
  };
  if (number("LISTEN_PID") != ::getpid())
    return socket_fd{};
  constexpr int first = 3;
  int type = 0;
  int listening = 0;
  socklen_t size = sizeof type;
  if (number("LISTEN_FDS") != 1 || ::getsockopt(first, SOL_SOCKET, SO_TYPE, &type, &size) != 0
      || ::getsockopt(first, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0
      || type != SOCK_SEQPACKET || listening == 0)
    return caf::make_error(ec::config_invalid,
                           std::string{"systemd must pass one socket, ListenSequentialPacket="});
  ::fcntl(first, F_SETFD, FD_CLOEXEC);
  ::fcntl(first, F_SETFL, O_NONBLOCK);
  return socket_fd{first};
}

/// Only `peer` may connect; only root may give it the file.
expected<listening_socket_ptr> make_socket(const std::string& path, uid_t peer) {
  auto result = listen_unix(path, unix_socket::packets_0600);
  if (result && peer != ::geteuid() && ::lchown(path.c_str(), peer, gid_t(-1)) != 0)
    return caf::make_error(ec::io_failed, path + " cannot be given to user " + std::to_string(peer)
                                            + " (" + std::strerror(errno)
                                            + "); let systemd make it: rvi-signer@.socket");
  return result;
}

expected<socket_fd> stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int x : {SIGTERM, SIGINT})
    sigaddset(&signals, x);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr); // before a module starts threads
  socket_fd result{::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK)};
  if (!result)
    return caf::make_error(ec::io_failed, std::string{"signalfd: "} + std::strerror(errno));
  return result;
}

expected<crypto::private_key> open_key(const std::string& from) {
  auto key = crypto::load_private_key(from);
  auto signature = key ? key->sign(probe) : std::move(key.error());
  if (!signature)
    return std::move(signature.error());
  return key;
}

int run_signer(const signer_options& options) {
  if (auto err = signer::hide_process())
    return fail(me, err);
  auto form = options.format == "json" ? log::format::json : log::format::text;
  if (auto err = log::configure(log::level_of(options.level).value_or(log::level::info), form))
    return fail(me, err);
  auto peer = user_id(options.user);
  auto stop = stop_signals();
  auto passed = passed_socket();
  if (!peer)
    return fail(me, peer.error());
  if (!stop)
    return fail(me, stop.error());
  if (!passed)
    return fail(me, passed.error());
  if (!*passed && options.socket.empty())
    return fail_usage(me, "--socket is missing, and systemd has passed none");
  auto key = open_key(options.key);
  if (!key)
    return fail(me, key.error());
  listening_socket_ptr made;
  if (!*passed) {
    auto socket = make_socket(options.socket, *peer);
    if (!socket)
      return fail(me, socket.error());
    made = std::move(*socket);
  }
  auto place = key->external() ? signer::key_place::token : signer::key_place::memory;
  log::info(me, "ready",
            {{"key", key->external() ? key->external()->location() : options.key},
             {"uid", to_string(key->public_part().uid())},
             {"serves_uid", *peer}});
  if (auto err = signer::drop_calls(place))
    return fail(me, err);
  signer::server_options serving;
  serving.key = std::move(*key);
  serving.listening_fd = made ? made->fd.get() : passed->get();
  serving.stop_fd = stop->get();
  serving.peer = *peer;
  auto served = signer::serve(serving);
  if (!served)
    return fail(me, served.error());
  log::info(me, "stopped");
  return exit_done;
}

} // namespace

void add_signer_command(CLI::App& app, command& chosen) {
  auto x = std::make_shared<signer_options>();
  auto sub
    = app.add_subcommand("signer", "Hold a node's private key and sign for its router, until "
                                   "SIGTERM: [node] signer = \"SOCKET\" in its rvi.toml");
  sub
    ->add_option("--key", x->key,
                 "a key file, or pkcs11:token=T;object=K?module-path=M&pin-source=F")
    ->capture_default_str();
  sub->add_option("--socket", x->socket,
                  "where to listen (mode 0600, for --user); not if systemd passes a socket");
  sub->add_option("--user", x->user, "name or number of the router's user; this one by default");
  sub->add_option("--log-level", x->level, "debug tells of sessions, certificates and grants")
    ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
    ->capture_default_str();
  sub->add_option("--log-format", x->format, "text or json")
    ->check(CLI::IsMember({"text", "json"}))
    ->capture_default_str();
  sub->callback([x, &chosen] { chosen = [x] { return run_signer(*x); }; });
}

} // namespace rvi
