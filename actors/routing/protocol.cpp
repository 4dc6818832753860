// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/protocol.hpp"

#include <algorithm>

namespace rvi {

protocol_actor::behavior_type
protocol(protocol_actor::stateful_pointer<protocol_state>, protocol_config config) {
  return {
    [config = std::move(config)](
      atom::setup, const std::vector<std::string>& offered) -> caf::result<std::string> {
      for (auto& x : config.preferred)
        if (std::find(offered.begin(), offered.end(), x) != offered.end())
          return x;
      return caf::make_error(ec::protocol_mismatch, std::string{"no protocol in common"});
    },
  };
}

} // namespace rvi
