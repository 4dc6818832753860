// SPDX-License-Identifier: MPL-2.0
//
// Which link to which node, and when (HLD 5.6, 15): dials on demand, backs off, keeps one of two
// links that crossed, tells everybody what came up and what went.

#pragma once

#include "actors/node/context.hpp"
#include "actors/wake_timer.hpp"
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
};

struct data_link_state {
  static constexpr const char* name = "data-link";
  explicit data_link_state(data_link_actor::pointer self) : self(self) {}

  /// One node (or one address, until we know whose it is) somebody wants to reach.
  struct wish {
    std::vector<std::string> addresses;
    size_t next_address = 0;
    std::string dialled_at; // the address tried last
    uint32_t failures = 0;
    uint64_t dial_ms = 0; // not before, boot time
    bool always = false;
    uint64_t wanted_until_ms = 0; // boot time
    uint64_t asked_ms = 0;        // when somebody last did, boot time
    uint64_t dialling = 0;        // number of the dial under way
    uint64_t link = 0;            // up
    uint64_t due_ms = 0;          // its place in `due`; 0: none
  };
  using wish_iterator = std::map<std::string, wish>::iterator;

  struct live_link {
    link_actor handle;
    link_info info;
    uint64_t up_ms = 0; // boot time
  };

  uint64_t now_ms() const { return config.node->time->boot_ms(); }

  // -- wishes -------------------------------------------------------------------------------------
  void setup(const setup_request& x);
  void want(const std::string& key, const std::vector<std::string>& addresses, uint64_t until_ms,
            bool always);
  /// The wish for this node, perhaps still under an address of it; `wishes.end()` if none.
  wish_iterator find_wish(const std::string& key, const std::vector<std::string>& addresses);
  bool wanted(const wish& x) const { return x.always || x.wanted_until_ms > now_ms(); }
  /// Dials if that is due and ends what nobody wants; otherwise waits for the next of the two.
  void advance(wish_iterator i);
  void dial(const std::string& key, wish& x);
  void back_off(wish& x);
  /// This link (or, with 0, none) gives what the wish wants.
  void serve(const std::string& key, wish& x, uint64_t link);
  void wake();
  /// This kind of link can be used again.
  void network_up(const std::string& kind);
  void attach(const std::string& kind, link_driver_actor driver);
  /// Who dials the address: a driver named by its scheme ("loopback:x"), otherwise TLS.
  std::string driver_of(const std::string& address) const;

  // -- links --------------------------------------------------------------------------------------
  /// Asks which protocol to speak, then lets the link in.
  void choose_protocol(link_actor handle, link_info info);
  void link_up(link_actor handle, link_info info);
  /// Of two links to one node: true if the new one stays.
  bool prefer_new(const live_link& old, const link_info& fresh) const;
  /// What the lost link was wanted for, the other one gives.
  void hand_wishes_on(uint64_t lost, uint64_t stays);
  /// The wishes this link gives something to.
  void serve_wishes(const link_info& info);
  void closed(uint64_t number, const std::string& why);
  void dial_failed(uint64_t number, const std::string& why);
  /// Its wishes are dialled again if somebody still wants them.
  void release_wishes(uint64_t link, uint64_t up_ms);
  void measured(uint64_t link, uint64_t round_trip_us);
  void disconnect(const std::string& node_address);
  std::vector<link_status> status() const;
  caf::result<atom::done> reload();

  data_link_actor::pointer self;
  data_link_config config;
  std::map<std::string, link_driver_actor> drivers;
  std::map<std::string, wish> wishes;       // by node address, or by address of a node not seen yet
  std::map<uint64_t, std::string> dialling; // number of the dial -> wish
  std::map<uint64_t, std::set<std::string>> served; // link -> wishes
  std::set<std::pair<uint64_t, std::string>> due;   // when something happens to a wish
  std::map<uint64_t, live_link> links;
  std::map<node_uid, uint64_t> links_by_uid;
  std::map<std::string, uint64_t> links_by_node; // node address
  std::map<caf::actor_addr, uint64_t> sessions;  // of links that are up or about to be
  std::map<uint64_t, caf::actor_addr> sessions_by_link;
  std::set<uint64_t> choosing; // their protocol
  wake_timer timer;
  std::mt19937_64 jitter;
  metrics::counter* dials = nullptr;
  metrics::counter* failures = nullptr;
  metrics::gauge* up = nullptr;
};

data_link_actor::behavior_type
data_link(data_link_actor::stateful_pointer<data_link_state> self, data_link_config config);

} // namespace rvi
