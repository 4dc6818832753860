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
#include <optional>
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
    peer_identity peer = {};
  };

  /// A service as its owner signed it, heard from the owner or from a relay.
  struct heard_service {
    announce_entry entry;
    node_uid owner{};
    uint64_t sequence = 0;
    bool available = false;      // false: kept so that an older entry is known as one
    std::vector<node_uid> route; // from here: relays on the way; empty: its owner is a peer
    bool away = false;           // the first of them has no way on
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
  /// Keeps the table of former keys in step with this node's record.
  void follow_keys(const known_node* before, const known_node& now);
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

  // -- relaying (service_discovery_relay.cpp) -------------------------------------------------
  /// What an owner said itself, for those this node relays to.
  void note_owned(const peer_identity& owner, const announce_entry& entry, const remote_service& x);
  /// The owner has said everything anew: what it left out is gone.
  void owned_replaced(const peer_identity& owner, const std::vector<announce_entry>& entries);
  void take_relayed(const link_actor& link, const peer_identity& relay, relayed_announcement x);
  expected<heard_service> check_relayed(const peer_identity& relay, const relayed_entry& x) const;
  bool take_relayed_entry(const peer_identity& relay, heard_service x, const std::string& service);
  /// Who carries for the service, as the routing snapshot has it.
  void publish_ways(const std::string& service);
  /// The best that this node could tell others of a service; nothing if it does not carry for it.
  std::optional<relayed_entry> offer(const std::string& service) const;
  bool
  may_hear(const peer_identity& listener, const std::string& service, const relayed_entry& x) const;
  void send_relayed(const live_link& to);
  /// Tells all that may hear it, or only other relays, whom alone the state `away` concerns.
  void relay_change(const std::set<std::string>& services, bool relays_only);
  std::set<std::string> services_by(const node_uid& node) const;
  /// An owner or a relay is linked now, or is not any more.
  void relay_link_up(const peer_identity& peer);
  void relay_link_down(const peer_identity& peer);

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
  std::map<std::string, heard_service> owned;     // by service; kept by relays only
  std::map<node_uid, std::set<std::string>> news; // of owners whose links are not up yet
  std::map<node_uid, std::map<std::string, heard_service>> relayed; // by the relay that said it
  uint64_t last_sequence = 0;
  metrics::gauge* local_services = nullptr;
  metrics::gauge* known_nodes = nullptr;
};

service_discovery_actor::behavior_type
service_discovery(service_discovery_actor::stateful_pointer<service_discovery_state> self,
                  service_discovery_config config);

} // namespace rvi
