// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/signer.hpp"

namespace rvi {

signer_actor::behavior_type
signer(signer_actor::stateful_pointer<signer_state>, crypto::private_key key) {
  return {
    [key = std::move(key)](atom::sign, const std::string& message) { return key.sign(message); },
  };
}

} // namespace rvi
