// SPDX-License-Identifier: MPL-2.0
//
// All services of one simulated node, in the place of the JSON-RPC server: they register, ask,
// answer and are told outcomes, as services behind a socket would be.

#pragma once

#include "messages/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <string>
#include <vector>

namespace rvi::simulation {

/// Whoever writes down what services see; outlives all actors.
class service_observer {
public:
  virtual ~service_observer() = default;
  /// The services of this node have a Service Edge to talk to.
  virtual void edge_ready(size_t node, uint64_t generation, const service_edge_actor& edge) = 0;
  virtual void answered(size_t node, uint64_t generation, const call_result& x) = 0;
  /// A request reached its service; what the service says to it.
  virtual receipt invoked(size_t node, uint64_t generation, const invocation& x) = 0;
  virtual receipt ended(size_t node, uint64_t generation, const outcome_delivery& x) = 0;
};

struct simulated_services_config {
  size_t node = 0;
  uint64_t generation = 0; // of the node: what comes after its end is not counted
  service_edge_actor edge;
  service_observer* observer = nullptr;
};

struct simulated_services_state {
  static constexpr const char* name = "simulated-services";
};

json_rpc_actor::behavior_type
simulated_services(json_rpc_actor::stateful_pointer<simulated_services_state> self,
                   simulated_services_config config);

} // namespace rvi::simulation
