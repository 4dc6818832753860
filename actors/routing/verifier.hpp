// SPDX-License-Identifier: MPL-2.0
//
// Checks incoming batches: cheap rules first, then one signature per tree (RVI-B1, verification
// order). Several run side by side; a link stays with one, so that its roots are found again.

#pragma once

#include "actors/node/context.hpp"
#include "messages/actors.hpp"
#include "runtime/crypto/batch_signature.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace rvi {

struct verifier_config {
  node_context_ptr node;
  store_and_forward_actor store_and_forward;
  size_t arguments_bytes_max = 8 << 20;
  size_t roots_max = 65'536;
};

struct verifier_state {
  static constexpr const char* name = "verifier";
  explicit verifier_state(verifier_actor::pointer self) : self(self) {}
  void
  verify(const link_actor& link, uint64_t number, const peer_identity& peer, std::string bytes);
  void refuse(const link_actor& link, const peer_identity& peer, const caf::error& why);

  verifier_actor::pointer self;
  verifier_config config;
  crypto::verified_root_cache roots;
  metrics::counter* failures = nullptr;
};

verifier_actor::behavior_type
verifier(verifier_actor::stateful_pointer<verifier_state> self, verifier_config config);

} // namespace rvi
