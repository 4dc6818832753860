// SPDX-License-Identifier: MPL-2.0
//
// Native sessions between nodes of one process, without sockets and TLS: for tests and the
// simulation. Nodes meet at a hub under addresses such as "loopback:cloud".

#pragma once

#include "actors/links/link_session.hpp"
#include "messages/actors.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace rvi {

/// Who answers at which address.
class loopback_hub {
public:
  void join(const std::string& address, caf::actor driver) {
    std::lock_guard guard{mutex_};
    drivers_[address] = std::move(driver);
  }
  void leave(const std::string& address) {
    std::lock_guard guard{mutex_};
    drivers_.erase(address);
  }
  caf::actor find(const std::string& address) const {
    std::lock_guard guard{mutex_};
    auto i = drivers_.find(address);
    return i == drivers_.end() ? caf::actor{} : i->second;
  }

private:
  mutable std::mutex mutex_;
  std::map<std::string, caf::actor> drivers_;
};

struct loopback_link_config {
  link_services services;
  std::shared_ptr<loopback_hub> hub;
  std::string address; // ours, with its prefix
  std::string own_spki;
  native_session_limits limits;
  uint64_t authorize_ms_max = 10'000;
  uint64_t keepalive_ms = 30'000;
  uint64_t idle_ms = 0;
};

struct loopback_link_state {
  static constexpr const char* name = "loopback-link";
  explicit loopback_link_state(caf::event_based_actor* self) : self(self) {}

  void dial(uint64_t number, const std::string& address);
  void accept(const caf::actor& peer, const std::string& peer_spki, const std::string& exporter);
  caf::actor spawn_session(uint64_t number, bool dialled, const std::string& exporter);
  void session_ended(const caf::down_msg& x);

  caf::event_based_actor* self;
  loopback_link_config config;
  std::map<caf::actor_addr, uint64_t> sessions;
};

/// Speaks link_driver_actor, and the hub's own (connected) messages.
caf::behavior
loopback_link(caf::stateful_actor<loopback_link_state>* self, loopback_link_config config);

} // namespace rvi
