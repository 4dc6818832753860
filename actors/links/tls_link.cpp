// SPDX-License-Identifier: MPL-2.0

#include "actors/links/tls_link.hpp"

#include "actors/links/tls_session.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <caf/io/middleman.hpp>

#include <algorithm>
#include <charconv>
#include <unistd.h>
#include <utility>

namespace rvi {

namespace {

constexpr const char* component = "tls-link";

std::string host_of(const std::string& address) {
  return address.substr(0, address.rfind(':'));
}

std::optional<uint16_t> port_of(const std::string& address) {
  auto colon = address.rfind(':');
  if (colon == std::string::npos)
    return std::nullopt;
  uint16_t result = 0;
  auto* first = address.data() + colon + 1;
  auto* last = address.data() + address.size();
  auto [end, err] = std::from_chars(first, last, result);
  return err == std::errc{} && end == last && result != 0 ? std::optional{result} : std::nullopt;
}

} // namespace

caf::error tls_link_state::start() {
  auto made = tls::context::make(config.identity, config.tls);
  if (!made)
    return std::move(made.error());
  tls = std::move(*made);
  connector = start_connector(self->system());
  if (config.listening)
    accepting = listener{self->system(), config.listening, self->address()};
  return {};
}

void tls_link_state::report(uint64_t number, const std::string& why) {
  self->send(config.services.data_link, atom::closed_v, number, why);
}

std::string tls_link_state::device_of(const std::string& kind) const {
  std::string first;
  for (auto& x : config.interfaces) {
    if (x.kind != kind)
      continue;
    if (first.empty())
      first = x.device;
    if (networks)
      for (auto& [index, network] : *networks)
        if (network.name == x.device && network.usable())
          return x.device;
  }
  return first;
}

std::string tls_link_state::kind_of(int fd) const {
  if (config.interfaces.empty() || !networks)
    return {};
  auto own = local_address(fd);
  for (auto& [index, network] : *networks)
    if (own && network.has(*own))
      for (auto& x : config.interfaces)
        if (x.device == network.name)
          return x.kind;
  return {};
}

void tls_link_state::dial(uint64_t number, const std::string& address, const std::string& kind) {
  auto port = port_of(address);
  if (!port) {
    report(number, "no host:port: " + address);
    return;
  }
  dialling[number] = {address, kind};
  self->send(connector, atom::setup_v,
             dial_request{number, host_of(address), *port, config.connect_ms_max,
                          kind.empty() ? std::string{} : device_of(kind)});
}

void tls_link_state::connected(uint64_t number, int fd, const std::string& detail) {
  auto i = dialling.find(number);
  if (i == dialling.end()) {
    if (fd >= 0)
      ::close(fd);
    return;
  }
  auto [address, kind] = std::move(i->second);
  dialling.erase(i);
  if (fd < 0) {
    report(number, detail);
    return;
  }
  spawn_session(number, fd, true, address, kind);
}

void tls_link_state::accepted(const accepted_socket_ptr& x) {
  auto host = host_of(x->peer);
  auto from_there = strangers_from.find(host);
  // Loopback holds whole test fleets; everybody else gets a share.
  bool loopback = host == "127.0.0.1" || host == "[::1]";
  bool crowded = !loopback && from_there != strangers_from.end()
                 && from_there->second >= config.unauthorized_per_address_max;
  if (sessions.size() >= config.sessions_max || strangers >= config.unauthorized_max || crowded) {
    refused->add();
    audit::refused("connection",
                   caf::make_error(ec::busy, std::string{crowded ? "too many from one address"
                                                                 : "too many at once"}),
                   {{"address", x->peer}});
    return; // the socket closes with x
  }
  auto kind = kind_of(x->fd.get());
  spawn_session(config.services.node->link_numbers->fetch_add(1), x->fd.release(), false, x->peer,
                kind);
}

void tls_link_state::spawn_session(uint64_t number, int fd, bool dialled,
                                   const std::string& address, const std::string& kind) {
  tls_session_config x;
  x.link.services = config.services;
  x.link.number = number;
  x.link.kind = kind;
  x.link.remote_address = address;
  x.link.dialled = dialled;
  x.link.limits = config.limits;
  x.link.authorize_ms_max = config.authorize_ms_max;
  x.link.keepalive_ms = config.keepalive_ms;
  x.link.idle_ms = config.idle_ms;
  x.fd = fd;
  x.tls = tls;
  x.address = address;
  x.own_spki = config.own_spki;
  x.network_address = config.network_address;
  x.owner = caf::actor_cast<caf::actor>(self);
  auto broker = self->system().middleman().spawn_broker(tls_session, std::move(x));
  self->monitor(broker);
  auto host = host_of(address);
  if (!dialled) {
    ++strangers;
    ++strangers_from[host];
  }
  sessions[broker.address()] = {broker, number, std::move(host), kind, dialled, !dialled};
  open->set(static_cast<double>(sessions.size()));
}

void tls_link_state::known(session& x) {
  if (!std::exchange(x.stranger, false))
    return;
  --strangers;
  auto i = strangers_from.find(x.host);
  if (--i->second == 0)
    strangers_from.erase(i);
}

void tls_link_state::session_ended(const caf::down_msg& x) {
  auto i = sessions.find(x.source);
  if (i == sessions.end())
    return;
  // Whoever connects and says nothing asks to be dialled: the handshake proves where it is.
  if (config.dialler && !i->second.dialled && detail_of(x.reason) == said_nothing)
    self->send(config.dialler, atom::connected_v, i->second.host, i->second.kind);
  report(i->second.number, describe(x.reason));
  known(i->second);
  sessions.erase(i);
  open->set(static_cast<double>(sessions.size()));
}

caf::error tls_link_state::reload() {
  if (config.identity_source) {
    auto identity = config.identity_source();
    if (!identity)
      return std::move(identity.error());
    config.identity = std::move(*identity);
  }
  auto made = tls::context::make(config.identity, config.tls);
  if (!made)
    return std::move(made.error());
  tls = std::move(*made);
  return {};
}

caf::behavior tls_link(caf::stateful_actor<tls_link_state>* self, tls_link_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  auto& m = *st.config.services.node->metrics;
  st.open = &m.get_gauge("rvi_tls_sessions", "Open TLS connections.");
  st.refused = &m.get_counter("rvi_tls_connections_refused_total", "Connections over a limit.");
  if (auto err = st.start()) {
    log::error(component, "cannot start", {{"error", describe(err)}});
    self->quit(err);
    return {};
  }
  self->set_down_handler([&st](const caf::down_msg& x) { st.session_ended(x); });
  self->send(st.config.services.data_link, atom::attach_v, std::string{"tls"},
             caf::actor_cast<link_driver_actor>(self));
  return {
    [&st](atom::setup, uint64_t number, const std::string& address, const std::string& kind) {
      st.dial(number, address, kind);
    },
    [&st](atom::available, const interface_map_ptr& networks) { st.networks = networks; },
    [&st](atom::connected, uint64_t number, int fd, const std::string& detail) {
      st.connected(number, fd, detail);
    },
    [&st](const accepted_socket_ptr& x) { st.accepted(x); },
    [&st, self](atom::admit) { // by one of the sessions
      auto i = st.sessions.find(caf::actor_cast<caf::actor_addr>(self->current_sender()));
      if (i != st.sessions.end())
        st.known(i->second);
    },
    [&st](atom::reload) -> caf::result<atom::done> {
      if (auto err = st.reload())
        return err;
      return atom::done_v;
    },
  };
}

} // namespace rvi
