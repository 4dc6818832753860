// SPDX-License-Identifier: MPL-2.0
//
// Which link to which node, and when (HLD 5.6, 15): dials on demand over the kinds of link that
// will do, backs off, keeps one of two links that crossed, tells everybody what came up and what
// went. A node may be linked over several kinds at once (WiFi and LTE), over each of them once.

#pragma once

#include "actors/links/link_policy.hpp"
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
  link_policy kinds;
  std::vector<std::string> own_kinds; // of this node's networks; empty: they have no names
};

struct data_link_state {
  static constexpr const char* name = "data-link";
  explicit data_link_state(data_link_actor::pointer self) : self(self) {}

  /// One address over one kind of link; each has its own backoff.
  struct way {
    std::string address;
    std::string kind; // empty: whatever the system takes
    uint32_t failures = 0;
    uint64_t dial_ms = 0; // not before, boot time
  };

  /// Somebody wants a link of some kinds.
  struct demand {
    uint64_t until_ms = 0; // boot time
    uint64_t asked_ms = 0; // when somebody last did, boot time
  };

  /// One node (or one address, until we know whose it is) somebody wants to reach.
  struct wish {
    std::vector<std::string> addresses;
    std::vector<way> ways;
    bool always = false;
    std::map<std::vector<std::string>, demand> demands; // by the kinds that will do, best first
    std::map<std::string, uint64_t> dialling;           // by kind: number of the dial under way
    std::set<uint64_t> links;                           // up
    std::map<std::string, uint32_t> upgrades; // by kind: dials left although a worse link is up
    std::string node;                         // address of whoever was there last; empty: nobody
    uint64_t due_ms = 0;                      // its place in `due`; 0: none
  };
  using wish_iterator = std::map<std::string, wish>::iterator;

  struct dial_under_way {
    std::string wish;
    std::string address;
    std::string kind;
  };

  struct live_link {
    link_actor handle;
    link_info info;
    uint64_t up_ms = 0;          // boot time
    dial_under_way dialled = {}; // what led to it; without a wish: the peer dialled
    uint64_t bytes_per_s = 0;
    bool measured = false; // discovery has heard of its round trip
  };

  uint64_t now_ms() const { return config.node->time->boot_ms(); }

  // -- wishes (data_link_wishes.cpp)
  // ----------------------------------------------------------------
  void setup(const setup_request& x);
  void want(const std::string& key, const setup_request& x, uint64_t until_ms, bool always);
  /// The wish for this node, perhaps still under an address of it; `wishes.end()` if none.
  wish_iterator find_wish(const std::string& key, const std::vector<std::string>& addresses);
  bool wanted(const wish& x) const;
  void set_addresses(wish& x, const std::vector<std::string>& addresses);
  /// Dials if that is due and ends what nobody wants; otherwise waits for the next of the two.
  void advance(wish_iterator i);
  /// Dials what these kinds still lack; answers when there is more to do.
  uint64_t seek(const std::string& key, wish& x, const std::vector<std::string>& kinds);
  /// The kinds to dial for a demand, best first.
  std::vector<std::string>
  kinds_to_dial(const wish& x, const std::vector<std::string>& kinds) const;
  /// The best kind that is up and will do; null: none is.
  const std::string* best_up(const wish& x, const std::vector<std::string>& kinds) const;
  void dial(const std::string& key, wish& x, way& w);
  void back_off(way& w);
  static way* find_way(wish& x, const std::string& address, const std::string& kind);
  /// This link gives what the wish wants.
  void serve(const std::string& key, wish& x, uint64_t link);
  void stop_serving(const std::string& key, wish& x, uint64_t link);
  void wake();
  void network_up(const std::string& kind);
  void network_down(const std::string& kind);
  void attach(const std::string& kind, link_driver_actor driver);
  /// Who dials the address: a driver named by its scheme ("loopback:x"), otherwise TLS.
  std::string driver_of(const std::string& address) const;
  /// What lost a link is dialled again if somebody still wants it.
  void release_wishes(const live_link& ended);
  void dial_failed(uint64_t number, const std::string& why);
  /// Whether a link with the host of this address is up.
  bool linked_with(const std::string& address) const;
  bool is_disconnected(const std::string& key, const wish& x) const;

  // -- links --------------------------------------------------------------------------------------
  /// Asks which protocol to speak, then lets the link in.
  void choose_protocol(link_actor handle, link_info info);
  void link_up(link_actor handle, link_info info);
  /// Of two links of one kind to one node: true if the new one stays.
  bool prefer_new(const live_link& old, const link_info& fresh) const;
  /// What the lost link was wanted for, the other one gives.
  void hand_wishes_on(uint64_t lost, uint64_t stays);
  /// The wishes this link gives something to.
  void serve_wishes(live_link& x);
  void closed(uint64_t number, const std::string& why);
  void forget(uint64_t number, const link_info& info);
  void measured(uint64_t link, const link_measure& x);
  uint64_t disconnect(const std::string& node_address);
  caf::result<atom::done> connect(const std::string& node_address);
  std::vector<link_status> status() const;
  caf::result<atom::done> reload();

  data_link_actor::pointer self;
  data_link_config config;
  std::map<std::string, link_driver_actor> drivers;
  std::map<std::string, wish> wishes; // by node address, or by address of a node not seen yet
  std::map<uint64_t, dial_under_way> dialling;
  std::map<uint64_t, std::set<std::string>> served; // link -> wishes
  std::set<std::pair<uint64_t, std::string>> due;   // when something happens to a wish
  std::set<std::string> networks_down;              // kinds
  std::set<std::string> disconnected;               // node addresses, by an administrator
  std::map<uint64_t, live_link> links;
  std::map<node_uid, std::map<std::string, uint64_t>> links_by_uid; // by kind
  std::map<std::string, std::set<uint64_t>> links_by_node;          // node address
  std::map<caf::actor_addr, uint64_t> sessions;                     // up or about to be
  std::map<uint64_t, caf::actor_addr> sessions_by_link;
  std::set<uint64_t> choosing; // their protocol
  wake_timer timer;
  std::minstd_rand jitter; // 8 bytes; nothing depends on nobody guessing it
  metrics::counter* dials = nullptr;
  metrics::counter* failures = nullptr;
  metrics::gauge* up = nullptr;
};

/// `host:port@kind` is dialled over this kind of link only.
struct kinded_address {
  std::string address;
  std::string kind; // empty: any
};
kinded_address split_kind(const std::string& x);

data_link_actor::behavior_type
data_link(data_link_actor::stateful_pointer<data_link_state> self, data_link_config config);

} // namespace rvi
