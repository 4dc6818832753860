// SPDX-License-Identifier: MPL-2.0
//
// Which link to which node, and when (HLD 5.6, 15): dials on demand, backs off, keeps one of two
// links that crossed, tells everybody what came up and what went.

#pragma once

#include "actors/node/context.hpp"
#include "messages/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace rvi {

struct data_link_config {
  node_context_ptr node;
  service_discovery_actor service_discovery;
  protocol_actor protocol;
  std::vector<std::string> connect; // addresses dialled always
  uint64_t backoff_ms_min = 1'000;
  uint64_t backoff_ms_max = 300'000;
  std::chrono::milliseconds tick{100};
};

struct data_link_state {
  static constexpr const char* name = "data-link";
  explicit data_link_state(data_link_actor::pointer self) : self(self) {}

  /// One node (or one address, until we know whose it is) somebody wants to reach.
  struct wish {
    std::vector<std::string> addresses;
    size_t next_address = 0;
    uint32_t failures = 0;
    uint64_t dial_ms = 0; // not before, boot time
    bool always = false;
    uint64_t wanted_ms = 0; // until, boot time
    uint64_t dialling = 0;  // number of the dial under way
    uint64_t link = 0;      // up
  };

  struct live_link {
    link_actor handle;
    link_info info;
    std::string wish; // the wish it fulfils, if we dialled
  };

  void setup(const setup_request& x);
  void want(const std::string& key, std::vector<std::string> addresses, bool always);
  void dial(const std::string& key, wish& x);
  void dial_due();
  /// Asks which protocol to speak, then lets the link in.
  void choose_protocol(link_actor handle, link_info info);
  void link_up(link_actor handle, link_info info);
  /// Of two links to one node: true if the new one stays.
  bool prefer_new(const live_link& old, const link_info& fresh) const;
  /// What the lost link was wanted for, the other one gives.
  void hand_wishes_on(uint64_t lost, uint64_t stays);
  void closed(uint64_t number, const std::string& why);
  void back_off(wish& x);
  void disconnect(const std::string& node_address);
  std::vector<link_status> status() const;
  caf::result<atom::done> reload();

  data_link_actor::pointer self;
  data_link_config config;
  std::map<std::string, link_driver_actor> drivers;
  std::map<std::string, wish> wishes;
  std::map<uint64_t, live_link> links;
  std::map<caf::actor_addr, uint64_t> sessions; // of links that are up or about to be
  std::set<uint64_t> choosing;                  // their protocol
  std::mt19937_64 jitter;
  metrics::counter* dials = nullptr;
  metrics::counter* failures = nullptr;
  metrics::gauge* up = nullptr;
};

data_link_actor::behavior_type
data_link(data_link_actor::stateful_pointer<data_link_state> self, data_link_config config);

} // namespace rvi
