// SPDX-License-Identifier: MPL-2.0
//
// Who gets which published value (HLD 6.1.3). Holds the newest value of every topic published here
// and of those that local services want from other nodes, what local services and peers subscribed
// to, and what of it each of them has seen. Only subscriptions, and values that are to outlive a
// restart, are kept in the store.
//
// A topic belongs to the node whose address it lies below. The subscriber's node says what it wants
// at every session, so that a restart of either side and a lost link forget nothing.

#pragma once

#include "actors/node/context.hpp"
#include "actors/wake_timer.hpp"
#include "messages/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace rvi {

struct metric_hub_config {
  node_context_ptr node;
  store_actor store;
  size_t subscriptions_max = 16'384; // of local services
  size_t subscriptions_per_service_max = 256;
  size_t remote_subscriptions_max = 262'144; // of all peers
  size_t topics_max = 65'536;                // published here
  size_t bytes_max = size_t{64} << 20;       // of them
  size_t peer_topics_max = 4'096;            // kept of one peer
  size_t peer_bytes_max = size_t{16} << 20;
  size_t remote_bytes_max = size_t{256} << 20; // kept of all peers
  uint64_t demand_ms = 10 * 60'000;            // how long a link is asked for at a time
};

/// A service here, or a peer, with one pattern.
struct metric_subscriber {
  uint64_t number = 0; // never used twice
  metric_subscription what;
  uint64_t link = 0;   // of the peer; 0: a service
  std::string service; // of a service
  std::string principal;
  client_id client = 0; // where the service receives; 0: nowhere now
  bool ended = false;
  // What was found when its right was looked at last; holds for these rights until then.
  std::shared_ptr<const rights> checked;
  uint64_t checked_until_ms = 0;
  bool allowed = false;
};
using metric_subscriber_ptr = std::shared_ptr<metric_subscriber>;

/// What a subscriber has seen of a topic.
struct metric_outlet {
  metric_subscriber_ptr to;
  metric_value_ptr last; // null: nothing yet
  uint64_t last_ms = 0;  // boot time
  bool waiting = false;  // for its interval to pass
};

/// The newest value of a topic from one source, and who wants it.
struct metric_topic {
  uint64_t number = 0; // never used twice
  node_uid origin{};
  size_t bytes = 0;      // as counted
  bool retained = false; // perhaps in the store
  metric_value_ptr value;
  std::vector<metric_outlet> outlets;
};

/// What a value may do at an outlet.
enum class metric_passage { now, later, never };
/// `later`: when its interval has passed since `outlet.last_ms`.
metric_passage passage_of(const metric_outlet& outlet, const metric_value& x, uint64_t boot_ms);

struct metric_hub_state {
  static constexpr const char* name = "metric-hub";
  explicit metric_hub_state(metric_hub_actor::pointer self) : self(self) {}

  /// The topics of one node.
  struct origin_state {
    std::map<std::string, metric_topic> topics; // by topic | 0 | source
    size_t bytes = 0;
    std::vector<credential_ptr> credentials; // of a peer, as of its last session
    std::string node_address;
  };

  struct peer_link {
    link_actor handle;
    peer_identity peer;
    std::vector<credential_ptr> credentials;
    std::map<std::string, metric_subscriber_ptr> wanted; // by the peer; by pattern
    std::set<std::string> told;                          // patterns that the peer knows we want
    std::vector<metric_value_ptr> outgoing;
    bool closing = false;
  };

  using answers_ptr = std::shared_ptr<std::vector<caf::error>>;

  // -- calls of local services ------------------------------------------------------------------
  /// What is to be durable before the calls are answered.
  struct durable_work {
    std::vector<transaction_step> steps;
    std::vector<std::function<void()>> undo; // if it cannot be
  };
  caf::result<std::vector<caf::error>> call(std::vector<metric_call> xs);
  void take_all(std::vector<metric_call>& xs,
                const caf::typed_response_promise<std::vector<caf::error>>& promise);
  caf::error take(subscribe_metric& x, durable_work& work);
  caf::error take(unsubscribe_metric& x, durable_work& work);
  caf::error take(publish_metric& x, durable_work& work);
  void service_available(const std::string& service, const std::string& principal, client_id at);
  void service_gone(const std::string& service);
  void subscribe(const subscribe_metric& x);
  void unsubscribe(const std::string& service, const std::string& pattern);

  // -- values (metric_hub_values.cpp) -------------------------------------------------------------
  /// Keeps the value if it is newer, and offers it to who wants it. Error: `busy`.
  caf::error take_value(const node_uid& origin, metric_value_ptr x, bool retained = false);
  expected<metric_topic*> place_for(const node_uid& origin, const metric_value& x);
  void find_outlets(metric_topic& topic);
  /// Sends the value where it may go now; with `only` to this subscriber alone, if it does not have
  /// it yet.
  void offer(metric_topic& topic, uint64_t only = 0);
  /// Still valid, and from who may publish it.
  bool may_be_seen(const metric_topic& topic) const;
  /// Gives a new subscriber all that is kept for it.
  void join(const metric_subscriber_ptr& to);
  /// Gives these anew what is kept for them.
  template <class Predicate>
  void offer_again(const Predicate& is_meant);
  void offer_to_service(const std::string& service);
  void offer_to_link(uint64_t link);
  /// Where its values go now: link and client; both 0: nowhere.
  using reader = std::pair<uint64_t, client_id>;
  reader reader_of(const metric_subscriber& x) const;
  void send(const std::vector<reader>& to, const metric_value_ptr& x);
  void interval_over(uint64_t topic, uint64_t subscriber);
  void drop_expired(const node_uid& origin);
  void drop_unwanted(const std::string& pattern);
  using topic_iterator = std::map<std::string, metric_topic>::iterator;
  topic_iterator forget(origin_state& from, topic_iterator i);
  void flush_soon();
  void flush();

  // -- rights (metric_hub_rights.cpp) -------------------------------------------------------------
  bool is_allowed(metric_subscriber& x) const;
  caf::error check_subscriber(const metric_subscriber& x, uint64_t& until_ms) const;
  caf::error check_publisher(const metric_value& x) const;
  /// One of the credentials stands and has the topic in its sources.
  bool may_publish(const std::vector<credential_ptr>& by, const std::string& topic) const;

  // -- peers (metric_hub_peers.cpp) ---------------------------------------------------------------
  void link_up(link_actor handle, link_info info);
  void link_down(const caf::actor_addr& address);
  void peer_wants(uint64_t link, metric_subscriptions x);
  void peer_wants(peer_link& link, uint64_t number, metric_subscription x);
  void peer_wants_no_more(peer_link& link, const std::string& pattern);
  void peer_sent(uint64_t link, std::vector<metric_value_ptr> values);
  caf::error take_from(const peer_link& link, const metric_value_ptr& x);
  /// True if values for its peer go over this link: the newest.
  bool serves(uint64_t link, const node_uid& peer) const;
  /// What all local services together want of a pattern.
  metric_subscription wanted(const std::string& pattern) const;
  /// What local services want under this pattern has changed.
  void tell_peers(const std::string& pattern);
  void close(peer_link& link, const caf::error& why);
  bool is_linked(std::string_view pattern) const;
  void demand_soon();
  void demand_links();

  // -- store (metric_hub_store.cpp) ---------------------------------------------------------------
  void recover();
  void when_ready(std::function<void()> work);
  static transaction_step storing(const subscribe_metric& x);
  static transaction_step erasing(const std::string& service, const std::string& pattern);
  static transaction_step retaining(const metric_value& x);
  static transaction_step releasing(const metric_value& x);
  void commit(durable_work work, std::function<void(const caf::error&)> done);

  void wake();
  void arm();
  std::string status() const;
  uint64_t boot_ms() const { return config.node->time->boot_ms(); }
  uint64_t wall_ms() const { return config.node->time->wall_ms(); }

  metric_hub_actor::pointer self;
  metric_hub_config config;
  json_rpc_actor server;
  data_link_actor data_link;
  bool ready = false;
  std::vector<std::function<void()>> waiting_for_ready;
  uint64_t last_number = 0;
  uint64_t last_seq = 0;
  // By service, then by pattern.
  std::map<std::string, std::map<std::string, metric_subscriber_ptr>> services;
  std::map<std::string, std::map<uint64_t, metric_subscriber_ptr>> patterns; // of local services
  struct connection {
    std::string principal;
    client_id client = 0;
  };
  std::map<std::string, connection> connected; // by service
  size_t subscriptions = 0;                    // of local services
  size_t remote_subscriptions = 0;
  std::map<node_uid, origin_state> origins;
  // By number. What is in a map stays where it is.
  std::map<uint64_t, metric_topic*> topics;
  size_t remote_bytes = 0;
  std::map<uint64_t, peer_link> links;
  std::map<caf::actor_addr, uint64_t> links_by_address;
  std::map<node_uid, std::set<uint64_t>> links_by_uid;
  std::map<std::string, size_t> linked_addresses; // of peers, and their links
  std::vector<metric_delivery> outgoing;          // to local services
  std::set<uint64_t> outgoing_links;              // with something to send
  bool flushing = false;
  struct due_value {
    uint64_t at_ms = 0; // boot time
    uint64_t topic = 0;
    uint64_t subscriber = 0;
    auto operator<=>(const due_value&) const = default;
  };
  std::set<due_value> due;
  uint64_t demand_at_ms = 0; // when links are asked for again, boot time; 0: not
  wake_timer timer;
  struct {
    metrics::counter* published = nullptr;
    metrics::counter* received = nullptr;
    metrics::counter* dropped = nullptr;
    metrics::counter* refused = nullptr;
    metrics::counter* to_services = nullptr;
    metrics::counter* to_peers = nullptr;
    metrics::gauge* kept = nullptr;
    metrics::gauge* subscribed = nullptr;
  } counts;
};

metric_hub_actor::behavior_type
metric_hub(metric_hub_actor::stateful_pointer<metric_hub_state> self, metric_hub_config config);

} // namespace rvi
