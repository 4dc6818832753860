// SPDX-License-Identifier: MPL-2.0
//
// Knows which services live where (HLD 5.7, 7.3, 11): local ones, and those of every node seen.
// Publishes what it knows as the routing snapshot.

#pragma once

#include "actors/node/context.hpp"
#include "messages/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace rvi {

struct service_discovery_config {
  node_context_ptr node;
  authorization_actor authorization;
  store_and_forward_actor store_and_forward;
  std::vector<provisioned_address> provisioned;
  size_t services_per_node_max = 4'096;
  size_t nodes_max = 100'000;
};

/// True if a peer with these destination patterns may invoke something at or below the service.
bool may_see(const std::vector<std::string>& destinations, const std::string& service);

struct service_discovery_state {
  static constexpr const char* name = "service-discovery";
  explicit service_discovery_state(service_discovery_actor::pointer self) : self(self) {}

  struct live_link {
    link_actor handle;
    std::string node_address;
  };

  /// A link whose peer has our announcement.
  struct listener {
    link_actor handle;
    std::vector<std::string> destinations; // patterns of what the peer may reach
  };

  caf::result<atom::done> register_local(local_service x);
  void unregister_local(const std::string& service);
  /// Signs what we say of a service, and tells every peer that may see it.
  void say(const std::string& service, bool available);
  void send_announcement(const link_actor& link, const peer_identity& peer);
  void take_announcement(const link_actor& link, const peer_identity& peer, bool full,
                         const std::vector<announce_entry>& entries);
  expected<remote_service> check_entry(const peer_identity& peer, const announce_entry& x) const;
  void link_up(link_actor handle, link_info info);
  void link_down(uint64_t link);
  void change_node(const std::string& address, const std::function<void(known_node&)>& change);
  /// Who asks for the node by its uid is led to this address.
  bool holds_uid(const node_uid& uid, const std::string& address) const;
  void publish();
  std::string status() const;

  service_discovery_actor::pointer self;
  service_discovery_config config;
  routing_table table;
  std::map<std::string, announce_entry> signed_services;         // available local ones
  std::map<std::string, std::map<std::string, uint64_t>> remote; // node address -> service -> seq
  std::map<uint64_t, live_link> links;
  std::map<caf::actor_id, uint64_t> links_by_actor;
  std::map<caf::actor_id, listener> audience; // links up, or about to be
  uint64_t last_sequence = 0;
  metrics::gauge* local_services = nullptr;
  metrics::gauge* known_nodes = nullptr;
};

service_discovery_actor::behavior_type
service_discovery(service_discovery_actor::stateful_pointer<service_discovery_state> self,
                  service_discovery_config config);

} // namespace rvi
