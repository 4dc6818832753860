// SPDX-License-Identifier: MPL-2.0
//
// Connecting: a broker without connections that keeps the dials under way, a handler in the loop
// for each address tried, and a thread for each name looked up.

#include "actors/sockets/sockets.hpp"

#include <caf/actor.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/io/broker.hpp>
#include <caf/io/middleman.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/event_handler.hpp>
#include <caf/send.hpp>

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <map>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace rvi {

namespace {

using caf::io::network::default_multiplexer;
using caf::io::network::operation;

class connecting_handler;

/// Where the connector finds a handler; null once it is gone. Only the loop thread looks inside.
struct connecting_place {
  connecting_handler* handler = nullptr;
};

/// Waits until one address answers; the socket leaves the loop before anybody hears of it.
class connecting_handler : public caf::io::network::event_handler {
public:
  connecting_handler(default_multiplexer& loop, socket_fd fd,
                     std::shared_ptr<connecting_place> place, caf::actor_addr connector,
                     uint64_t dial)
    : event_handler(loop, fd.release()),
      place_(std::move(place)),
      connector_(std::move(connector)),
      dial_(dial) {
    place_->handler = this;
  }

  ~connecting_handler() override { place_->handler = nullptr; }

  void start() { backend().add(operation::write, fd(), this); }

  void stop() {
    cancelled_ = true;
    finish();
  }

  void handle_event(operation) override {
    socklen_t size = sizeof error_;
    if (::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error_, &size) != 0)
      error_ = errno;
    finish();
  }

  void removed_from_loop(operation) override {
    auto connector = caf::actor_cast<caf::actor>(connector_);
    if (connector && !cancelled_) {
      auto attempt = std::make_shared<dial_attempt>();
      attempt->dial = dial_;
      attempt->error = error_;
      attempt->fd = socket_fd{fd_};
      fd_ = caf::io::network::invalid_native_socket;
      caf::anon_send(connector, std::move(attempt));
    }
    delete this;
  }

  void graceful_shutdown() override { stop(); }

private:
  void finish() {
    backend().del(operation::write, fd(), this);
    if (eventbf() == 0) // the loop had not got to know it yet, and now will not
      delete this;
  }

  std::shared_ptr<connecting_place> place_;
  caf::actor_addr connector_;
  uint64_t dial_;
  int error_ = 0;
  bool cancelled_ = false;
};

struct lookup {
  uint64_t dial = 0;
  std::string host;
  uint16_t port = 0;
};

/// Blocks, so it has its own thread.
caf::behavior
look_up_name(caf::event_based_actor* self, const lookup& wanted, const connector_actor& connector) {
  resolved_name result{wanted.dial, {}, {}};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  auto port = std::to_string(wanted.port);
  if (auto error = ::getaddrinfo(wanted.host.c_str(), port.c_str(), &hints, &found))
    result.error = ::gai_strerror(error);
  for (auto i = found; i; i = i->ai_next)
    if (i->ai_family == AF_INET || i->ai_family == AF_INET6)
      result.addresses.emplace_back(reinterpret_cast<const char*>(i->ai_addr), i->ai_addrlen);
  if (found)
    ::freeaddrinfo(found);
  self->send(connector, std::move(result));
  return {};
}

/// The address as `resolved_name` carries it, if `host` is an IP literal.
std::optional<std::string> binary_address(std::string host, uint16_t port) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  sockaddr_in v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return std::string(reinterpret_cast<const char*>(&v4), sizeof v4);
  }
  sockaddr_in6 v6{};
  if (auto zone = host.find('%'); zone != host.npos) {
    v6.sin6_scope_id = if_nametoindex(host.c_str() + zone + 1);
    host.resize(zone);
  }
  if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1)
    return std::nullopt;
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  return std::string(reinterpret_cast<const char*>(&v6), sizeof v6);
}

std::string printable(const std::string& binary) {
  char host[NI_MAXHOST] = {};
  char port[NI_MAXSERV] = {};
  ::getnameinfo(reinterpret_cast<const sockaddr*>(binary.data()), socklen_t(binary.size()), host,
                sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  std::string text = host;
  return (text.find(':') == text.npos ? text : "[" + text + "]") + ":" + port;
}

struct connector_state {
  static constexpr const char* name = "connector";

  struct dial {
    caf::strong_actor_ptr receiver;
    dial_request request;
    caf::actor_clock::time_point due;
    std::vector<std::string> addresses;
    size_t next = 0;
    std::string detail = "no address";
    std::shared_ptr<connecting_place> place;
    bool looking_up = false;
  };

  explicit connector_state(caf::io::broker* self) : self(self) {}
  ~connector_state();

  void start(dial_request x);
  void resolve(uint64_t id);
  void resolved(resolved_name& x);
  void try_next(uint64_t id);
  void attempted(dial_attempt& x);
  void cancel(uint64_t number);
  void check_deadlines();
  void answer(const dial& d, socket_fd fd, const std::string& detail);
  void stop_attempt(dial& d);
  default_multiplexer& loop() { return dynamic_cast<default_multiplexer&>(self->backend()); }

  caf::io::broker* self;
  connector_config config;
  std::map<uint64_t, dial> dials;
  uint64_t last_dial = 0;
  size_t lookups = 0;
  bool ticking = false;
};

// May run in any thread, so handlers are only posted to.
connector_state::~connector_state() {
  for (auto& [id, d] : dials)
    stop_attempt(d);
}

void connector_state::stop_attempt(dial& d) {
  if (auto place = std::exchange(d.place, nullptr))
    loop().post([place = std::move(place)] {
      if (place->handler)
        place->handler->stop();
    });
}

void connector_state::start(dial_request x) {
  auto receiver = self->current_sender();
  if (!receiver)
    return;
  auto id = ++last_dial;
  dial d;
  d.receiver = std::move(receiver);
  d.request = std::move(x);
  d.due = self->clock().now() + std::chrono::milliseconds(d.request.timeout_ms);
  if (dials.size() >= config.dials_max) {
    answer(d, {}, "too many dials under way");
    return;
  }
  dials.emplace(id, std::move(d));
  if (!std::exchange(ticking, true))
    self->delayed_send(self, std::chrono::milliseconds(config.tick_ms), atom::tick_v);
  resolve(id);
}

void connector_state::resolve(uint64_t id) {
  auto& d = dials[id];
  if (auto address = binary_address(d.request.host, d.request.port)) {
    d.addresses.push_back(std::move(*address));
    try_next(id);
    return;
  }
  if (lookups >= config.lookups_max) {
    answer(d, {}, "too many names being looked up");
    dials.erase(id);
    return;
  }
  ++lookups;
  d.looking_up = true;
  self->spawn<caf::detached>(look_up_name, lookup{id, d.request.host, d.request.port},
                             caf::actor_cast<connector_actor>(self));
}

void connector_state::resolved(resolved_name& x) {
  --lookups;
  auto i = dials.find(x.dial);
  if (i == dials.end())
    return;
  i->second.looking_up = false;
  if (!x.error.empty())
    i->second.detail = i->second.request.host + ": " + x.error;
  i->second.addresses = std::move(x.addresses);
  try_next(x.dial);
}

void connector_state::try_next(uint64_t id) {
  auto& d = dials[id];
  while (d.next < d.addresses.size()) {
    auto& address = d.addresses[d.next++];
    auto generic = reinterpret_cast<const sockaddr*>(address.data());
    socket_fd fd{::socket(generic->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd) {
      d.detail = std::strerror(errno);
      continue;
    }
    int one = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    auto& device = d.request.device;
    if (!device.empty()
        && ::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, device.c_str(),
                        socklen_t(device.size() + 1))
             != 0) {
      d.detail = device + ": " + std::strerror(errno);
      continue;
    }
    if (::connect(fd.get(), generic, socklen_t(address.size())) == 0) {
      answer(d, std::move(fd), printable(address));
      dials.erase(id);
      return;
    }
    if (errno == EINPROGRESS) {
      d.place = std::make_shared<connecting_place>();
      (new connecting_handler(loop(), std::move(fd), d.place, self->address(), id))->start();
      return;
    }
    d.detail = printable(address) + ": " + std::strerror(errno);
  }
  answer(d, {}, d.detail);
  dials.erase(id);
}

void connector_state::attempted(dial_attempt& x) {
  auto i = dials.find(x.dial);
  if (i == dials.end())
    return;
  auto& d = i->second;
  d.place = nullptr;
  auto where = printable(d.addresses[d.next - 1]);
  if (x.error != 0) {
    d.detail = where + ": " + std::strerror(x.error);
    try_next(x.dial);
    return;
  }
  answer(d, std::move(x.fd), where);
  dials.erase(i);
}

void connector_state::cancel(uint64_t number) {
  auto sender = self->current_sender();
  for (auto i = dials.begin(); i != dials.end(); ++i)
    if (i->second.request.number == number && i->second.receiver == sender) {
      stop_attempt(i->second);
      dials.erase(i);
      return;
    }
}

void connector_state::check_deadlines() {
  auto now = self->clock().now();
  for (auto i = dials.begin(); i != dials.end();) {
    if (i->second.due > now) {
      ++i;
      continue;
    }
    stop_attempt(i->second);
    answer(i->second, {}, i->second.request.host + ": no answer in time");
    i = dials.erase(i);
  }
  ticking = !dials.empty();
  if (ticking)
    self->delayed_send(self, std::chrono::milliseconds(config.tick_ms), atom::tick_v);
}

/// A receiver that has ended in the meantime would lose the descriptor: it closes here.
void connector_state::answer(const dial& d, socket_fd fd, const std::string& detail) {
  if (d.receiver->get()->getf(caf::abstract_actor::is_terminated_flag))
    return;
  self->send(caf::actor_cast<caf::actor>(d.receiver), atom::connected_v, d.request.number,
             fd.release(), detail);
}

caf::behavior
connector(caf::io::stateful_broker<connector_state>* self, const connector_config& config) {
  auto& state = self->state;
  state.config = config;
  return {
    [&state](atom::setup, dial_request& x) { state.start(std::move(x)); },
    [&state](atom::close, uint64_t number) { state.cancel(number); },
    [&state](dial_attempt_ptr& x) { state.attempted(*x); },
    [&state](resolved_name& x) { state.resolved(x); },
    [&state](atom::tick) { state.check_deadlines(); },
  };
}

} // namespace

connector_actor start_connector(caf::actor_system& system, connector_config config) {
  return caf::actor_cast<connector_actor>(system.middleman().spawn_broker(connector, config));
}

} // namespace rvi
