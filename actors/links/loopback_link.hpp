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

/// Who answers at which address, and how what is sent gets there: here at once. A simulated network
/// delays, loses and ends it.
class loopback_hub {
public:
  virtual ~loopback_hub() = default;

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

  /// False: nobody takes a call there over this kind of link (empty: over any).
  virtual bool
  answers(const std::string& from, const std::string& to, const std::string& kind) const;

  /// Asks the driver at `to` for a session with `dialling`: (connected, dialling, SPKI, exporter,
  /// from).
  virtual void
  call(const std::string& from, const std::string& to, const std::string& kind,
       const caf::actor& dialling, const std::string& spki, const std::string& exporter);

  /// Tells the dialling session about the one that answers it: (connected, answering, SPKI).
  virtual void
  answer(const caf::actor& dialling, const caf::actor& answering, const std::string& spki);

  /// Takes bytes from one session to the other: (received, bytes).
  virtual void carry(const caf::actor& from, const caf::actor& to, std::string bytes);

  /// Lets a session know when its peer has ended.
  virtual void watch(caf::event_based_actor* session, const caf::actor& peer);

  /// This session is no more.
  virtual void ended(const caf::actor_addr& session);

private:
  mutable std::mutex mutex_;
  std::map<std::string, caf::actor> drivers_;
};

struct loopback_link_config {
  link_services services;
  std::shared_ptr<loopback_hub> hub;
  std::string address;    // ours, with its prefix
  bool advertised = true; // peers are told it
  std::string own_spki;
  native_session_limits limits;
  uint64_t authorize_ms_max = 10'000;
  uint64_t keepalive_ms = 30'000;
  uint64_t idle_ms = 0;
};

struct loopback_link_state {
  static constexpr const char* name = "loopback-link";
  explicit loopback_link_state(caf::event_based_actor* self) : self(self) {}

  void dial(uint64_t number, const std::string& address, const std::string& kind);
  void accept(const caf::actor& peer, const std::string& peer_spki, const std::string& exporter,
              const std::string& from);
  caf::actor spawn_session(uint64_t number, bool dialled, const std::string& kind,
                           const std::string& exporter, const std::string& peer_address);
  void session_ended(const caf::down_msg& x);

  caf::event_based_actor* self;
  loopback_link_config config;
  std::map<caf::actor_addr, uint64_t> sessions;
};

/// Speaks link_driver_actor, and the hub's own (connected) messages.
caf::behavior
loopback_link(caf::stateful_actor<loopback_link_state>* self, loopback_link_config config);

} // namespace rvi
