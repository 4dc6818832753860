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
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace rvi {

struct service_discovery_config {
  node_context_ptr node;
  store_actor store;
  authorization_actor authorization;
  store_and_forward_actor store_and_forward;
  std::vector<provisioned_address> provisioned;
  size_t services_per_node_max = 4'096;
  size_t nodes_remembered_max = 10'000; // besides those linked; who was seen longest ago goes first
};

/// True if a peer with these destination patterns may invoke something at or below the service.
bool may_see(const std::vector<std::string>& destinations, const std::string& service);

struct service_discovery_state {
  static constexpr const char* name = "service-discovery";
  explicit service_discovery_state(service_discovery_actor::pointer self) : self(self) {}

  struct live_link {
    link_actor handle;
    std::string node_address;
    std::string kind = {};
    uint64_t round_trip_us = 0;
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

  // service_discovery_memory.cpp: the nodes met before, and who hears of changes
  void recall();
  void read_nodes();
  void take_remembered(std::vector<known_node> nodes);
  /// Keeps the node (null: none) durably and drops the others, with the next commit.
  void write(known_node_ptr node, std::vector<node_uid> forgotten = {});
  void remember(const std::string& address);
  void forget_oldest();
  void tell(std::vector<availability_event> events, const char* reason = nullptr);
  void tell_local(const std::string& service, bool available);
  void attach(availability_listener_actor x);
  void judge_nodes();
  void measured(uint64_t link, uint64_t round_trip_us);

  service_discovery_actor::pointer self;
  service_discovery_config config;
  routing_table table;
  std::map<std::string, announce_entry> signed_services;         // available local ones
  std::map<std::string, std::map<std::string, uint64_t>> remote; // node address -> service -> seq
  std::map<uint64_t, live_link> links;
  std::map<std::string, std::set<uint64_t>> links_by_node; // node address
  std::map<caf::actor_id, uint64_t> links_by_actor;
  std::map<caf::actor_id, listener> audience;      // links up, or about to be
  std::set<std::pair<uint64_t, std::string>> away; // last seen, node address: who is not linked
  availability_listener_actor listener;
  uint64_t last_sequence = 0;
  metrics::gauge* local_services = nullptr;
  metrics::gauge* known_nodes = nullptr;
};

service_discovery_actor::behavior_type
service_discovery(service_discovery_actor::stateful_pointer<service_discovery_state> self,
                  service_discovery_config config);

} // namespace rvi
