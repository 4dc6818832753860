// SPDX-License-Identifier: MPL-2.0
//
// Holds the node's private key and draws signatures, beside the actors that ask for them. A key
// that is elsewhere may be out of reach for a while; then what is asked for waits here, in order.

#pragma once

#include "messages/actors.hpp"
#include "runtime/crypto/crypto.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <deque>
#include <string>

namespace rvi {

struct signer_config {
  crypto::private_key key;
  caf::timespan patience = std::chrono::seconds{5};              // then `busy` is answered
  caf::timespan retry_interval = std::chrono::milliseconds{250}; // while something waits
};

struct signer_state {
  static constexpr const char* name = "signer";

  struct waiting {
    std::string message;
    caf::typed_response_promise<std::string> promise;
    caf::actor_clock::time_point due;
  };

  explicit signer_state(signer_actor::pointer self) : self(self) {}
  caf::result<std::string> sign(std::string& message);
  expected<std::string> draw(const std::string& message);
  void try_again();
  void wake_later();

  signer_actor::pointer self;
  signer_config config;
  std::deque<waiting> pending; // oldest first
  bool away = false;           // as the log has said
};

signer_actor::behavior_type
signer(signer_actor::stateful_pointer<signer_state> self, signer_config config);

} // namespace rvi
