// SPDX-License-Identifier: MPL-2.0

#include "actors/node/roles/roles.hpp"

namespace rvi {

std::vector<child_spec> mobile_children(const node_environment_ptr& env) {
  return {
    part::store(env),
    part::signer(env),
    part::authorization(env),
    part::store_and_forward(env),
    part::service_discovery(env),
    part::verifier(env, 1),
    part::verifier(env, 2),
    part::metric_hub(env),
    part::service_edge(env),
    part::json_rpc(env),
    part::provisioning(env),
    part::protocol(env),
    part::data_link(env),
    part::node_discovery(env),
    part::tls_link(env),
    part::network_monitor(env),
  };
}

} // namespace rvi
