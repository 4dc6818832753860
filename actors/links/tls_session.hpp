// SPDX-License-Identifier: MPL-2.0
//
// One TLS connection: moves bytes between a socket, a TLS session and a native session.

#pragma once

#include "actors/links/link_session.hpp"
#include "actors/wake_timer.hpp"
#include "runtime/tls/tls.hpp"

#include <caf/io/broker.hpp>
#include <caf/io/connection_handle.hpp>
#include <caf/stateful_actor.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace rvi {

/// How a session ends whose peer connected and never sent a byte: the ping of HLD 7.4.1.
inline constexpr std::string_view said_nothing = "connection closed without a word";

struct tls_session_config {
  link_session_config link;
  int fd = -1;
  std::shared_ptr<tls::context> tls;
  std::string address; // dialled, or the peer's
  std::string own_spki;
  std::string network_address;
  caf::actor owner; // ends the session with it
};

struct tls_session_state {
  static constexpr const char* name = "tls-session";
  explicit tls_session_state(caf::io::broker* self) : self(self) {}

  void start(tls_session_config x);
  void receive(const std::vector<char>& bytes);
  void channel_ready();
  /// Sends what has been produced; ends the connection once the session has ended.
  void flush();
  /// Ends the session; the connection goes once the peer has what was written, or after a moment.
  void end(const std::string& why);
  void send_output();
  void transferred_more(uint64_t bytes);
  void leave();
  void wake();
  uint64_t now_ms() const;

  caf::io::broker* self;
  tls_session_config config;
  caf::io::connection_handle connection;
  std::optional<tls::session> tls;
  std::optional<link_session> link;
  bool bound = false;    // the native session runs
  bool admitted = false; // the peer is, and the owner knows
  bool over = false;
  bool heard = false; // anything from the peer
  bool left = false;
  uint64_t appended = 0;    // bytes given to the socket
  uint64_t transferred = 0; // bytes it took
  uint64_t over_ms = 0;
  wake_timer timer;
  std::string reason;
  bool busy = false; // reads in large pieces now
  std::string plaintext;
};

using tls_session_broker = caf::stateful_actor<tls_session_state, caf::io::broker>;

/// Speaks link_actor.
caf::behavior tls_session(tls_session_broker* self, tls_session_config config);

} // namespace rvi
