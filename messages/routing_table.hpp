// SPDX-License-Identifier: MPL-2.0
//
// Which services and nodes are where, as one immutable snapshot: steps 4, 5, 17 and 18 of HLD
// chapter 8 are answered from it without a message. Service discovery publishes a new one at each
// change; it shares all but a few pointers with the one before.

#pragma once

#include "messages/batches.hpp"
#include "messages/rights.hpp"
#include "messages/shared_map.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

/// A node seen before or provisioned (HLD 7.3: it is remembered with what it had).
struct known_node {
  node_uid uid{};
  std::vector<node_uid> former; // of keys it had before at this address, as its organization says
  std::string address;
  std::vector<std::string> network_addresses;
  uint64_t link = 0; // 0: not connected now
  uint64_t last_seen_ms = 0;
  std::vector<std::string> services; // as last announced
  std::string link_kind;             // of `link`
  uint64_t round_trip_us = 0;        // of `link`; 0: not measured yet
  uint64_t credentials_end_ms = 0;   // of those it came with last; 0: not known
  std::vector<std::string> credential_hashes;
  ec fallen = ec::none; // revoked or quarantined since: it is not used

  bool available() const { return link != 0 && fallen == ec::none; }
  std::vector<std::string> relay; // patterns of names it may carry for, by its last session
};

using known_node_ptr = std::shared_ptr<const known_node>;

/// HLD 8.5: an install-time match such as `+:jlr.com/cloud/+` to network addresses.
struct provisioned_address {
  std::string pattern;
  std::vector<std::string> network_addresses;
};

/// A relay that says it carries for a service.
struct relay_way {
  node_uid relay{};
  node_uid owner{};
  size_t hops = 0;   // nodes between this one and the owner
  bool away = false; // it only keeps requests for now
};

struct route {
  enum class where { local, remote, unknown };
  where to = where::unknown;
  known_node_ptr node;                        // remote and seen
  std::vector<std::string> network_addresses; // where to dial, best first
  std::string_view service;                   // local: the registered service that takes it
};

/// Cheap to copy, however many services and nodes it holds.
struct routing_table {
  uint64_t version = 0;
  std::string node_address;
  shared_map<std::string, local_service> local;  // by full name without type
  shared_map<std::string, known_node_ptr> nodes; // by node address
  shared_map<node_uid, known_node_ptr> nodes_by_uid;
  shared_map<node_uid, node_uid> successors; // from former keys of nodes to the present one
  std::vector<provisioned_address> provisioned;
  shared_map<node_uid, known_node_ptr> relays; // the nodes that may carry for others
  /// By service: who carries for it, best first.
  shared_map<std::string, std::shared_ptr<const std::vector<relay_way>>> relayed;

  /// Who says it carries for the service that prefix-matches the name; empty if nobody.
  std::vector<relay_way> ways_to(std::string_view target) const;

  /// HLD 8.4-8.5 and 8.17-8.18. `local` without a service: the name is this node's, nobody serves
  /// it.
  route resolve(std::string_view target) const;

  /// The same by node, for replies (HLD 8.20).
  route resolve_node(const node_uid& uid, std::string_view target) const;

  /// HLD 8.18: the registered service that prefix-matches the name, empty if none.
  std::string_view find_local(std::string_view target) const;
};

using routing_snapshot = snapshot<routing_table>;

} // namespace rvi
