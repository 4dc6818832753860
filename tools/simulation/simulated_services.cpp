// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/simulated_services.hpp"

namespace rvi::simulation {

json_rpc_actor::behavior_type
simulated_services(json_rpc_actor::stateful_pointer<simulated_services_state> self,
                   simulated_services_config config) {
  self->send(config.edge, atom::attach_v, json_rpc_actor{self});
  config.observer->edge_ready(config.node, config.generation, config.edge);
  return {
    [config](atom::respond, const std::vector<call_result>& xs) {
      for (auto& x : xs)
        config.observer->answered(config.node, config.generation, x);
    },
    [self, config](atom::invoke, const std::vector<invocation>& xs) {
      std::vector<receipt> receipts;
      for (auto& x : xs)
        receipts.push_back(config.observer->invoked(config.node, config.generation, x));
      self->send(config.edge, atom::receipt_v, std::move(receipts));
    },
    [self, config](atom::outcome, const std::vector<outcome_delivery>& xs) {
      std::vector<receipt> receipts;
      for (auto& x : xs)
        receipts.push_back(config.observer->ended(config.node, config.generation, x));
      self->send(config.edge, atom::receipt_v, std::move(receipts));
    },
    [](atom::available, const std::vector<availability_report>&) {}, // nobody subscribes
    [](atom::publish, const std::vector<metric_delivery>&) {},
  };
}

} // namespace rvi::simulation
