// SPDX-License-Identifier: MPL-2.0
//
// Finds nodes on the networks this one is on (HLD 7.4.2, RVI-DLINK-DISC-1 to 3): sends beacons and
// dials whoever is heard; also dials back hosts of trusted networks that ping (HLD 7.4.1). It
// answers nothing by UDP, and believes nothing but that somebody may be there.

#pragma once

#include "actors/links/beacon.hpp"
#include "actors/links/dial_budget.hpp"
#include "actors/node/config.hpp"
#include "actors/node/context.hpp"
#include "actors/sockets/datagrams.hpp"
#include "actors/sockets/interfaces.hpp"
#include "actors/wake_timer.hpp"
#include "messages/actors.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace rvi {

/// Where beacons go out and come in; errors are logged by it. A test takes its place.
class beacon_medium {
public:
  virtual ~beacon_medium() = default;
  /// Hears the group on this interface from now on.
  virtual void join(uint32_t interface) = 0;
  virtual void send(uint32_t interface, const std::string& beacon) = 0;
};

/// Real sockets, IPv4 and IPv6; what comes in goes to `receiver` as `datagram_batch_ptr`.
std::unique_ptr<beacon_medium>
open_beacon_medium(caf::actor_system& system, uint16_t port, const caf::actor_addr& receiver);

struct node_discovery_config {
  node_context_ptr node;
  data_link_actor data_link;
  discovery_config settings;
  uint16_t tcp_port = 0; // where this node takes links; 0: nowhere, so it sends no beacons
  std::vector<named_interface> interfaces;
  std::vector<std::string> connect;  // addresses dialled always: known
  std::vector<ip_network> dial_back; // hosts that may ping; empty: none
  std::unique_ptr<beacon_medium> (*open_medium)(caf::actor_system&, uint16_t,
                                                const caf::actor_addr&)
    = open_beacon_medium;
};

struct node_discovery_state {
  static constexpr const char* name = "node-discovery";
  explicit node_discovery_state(caf::event_based_actor* self) : self(self) {}

  void start();
  void networks_changed(interface_map_ptr x);
  void heard(const datagram_batch& x);
  void heard_one(const datagram& x);
  void pinged(const std::string& host, const std::string& kind);
  bool is_known(const std::string& address);
  std::string kind_of(const network_interface& x) const;
  void send_beacons();
  void dial_found();
  void wake();
  void arm();
  uint64_t now_ms() const { return config.node->time->boot_ms(); }

  caf::event_based_actor* self;
  node_discovery_config config;
  std::unique_ptr<beacon_medium> medium;
  interface_map_ptr networks;
  std::map<uint32_t, beacon_schedule> schedules; // by interface that is up
  std::set<uint32_t> joined;
  std::string key; // of the ephemeral ids
  std::array<uint8_t, 16> instance{};
  dial_budget budget{0};
  std::set<std::string> known; // addresses of nodes we know, as of this version
  uint64_t known_version = UINT64_MAX;
  uint64_t known_again_ms = 0; // not collected before, boot time
  uint64_t draw_ms = 0;        // when those found are drawn from, boot time; 0: nobody was
  wake_timer timer;
  metrics::counter* beacons_sent = nullptr;
  metrics::counter* beacons_heard = nullptr;
  metrics::counter* beacons_refused = nullptr;
  metrics::counter* found = nullptr;
};

/// Takes (atom::available, interface_map_ptr) from network_monitor, (atom::connected, host, kind)
/// of a ping, and datagrams.
caf::behavior
node_discovery(caf::stateful_actor<node_discovery_state>* self, node_discovery_config config);

} // namespace rvi
