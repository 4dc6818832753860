// SPDX-License-Identifier: MPL-2.0
//
// Sockets before they have a broker: listening, accepting and connecting without blocking, inside
// CAF's multiplexer. A broker takes over a socket with `add_scribe(fd)`, which makes it
// non-blocking and sets TCP_NODELAY. It ends a connection with shutdown(2) on the handle's id,
// which is the descriptor: CAF's `close(handle)` sends no connection_closed_msg and waits for ever
// for a peer that does not read.

#pragma once

#include "actors/sockets/ip.hpp"
#include "messages/actors.hpp"
#include "runtime/error.hpp"

#include <caf/actor_addr.hpp>
#include <caf/actor_system.hpp>
#include <caf/replies_to.hpp>
#include <caf/typed_actor.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace rvi {

/// A file descriptor with an owner.
class socket_fd {
public:
  socket_fd() = default;
  explicit socket_fd(int fd) : fd_(fd) {}
  socket_fd(socket_fd&& x) noexcept : fd_(x.release()) {}
  socket_fd& operator=(socket_fd&& x) noexcept;
  ~socket_fd();

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// The caller owns it now.
  int release();

private:
  int fd_ = -1;
};

/// A socket that listens and does not yet accept. A Unix socket's file goes with it.
struct listening_socket {
  listening_socket() = default;
  listening_socket(const listening_socket&) = delete;
  listening_socket& operator=(const listening_socket&) = delete;
  ~listening_socket();

  socket_fd fd;
  uint16_t port = 0;   // TCP: the real one
  std::string path;    // Unix
  uint64_t device = 0; // of the file, to remove no other
  uint64_t file_number = 0;
};
using listening_socket_ptr = std::shared_ptr<listening_socket>;

/// Listens on an IP literal (`127.0.0.1`, `::1`, `[::1]`) or `localhost`; port 0 is any free one.
/// Error: `io_failed`, naming address and port.
expected<listening_socket_ptr> listen_tcp(const std::string& address, uint16_t port);

/// Streams for whoever is in the group, or packets that keep their bounds for the owner alone.
enum class unix_socket { stream_0660, packets_0600 };

/// Listens on a file; its folder is made with 0750 if it is missing. A file that is left over is
/// removed only if it is a socket and nobody answers on it. Error: `io_failed` with the path.
expected<listening_socket_ptr>
listen_unix(const std::string& path, unix_socket kind = unix_socket::stream_0660);

/// A connection somebody made to us. Take `fd.release()`, or it closes with this.
struct accepted_socket {
  socket_fd fd;
  std::string peer;            // TCP: "127.0.0.1:50123", "[::1]:50123"
  std::optional<uint32_t> uid; // Unix: the peer's user
  uint32_t gid = 0;            // and its group, if there is a uid
  uint16_t listening_port = 0; // TCP
};
using accepted_socket_ptr = std::shared_ptr<accepted_socket>;

/// Accepts from its construction to its end and sends each connection to `receiver` as one
/// `accepted_socket_ptr`. Keep it in the receiver's state: the middleman runs until it is gone.
class listener {
public:
  listener() = default;
  listener(caf::actor_system& system, listening_socket_ptr socket, caf::actor_addr receiver);
  listener(listener&&) noexcept = default;
  listener& operator=(listener&& x) noexcept;
  ~listener();
  void stop();

private:
  std::shared_ptr<class accepting_place> place_;
};

/// The address at this end of a connection; nothing for other sockets.
std::optional<ip_address> local_address(int fd);

/// One TCP connection wanted.
struct dial_request {
  uint64_t number = 0; // the caller's own
  std::string host;    // IP literal, with or without brackets, or a name
  uint16_t port = 0;
  uint64_t timeout_ms = 10'000; // for all addresses of the name together
  std::string device = {};      // over this network interface only; empty: as the system routes
};

/// What a handler in the loop made of one address. INTERNAL to the connector.
struct dial_attempt {
  uint64_t dial = 0;
  int error = 0; // errno
  socket_fd fd;
};
using dial_attempt_ptr = std::shared_ptr<dial_attempt>;

/// Binary addresses of a name. INTERNAL to the connector.
struct resolved_name {
  uint64_t dial = 0;
  std::string error;
  std::vector<std::string> addresses; // sockaddr_in or sockaddr_in6, port included
};

} // namespace rvi

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::accepted_socket_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::dial_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::dial_attempt_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::resolved_name)

namespace rvi {

/// Connects without blocking anybody; names are looked up in threads of their own.
using connector_actor = caf::typed_actor<
  // Answers the sender with (atom::connected, number, socket or -1, detail): one fact, not a
  // response. The detail is the peer's address, or what went wrong. The socket is the receiver's.
  caf::reacts_to<atom::setup, dial_request>,
  // The sender does not want this number any more: no answer comes, unless it is on its way.
  caf::reacts_to<atom::close, uint64_t>,
  // INTERNAL: an address answered or failed.
  caf::reacts_to<dial_attempt_ptr>,
  // INTERNAL: a name was looked up.
  caf::reacts_to<resolved_name>,
  // INTERNAL: deadlines.
  caf::reacts_to<atom::tick>>;

struct connector_config {
  size_t dials_max = 4'096; // under way; more fail at once
  size_t lookups_max = 16;  // threads; more fail at once
  uint64_t tick_ms = 50;    // resolution of timeouts, ticks only while dials are under way
};

/// Runs in the middleman's thread. Whoever starts it ends it (link to it, or send an exit).
connector_actor start_connector(caf::actor_system& system, connector_config config = {});

} // namespace rvi
