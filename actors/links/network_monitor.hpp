// SPDX-License-Identifier: MPL-2.0
//
// Notices when a network comes and goes (RVI-DLINK-DISC-3), as the kernel says it over netlink: no
// polling, no privileges. Where netlink is refused that is logged once, and links come back by
// their backoff alone.

#pragma once

#include "actors/node/config.hpp"
#include "actors/sockets/datagrams.hpp"
#include "actors/sockets/interfaces.hpp"
#include "messages/actors.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <set>
#include <string>
#include <vector>

namespace rvi {

/// Which kinds of link can be used, by what is known of the interfaces: what has changed from one
/// look to the next.
class network_kinds {
public:
  explicit network_kinds(std::vector<named_interface> names) : names_(std::move(names)) {}

  struct change {
    std::vector<std::string> up; // a kind once for each interface of it that has something new
    std::vector<std::string> down;
  };

  /// Without names all networks are of the one kind "tls", and only what comes up later counts:
  /// what is there at the start is dialled anyway.
  change look(const interface_map& now);

private:
  std::set<std::string> kinds_of(const interface_map& x) const;
  std::string kind_of(const network_interface& x) const;

  std::vector<named_interface> names_;
  interface_map before_;
  bool first_ = true;
};

struct network_monitor_config {
  data_link_actor data_link;
  std::vector<named_interface> interfaces;
  std::vector<caf::actor> receivers; // of (atom::available, interface_map_ptr) at each change
};

struct network_monitor_state {
  static constexpr const char* name = "network-monitor";
  explicit network_monitor_state(caf::event_based_actor* self) : self(self) {}

  void start();
  void list_all();
  void take(const datagram_batch& x);
  void publish();

  caf::event_based_actor* self;
  network_monitor_config config;
  shared_socket socket;
  datagram_reader reader;
  interface_table table;
  network_kinds kinds{{}};
  uint32_t sequence = 0;
  bool listing = false;           // all is being listed
  bool listing_addresses = false; // links come first
};

caf::behavior
network_monitor(caf::stateful_actor<network_monitor_state>* self, network_monitor_config config);

} // namespace rvi
