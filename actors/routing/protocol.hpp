// SPDX-License-Identifier: MPL-2.0
//
// Chooses how a node is spoken to (HLD 5.5, 14): one answer for a link, no hop for a batch. The
// codecs are in messages/wire, the sessions in actors/links.

#pragma once

#include "messages/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <string>
#include <vector>

namespace rvi {

struct protocol_config {
  std::vector<std::string> preferred{"rvi/2"}; // best first
};

struct protocol_state {
  static constexpr const char* name = "protocol";
};

protocol_actor::behavior_type
protocol(protocol_actor::stateful_pointer<protocol_state> self, protocol_config config);

} // namespace rvi
