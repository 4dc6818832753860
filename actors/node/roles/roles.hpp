// SPDX-License-Identifier: MPL-2.0
//
// The roles of a node, each an ordered table of its components: a child gets the handles of those
// before it, and starts anew with the first of them that fails.

#pragma once

#include "actors/node/parts.hpp"

#include <string>
#include <vector>

namespace rvi {

std::vector<child_spec> vehicle_children(const node_environment_ptr& env);
std::vector<child_spec> mobile_children(const node_environment_ptr& env);
std::vector<child_spec> cloud_children(const node_environment_ptr& env);

/// By the role's name in the configuration.
inline std::vector<child_spec> children_of(const node_environment_ptr& env) {
  if (env->config.role == "cloud")
    return cloud_children(env);
  if (env->config.role == "mobile")
    return mobile_children(env);
  return vehicle_children(env);
}

} // namespace rvi
