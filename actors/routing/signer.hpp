// SPDX-License-Identifier: MPL-2.0
//
// Holds the node's private key and draws signatures, beside the actors that ask for them.

#pragma once

#include "messages/actors.hpp"
#include "runtime/crypto/crypto.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace rvi {

struct signer_state {
  static constexpr const char* name = "signer";
};

signer_actor::behavior_type
signer(signer_actor::stateful_pointer<signer_state> self, crypto::private_key key);

} // namespace rvi
