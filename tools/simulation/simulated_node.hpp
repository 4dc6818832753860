// SPDX-License-Identifier: MPL-2.0
//
// One node of a simulated fleet: the supervision tree and every actor of a real node, but for the
// sockets (the simulated network stands for them) and LMDB's file (a disk in memory).

#pragma once

#include "actors/links/loopback_link.hpp"
#include "actors/node/environment.hpp"
#include "actors/storage/memory_store.hpp"
#include "actors/supervisor.hpp"
#include "tools/simulation/disk_watch.hpp"
#include "tools/simulation/network.hpp"
#include "tools/simulation/scenario.hpp"
#include "tools/simulation/simulated_services.hpp"
#include "tools/simulation/timeline.hpp"

#include <caf/actor_system.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace rvi::simulation {

class simulated_node;

/// What all nodes of a run share.
struct fleet_services {
  caf::actor_system* system = nullptr;
  std::shared_ptr<timeline> time;
  std::shared_ptr<simulation::network> net;
  const scenario* plan = nullptr;
  service_observer* observer = nullptr;
  std::vector<std::string> anchors; // trust anchor files of all organizations
  bool traces = false;              // nodes keep traces of requests
  std::deque<node_figures> figures; // by node number
  /// Something is over its bound.
  std::function<void(const simulated_node&, const std::string&)> excess;
};

class simulated_node {
public:
  simulated_node(fleet_services& fleet, size_t number, const node_group& group, size_t group_number,
                 size_t number_in_group);
  ~simulated_node();

  /// Starts the supervision tree on what the disk holds.
  void start();
  /// The power fails: what was not durable is lost, nothing more leaves the node.
  void power_off();
  /// One of its actors, drawn, fails; the supervisor does the rest.
  void fail_actor(uint64_t draw);

  bool is_up() const { return up_; }
  /// Counts starts; events planned for an earlier one are void.
  uint64_t generation() const { return generation_; }

  /// Calls the node's service API; nothing if it is down.
  void call(service_request x, uint64_t token);
  /// Links of all kinds can be used again.
  void network_is_up(const std::string& kind);
  /// Gives the node a revocation list, as an administrator does.
  void import_revocations(const std::string& list);

  const size_t number;
  const size_t group_number;
  const size_t number_in_group; // from 0
  const node_group& group;
  const std::string address;
  crypto::private_key key;
  std::vector<credential_ptr> credentials;
  std::vector<provisioned_address> routes;
  std::vector<std::string> connect; // addresses dialled at all times
  std::shared_ptr<node_time> time;
  std::shared_ptr<memory_disk> disk = memory_disk::make();
  service_edge_actor edge; // null until its services run
  metrics::counter* clone_suspects = nullptr;
  std::shared_ptr<const node_context> context() const { return env_ ? env_->context : nullptr; }
  std::string service_name(const std::string& service) const { return address + "/" + service; }

private:
  void make_environment();
  std::vector<child_spec> children();
  std::vector<child_spec> own_parts();

  const fleet_services& fleet_;
  node_figures& figures_;
  std::unique_ptr<disk_watch> watch_; // from the first start on
  node_environment_ptr env_;
  caf::actor supervisor_;
  std::map<std::string, caf::actor> running_; // by child id
  bool up_ = false;
  uint64_t generation_ = 0;
};

} // namespace rvi::simulation
