// SPDX-License-Identifier: MPL-2.0

#include "actors/links/loopback_link.hpp"

#include "actors/links/link_session_handlers.hpp"
#include "actors/links/watch_owner.hpp"
#include "actors/wake_timer.hpp"
#include "runtime/crypto/crypto.hpp"

namespace rvi {

namespace {

struct loopback_session_config {
  link_session_config link;
  std::string own_spki;
  std::string exporter;
  std::string network_address;
  std::shared_ptr<loopback_hub> hub;
  caf::actor owner;
};

struct loopback_session_state {
  static constexpr const char* name = "loopback-session";
  explicit loopback_session_state(caf::event_based_actor* self) : self(self) {}

  void connect(const caf::actor& x, const std::string& peer_spki) {
    peer = x;
    config.hub->watch(self, peer);
    link->start({config.link.dialled,
                 config.own_spki,
                 peer_spki,
                 config.exporter,
                 config.network_address,
                 0,
                 {},
                 {}});
    flush();
  }

  void flush() {
    link->unsent(0); // the hub takes everything at once
    auto bytes = link->take_output();
    if (!bytes.empty() && peer)
      config.hub->carry(caf::actor{self}, peer, std::move(bytes));
    if (link->ended())
      self->quit(caf::make_error(ec::link_down, link->reason()));
    else
      timer.arm(self, config.link.services.node->time->boot_ms(), link->next_deadline_ms());
  }

  caf::event_based_actor* self;
  loopback_session_config config;
  std::optional<link_session> link;
  caf::actor peer;
  wake_timer timer;
};

caf::behavior loopback_session(caf::stateful_actor<loopback_session_state>* self,
                               loopback_session_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  st.link.emplace(st.config.link, caf::actor_cast<link_actor>(caf::actor{self}));
  watch_owner(self, st.config.owner);
  self->attach_functor([hub = st.config.hub, address = self->address()] { hub->ended(address); });
  self->set_down_handler([&st](const caf::down_msg&) {
    st.link->close("shutdown", "");
    st.flush();
  });
  st.flush();
  // Each message may produce frames; they go at once, as on a socket.
  caf::message_handler own{
    [&st](atom::connected, const caf::actor& peer, const std::string& peer_spki) {
      st.connect(peer, peer_spki);
    },
    [&st](atom::received, const std::string& bytes) {
      st.link->receive(bytes);
      st.flush();
    },
    [&st](atom::tick) {
      st.timer.fired();
      st.link->tick();
      st.flush();
    },
  };
  return own.or_else(link_session_handlers(st));
}

} // namespace

// -- the network ----------------------------------------------------------------------------------

bool loopback_hub::answers(const std::string&, const std::string& to, const std::string&) const {
  return find(to) != nullptr;
}

void loopback_hub::call(const std::string& from, const std::string& to, const std::string&,
                        const caf::actor& dialling, const std::string& spki,
                        const std::string& exporter) {
  if (auto driver = find(to))
    caf::anon_send(driver, atom::connected_v, dialling, spki, exporter, from);
}

void loopback_hub::answer(const caf::actor& dialling, const caf::actor& answering,
                          const std::string& spki) {
  caf::anon_send(dialling, atom::connected_v, answering, spki);
}

void loopback_hub::carry(const caf::actor&, const caf::actor& to, std::string bytes) {
  caf::anon_send(to, atom::received_v, std::move(bytes));
}

void loopback_hub::watch(caf::event_based_actor* session, const caf::actor& peer) {
  session->monitor(peer);
}

void loopback_hub::ended(const caf::actor_addr&) {}

// -- the driver -----------------------------------------------------------------------------------

caf::actor
loopback_link_state::spawn_session(uint64_t number, bool dialled, const std::string& kind,
                                   const std::string& exporter, const std::string& peer_address) {
  loopback_session_config x;
  x.link.services = config.services;
  x.link.number = number;
  x.link.kind = dialled && kind.empty() ? "loopback" : kind;
  x.link.remote_address = peer_address;
  x.link.dialled = dialled;
  x.link.limits = config.limits;
  x.link.authorize_ms_max = config.authorize_ms_max;
  x.link.keepalive_ms = config.keepalive_ms;
  x.link.idle_ms = config.idle_ms;
  x.own_spki = config.own_spki;
  x.exporter = exporter;
  if (config.advertised)
    x.network_address = config.address;
  x.hub = config.hub;
  x.owner = caf::actor{self};
  auto session = self->system().spawn(loopback_session, std::move(x));
  self->monitor(session);
  sessions[session.address()] = number;
  return session;
}

void loopback_link_state::dial(uint64_t number, const std::string& address,
                               const std::string& kind) {
  if (!config.hub->answers(config.address, address, kind)) {
    self->send(config.services.data_link, atom::closed_v, number, "nobody answers at " + address);
    return;
  }
  auto exporter = crypto::random_bytes(32);
  auto session = spawn_session(number, true, kind, exporter, address);
  config.hub->call(config.address, address, kind, session, config.own_spki, exporter);
}

void loopback_link_state::accept(const caf::actor& peer, const std::string& peer_spki,
                                 const std::string& exporter, const std::string& from) {
  auto number = config.services.node->link_numbers->fetch_add(1);
  auto session = spawn_session(number, false, {}, exporter, from); // the caller names the kind
  self->send(session, atom::connected_v, peer, peer_spki);
  config.hub->answer(peer, session, config.own_spki);
}

void loopback_link_state::session_ended(const caf::down_msg& x) {
  auto i = sessions.find(x.source);
  if (i == sessions.end())
    return;
  self->send(config.services.data_link, atom::closed_v, i->second, describe(x.reason));
  sessions.erase(i);
}

caf::behavior
loopback_link(caf::stateful_actor<loopback_link_state>* self, loopback_link_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  st.config.hub->join(st.config.address, caf::actor{self});
  self->attach_functor([hub = st.config.hub, address = st.config.address] { hub->leave(address); });
  self->set_down_handler([&st](const caf::down_msg& x) { st.session_ended(x); });
  self->send(st.config.services.data_link, atom::attach_v, std::string{"loopback"},
             caf::actor_cast<link_driver_actor>(caf::actor{self}));
  return {
    [&st](atom::setup, uint64_t number, const std::string& address, const std::string& kind) {
      st.dial(number, address, kind);
    },
    [&st](atom::connected, const caf::actor& peer, const std::string& peer_spki,
          const std::string& exporter,
          const std::string& from) { st.accept(peer, peer_spki, exporter, from); },
    [](atom::reload) { return atom::done_v; },
  };
}

} // namespace rvi
