// SPDX-License-Identifier: MPL-2.0
//
// How each component of a node is started: one child specification each, for the roles' tables.

#pragma once

#include "actors/node/environment.hpp"
#include "actors/supervisor.hpp"

namespace rvi::part {

child_spec store(node_environment_ptr env);
child_spec signer(node_environment_ptr env);
child_spec authorization(node_environment_ptr env);
child_spec store_and_forward(node_environment_ptr env);
child_spec service_discovery(node_environment_ptr env);
child_spec verifier(node_environment_ptr env, int number);
child_spec metric_hub(node_environment_ptr env);
child_spec service_edge(node_environment_ptr env);
child_spec json_rpc(node_environment_ptr env);
child_spec provisioning(node_environment_ptr env);
child_spec protocol(node_environment_ptr env);
child_spec data_link(node_environment_ptr env);
child_spec node_discovery(node_environment_ptr env);
child_spec network_monitor(node_environment_ptr env);
/// When it runs, the node is ready.
child_spec tls_link(node_environment_ptr env);

} // namespace rvi::part
