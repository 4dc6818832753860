// SPDX-License-Identifier: MPL-2.0
//
// Accepting in the multiplexer's loop. The handler belongs to the loop thread alone; everybody else
// holds its place and posts.

#include "actors/sockets/sockets.hpp"

#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/io/middleman.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/event_handler.hpp>
#include <caf/send.hpp>

#include <arpa/inet.h>
#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace rvi {

namespace {

using caf::io::network::default_multiplexer;
using caf::io::network::operation;

constexpr int accepts_per_event_max = 64;

std::string text_of(const sockaddr_storage& x) {
  char text[INET6_ADDRSTRLEN] = {};
  if (x.ss_family == AF_INET6) {
    auto& v6 = reinterpret_cast<const sockaddr_in6&>(x);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  auto& v4 = reinterpret_cast<const sockaddr_in&>(x);
  inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  return std::string(text) + ":" + std::to_string(ntohs(v4.sin_port));
}

/// Without a uid nobody may come in: the kernel always gives one for Unix sockets.
bool describe_peer(accepted_socket& x, const sockaddr_storage& address) {
  if (address.ss_family == AF_INET || address.ss_family == AF_INET6) {
    x.peer = text_of(address);
    int one = 1;
    ::setsockopt(x.fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return true;
  }
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(x.fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return false;
  x.uid = credentials.uid;
  x.gid = credentials.gid;
  x.peer = "pid:" + std::to_string(credentials.pid);
  return true;
}

} // namespace

class accepting_handler;

/// Where others find the handler; null once it is gone. Only the loop thread looks inside.
class accepting_place {
public:
  explicit accepting_place(default_multiplexer& loop) : loop(loop) {}
  default_multiplexer& loop;
  accepting_handler* handler = nullptr;
};

class accepting_handler : public caf::io::network::event_handler {
public:
  accepting_handler(std::shared_ptr<accepting_place> place, listening_socket_ptr socket,
                    caf::actor_addr receiver)
    : event_handler(place->loop, socket->fd.get()),
      place_(std::move(place)),
      socket_(std::move(socket)),
      receiver_(std::move(receiver)),
      spare_(::open("/dev/null", O_RDONLY | O_CLOEXEC)) {}

  ~accepting_handler() override {
    place_->handler = nullptr;
    fd_ = caf::io::network::invalid_native_socket; // socket_ closes it
  }

  void start() { backend().add(operation::read, fd(), this); }

  void stop() {
    backend().del(operation::read, fd(), this);
    if (eventbf() == 0) // the loop had not got to know it yet, and now will not
      delete this;
  }

  void handle_event(operation op) override {
    if (op != operation::read)
      return;
    for (int i = 0; i < accepts_per_event_max; ++i)
      if (!accept_one())
        return;
  }

  void removed_from_loop(operation) override { delete this; }
  void graceful_shutdown() override { stop(); }

private:
  bool accept_one() {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    auto generic = reinterpret_cast<sockaddr*>(&address);
    socket_fd fd{::accept4(fd_, generic, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    if (!fd)
      return recover(errno);
    auto accepted = std::make_shared<accepted_socket>();
    accepted->fd = std::move(fd);
    accepted->listening_port = socket_->port;
    auto receiver = caf::actor_cast<caf::actor>(receiver_);
    if (receiver && describe_peer(*accepted, address))
      caf::anon_send(receiver, std::move(accepted));
    return true;
  }

  /// Without a free descriptor the loop would spin on a connection it can neither take nor refuse:
  /// the spare one serves to take it and close it.
  bool recover(int error) {
    if (error == EINTR || error == ECONNABORTED)
      return true;
    if (error != EMFILE && error != ENFILE)
      return false;
    spare_ = socket_fd{};
    socket_fd refused{::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC)};
    auto took_one = bool(refused);
    refused = socket_fd{};
    spare_ = socket_fd{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    return took_one;
  }

  std::shared_ptr<accepting_place> place_;
  listening_socket_ptr socket_;
  caf::actor_addr receiver_;
  socket_fd spare_;
};

listener::listener(caf::actor_system& system, listening_socket_ptr socket,
                   caf::actor_addr receiver) {
  auto& loop = dynamic_cast<default_multiplexer&>(system.middleman().backend());
  place_ = std::make_shared<accepting_place>(loop);
  loop.post([place = place_, socket = std::move(socket), receiver = std::move(receiver)]() mutable {
    place->handler = new accepting_handler(place, std::move(socket), std::move(receiver));
    place->handler->start();
  });
}

listener& listener::operator=(listener&& x) noexcept {
  if (this != &x) {
    stop();
    place_ = std::move(x.place_);
  }
  return *this;
}

listener::~listener() {
  stop();
}

void listener::stop() {
  auto place = std::exchange(place_, nullptr);
  if (!place)
    return;
  auto& loop = place->loop;
  loop.post([place = std::move(place)] {
    if (place->handler)
      place->handler->stop();
  });
}

} // namespace rvi
