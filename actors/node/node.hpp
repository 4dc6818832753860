// SPDX-License-Identifier: MPL-2.0
//
// One node of any role: starts its supervision tree, stops it in order, reads credentials again.

#pragma once

#include "actors/node/environment.hpp"

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>

#include <cstdint>
#include <memory>

namespace rvi {

/// CAF set up for a node: message types, error names, quiet logger, no polling workers.
class node_system_config : public caf::actor_system_config {
public:
  node_system_config();
};

class node {
public:
  /// Returns once the service API and the links are there. Errors of the first start (port in use,
  /// bad identity) come out here.
  static expected<std::unique_ptr<node>> start(caf::actor_system& system, node_environment_ptr env);
  ~node();

  /// Stops the components one after another, the youngest first.
  void stop();

  /// Reads credentials and anchors again, makes a new TLS identity (SIGHUP).
  caf::error reload();

  /// Blocks until the tree has ended by itself (it gave up) or `stop` was called.
  bool running() const;

  uint16_t api_port() const { return env_->api_port; }
  uint16_t tls_port() const { return env_->tls_listening ? env_->tls_listening->port : 0; }

private:
  node(caf::actor_system& system, node_environment_ptr env, caf::actor supervisor);

  caf::actor_system& system_;
  node_environment_ptr env_;
  caf::actor supervisor_;
  bool stopped_ = false;
};

} // namespace rvi
