// SPDX-License-Identifier: MPL-2.0
//
// Native sessions over TLS 1.3 and TCP: one driver that listens and dials, one broker for each
// connection. Sessions are the driver's temporary children: a peer can end its own, never the
// driver.

#pragma once

#include "actors/links/link_session.hpp"
#include "actors/node/config.hpp"
#include "actors/sockets/interfaces.hpp"
#include "actors/sockets/sockets.hpp"
#include "messages/actors.hpp"
#include "runtime/tls/tls.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace rvi {

struct tls_link_config {
  link_services services;
  listening_socket_ptr listening; // null: dials only
  std::string network_address;    // what peers may dial us at; empty: nowhere
  tls::identity identity;
  tls::options tls;
  std::string own_spki;
  native_session_limits limits;
  uint64_t connect_ms_max = 10'000;
  uint64_t authorize_ms_max = 10'000;
  uint64_t keepalive_ms = 30'000;
  uint64_t idle_ms = 0;
  size_t sessions_max = 10'000;
  // Sessions that others began and whose peer is not admitted yet.
  size_t unauthorized_per_address_max = 64;
  size_t unauthorized_max = 1'024;
  std::function<expected<tls::identity>()> identity_source; // for reload
  std::vector<named_interface> interfaces;                  // what links over them are called
  caf::actor dialler; // hears of hosts that pinged (HLD 7.4.1); null: nobody does
};

struct tls_link_state {
  static constexpr const char* name = "tls-link";
  explicit tls_link_state(caf::event_based_actor* self) : self(self) {}

  struct session {
    caf::actor broker;
    uint64_t number = 0;
    std::string host; // of the peer
    std::string kind = {};
    bool dialled = false;
    bool stranger = false; // it began this, and is not admitted
  };

  caf::error start();
  void dial(uint64_t number, const std::string& address, const std::string& kind);
  /// The interface to dial this kind over; empty: as the system routes.
  std::string device_of(const std::string& kind) const;
  /// What a link is called that came in at this socket.
  std::string kind_of(int fd) const;
  void connected(uint64_t number, int fd, const std::string& detail);
  void accepted(const accepted_socket_ptr& x);
  void spawn_session(uint64_t number, int fd, bool dialled, const std::string& address,
                     const std::string& kind);
  /// The session's peer is no stranger, or gone.
  void known(session& x);
  void session_ended(const caf::down_msg& x);
  void report(uint64_t number, const std::string& why);
  caf::error reload();

  caf::event_based_actor* self;
  tls_link_config config;
  std::shared_ptr<tls::context> tls;
  connector_actor connector;
  listener accepting;
  struct dial_under_way {
    std::string address;
    std::string kind;
  };
  std::map<uint64_t, dial_under_way> dialling; // by number
  interface_map_ptr networks;                  // null: not known
  std::map<caf::actor_addr, session> sessions;
  size_t strangers = 0;
  std::map<std::string, size_t> strangers_from; // by host; none with 0
  metrics::gauge* open = nullptr;
  metrics::counter* refused = nullptr;
};

/// Speaks link_driver_actor, and takes sockets from its listener and connector.
caf::behavior tls_link(caf::stateful_actor<tls_link_state>* self, tls_link_config config);

} // namespace rvi
