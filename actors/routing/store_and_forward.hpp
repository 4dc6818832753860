// SPDX-License-Identifier: MPL-2.0
//
// Keeps requests until they can be delivered (HLD 5.4, 13): outbound until the next hop has them,
// inbound until their service takes them, outcomes until the requesting service has them. What
// waits lives in the store; memory holds the front of each queue.

#pragma once

#include "actors/links/link_policy.hpp"
#include "actors/node/context.hpp"
#include "actors/routing/expiry_clock.hpp"
#include "actors/routing/fragments.hpp"
#include "actors/routing/memory_requests.hpp"
#include "actors/routing/queue_quota.hpp"
#include "actors/routing/request_ledger.hpp"
#include "actors/wake_timer.hpp"
#include "messages/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace rvi {

struct store_and_forward_config {
  node_context_ptr node;
  store_actor store;
  authorization_actor authorization; // says when rights shrink; null: nobody does
  uint64_t items_per_queue_max = 1'000'000;
  uint64_t bytes_per_queue_max = 4ULL << 30;
  size_t loaded_items_max = 1'024;         // of one queue, in memory
  size_t load_bytes_max = size_t{4} << 20; // in one read
  size_t local_in_flight_max = 4'096;      // handed to services of one queue, no receipt yet
  uint64_t local_bytes_in_flight_max = uint64_t{16} << 20; // of these, without large arguments
  uint64_t retry_ms = 1'000;
  uint64_t skew_ms_max = uint64_t{5} * 60 * 1'000;
  uint64_t custody_ms_max = 60'000; // what a peer may hold without an answer; then the link goes
  quota_config quotas;
  uint32_t delivery_attempts_max = 20;  // refusals that blame a request, until it is given up
  uint64_t dead_letters_max = 10'000;   // then the oldest goes
  memory_requests_ptr memory = nullptr; // null: it makes its own
  uint64_t ttl_ms_max = 30ULL * 24 * 3'600 * 1'000; // how long anything is wanted at most
  link_policy kinds;
  uint64_t relay_items_max = 10'000;             // carried for one originator, records
  uint64_t relay_bytes_max = uint64_t{64} << 20; // and what waits of them
  uint64_t relay_retry_ms = 60'000; // before a relay that refused something is asked again
  fragment_limits fragments;
};

/// Records that what a peer brought was refused for good.
void audit_refusal(const request_header& x, const caf::error& why);

struct store_and_forward_state {
  static constexpr const char* name = "store-and-forward";

  /// All that waits for one name (or, for replies, one node) over the same kinds of link.
  struct waiting_queue {
    uint32_t number = 0;
    std::string name;                    // in the store
    std::string target;                  // what it waits for: the name without what marks its kind
    std::string data_class;              // empty: the default class
    std::optional<node_uid> reply_to;    // a queue of replies to this node
    std::optional<node_uid> reply_by;    // if it cannot be reached itself: this relay brought these
    std::optional<node_uid> carrier;     // our copies of what this relay has
    std::optional<node_uid> carried_for; // requests of this node, which are carried for it
    bool named = false;                  // its name is in the store
    quota_account::owner owner;          // of what waits; no name: there is no quota
    uint64_t items = 0;                  // in the store's queue
    uint64_t bytes = 0;
    uint64_t entering = 0; // items on their way into the store
    uint64_t entering_bytes = 0;
    std::map<ledger::position, ledger::waiting_item> loaded; // ready to go, oldest first
    std::set<ledger::position> in_flight;
    std::set<ledger::position> unwanted; // replies whose request the relay has forgotten
    /// Channels with requests under way to a peer: the next ones wait for custody, so that no
    /// retry can overtake (RVI-SVC_INVOC-9, 10).
    std::map<std::string, size_t> channels;
    bool complete = true; // nothing waits in the store beyond `loaded` and `in_flight`
    ledger::position load_from;
    bool loading = false;
    bool changed_while_loading = false;
    std::optional<ledger::position> entered_while_loading; // the first of them
    std::set<ledger::position> settled_while_loading;
    bool stalled = false;          // its service could not take the front; `available` wakes it
    uint64_t blocked_until_ms = 0; // refused for now; boot time
    size_t marking = 0;            // requests to be handed over once they are marked on disk
    uint64_t large_blocked_until_ms = 0;  // refused for now, what goes in fragments; boot time
    size_t handed_over = 0;               // to its service, no receipt yet
    uint64_t handed_over_bytes = 0;       // of these, without large arguments
    uint64_t marking_bytes = 0;           // of what left the queue and is to be handed over
    uint64_t latest_ms = 0;               // when the last of its items expires
    uint64_t demanded_ms = 0;             // a link is asked for until then, boot time; 0: it is not
    std::vector<std::string> demanded_at; // to these addresses
    uint64_t relays_demanded_ms = 0;      // the same for links to these relays
    std::vector<std::string> relays_demanded;
    std::map<node_uid, uint64_t> refused_by; // relays that are not asked until then, boot time
    bool asks_credentials = false;           // of the store
    std::set<std::string> no_credentials;    // it does not have these
    std::shared_ptr<const rights> judged_by; // what is loaded was judged by these
    uint64_t judged_ms = 0;                  // then, boot time

    /// Nothing is in memory, or something more urgent is not.
    bool front_is_on_disk() const {
      return loaded.empty() || (!complete && load_from < loaded.begin()->first);
    }
  };
  using queue_ptr = std::shared_ptr<waiting_queue>;
  /// In the order in which they were made, never of their addresses: runs must repeat.
  struct by_number {
    bool operator()(const queue_ptr& a, const queue_ptr& b) const { return a->number < b->number; }
  };
  using queue_set = std::set<queue_ptr, by_number>;
  template <class T>
  using queue_map = std::map<queue_ptr, T, by_number>;

  struct flight {
    queue_ptr queue;
    ledger::waiting_item item;
    std::optional<node_uid> relay = std::nullopt; // it goes to this relay, not to the owner
    uint64_t sent_ms = 0;                         // boot time
  };
  using flight_key = std::pair<transaction_id, bool>; // id and reply

  struct link_state {
    link_actor handle;
    link_info info;
    uint64_t credit_envelopes = 0;
    uint64_t credit_bytes = 0;
    bool used = false;    // something came over it
    bool starved = false; // something waits for credit
    bool watched = false; // has an entry in `custody_due`
    bool closing = false; // told to
    std::map<flight_key, flight> in_flight;
    // Of the last custody, or when something went, or wanted to, after nothing; boot time
    uint64_t progress_ms = 0;
    uint64_t bytes_max = 0;    // the largest under way
    uint64_t confirmed_ms = 0; // when the latest that has custody was sent; boot time
    outgoing_transfers transfers;
  };

  /// Rpcs that others have: the node must be reached for the replies.
  struct awaited {
    std::set<transaction_id> ids;
    uint64_t latest_ms = 0;   // when the last of them expires
    uint64_t demanded_ms = 0; // as in waiting_queue
  };

  struct settled_item {
    std::string id; // key in `ids`
    std::string target;
    uint64_t expires_ms = 0;
    bool in_memory = false;
  };

  explicit store_and_forward_state(store_and_forward_actor::pointer self) : self(self) {}

  // -- start ------------------------------------------------------------------------------------
  void recover();
  void recovered(const ledger::recovered& x);
  void edge_restarted();
  void answer_unknown(const std::vector<std::string>& ids, bool in_memory = false);
  /// Runs `work` now, or once the store has been read.
  void when_ready(std::function<void()> work);

  // -- what services ask --------------------------------------------------------------------------
  caf::result<std::vector<caf::error>> schedule(batch x);
  caf::result<std::vector<caf::error>> reply(batch x);
  caf::result<outcome_notice> outcome(const transaction_id& id);
  void receipts(const std::vector<receipt>& xs);
  void service_refused(const flight& x, const std::string& why);
  /// It may have reached its service and may run again, but not for ever.
  void try_again(flight x);
  /// It has not run, and waits for its service again.
  void hold_again(flight x);
  void undelivered_again(const undelivered& x);
  void service_available(const std::string& service);

  // -- what peers send ----------------------------------------------------------------------------
  void received(link_actor link, uint64_t number, batch x, custody_report refused);
  /// Splits a batch of both durabilities; true if it did.
  bool keep_apart(const link_actor& link, uint64_t number, batch& x, custody_report& refused);
  /// It has ended here before, or nobody can say: answered, not kept.
  bool settled_in_memory(const request_header& x, custody_report& answer);
  void custody(uint64_t link, const custody_report& x);
  void refused_by_peer(flight x, const refusal& why);
  /// Refused for now, in a way that blames the request: it is given up after so many.
  void refused_for_now(flight x, const refusal& why);
  /// Why a request with durability `none` is not taken; no error if it is.
  caf::error check_in_memory(const request_header& x) const;
  void credit(uint64_t link, const credit_grant& x);
  void link_up(link_actor handle, link_info info);
  void link_down(uint64_t link);
  std::optional<flight> take_in_flight(link_state& link, const flight_key& key);
  void landed(waiting_queue& q, const envelope& x);
  /// A request or reply has ended while it waited or was under way.
  void gone(const transaction_id& id, const ledger::queue_place& place);
  /// False: it was certainly not sent to anybody since this node started.
  bool may_have_left(const std::string& key) const;
  /// Notes that something was sent now: its custody is waited for.
  void await_credit(link_state& link);
  void await_custody(link_state& link);
  /// Closes links whose peers take what they are sent and never say so.
  void check_custody();

  // -- relaying (store_and_forward_relay.cpp, store_and_forward_carry.cpp) ----------------------
  /// Who takes what waits in a queue next.
  struct next_hop {
    link_state* link = nullptr;
    bool relay = false; // not the owner
  };
  /// What the name says of it, and whose quota its items count against.
  void classify(waiting_queue& q) const;
  queue_ptr entrusted_queue(const node_uid& relay, const waiting_queue& from);
  queue_ptr carried_queue(const request_header& x);
  void note_way_back(const envelope& request);
  next_hop next_hop_of(const waiting_queue& q, const route& to);
  link_state* relay_for(const waiting_queue& q);
  /// The best link to the node that this data class may use; null: none is up.
  link_state* link_to(const node_uid& uid, const std::string& data_class = {});
  void demand_links(waiting_queue& q, const route& to);
  void demand_relays(waiting_queue& q);
  /// This item may go over this link now.
  bool may_go(const waiting_queue& q, const ledger::waiting_item& item, const next_hop& next) const;
  bool keeps_order(const waiting_queue& q, const node_uid& relay) const;
  /// Copies for this target wait for the owner, and must not be overtaken.
  bool entrusted_waits(const std::string& target, const std::optional<node_uid>& but) const;
  /// As it is sent: with this node in its route if it is carried.
  envelope_ptr on_its_way(const ledger::waiting_item& item, const next_hop& next) const;
  /// Queues that this peer may get something from: as the owner's other queues, or as a relay.
  void add_relay_queues(const peer_identity& node, std::map<std::string, queue_ptr>& to);
  void relay_accepted(flight x);
  void relay_refused(flight x, const refusal& why);
  /// What this node carries is judged again; what fell is dropped. False if some credential has to
  /// be read first: then the queue is looked at again.
  bool judge_carried(const queue_ptr& q);
  void read_credentials(const queue_ptr& q, std::set<std::string> hashes);
  void drop_carried(flight x, const caf::error& why);
  void carried_forgotten(const transaction_id& id);
  /// Takes those out that are for others and keeps them.
  batch take_carried(const link_actor& link, batch x);
  void carry(const link_actor& link, const batch& requests);
  void carry_replies(const link_actor& link, const batch& replies);
  bool within_quota(const node_uid& origin, size_t bytes, uint64_t entering) const;
  /// What relays have of ours for the same target counts as waiting here.
  bool within_bound_with_entrusted(const waiting_queue& q) const;
  std::string key_in(const waiting_queue& q, const transaction_id& id) const;
  void relay_link_up(const link_state& link);

  // -- queues -----------------------------------------------------------------------------------
  queue_ptr queue_for(const std::string& name);
  /// Where a request waits for its target: with those of its data class, unless it is for here.
  queue_ptr queue_for(const request_header& x);
  /// Where the reply `x` waits: for whoever asked or, if a relay brought the request, for that
  /// relay too (`by`; without it what is known of the id).
  queue_ptr reply_queue_for(const request_header& x, std::optional<node_uid> by = std::nullopt);
  ledger::queue_ref reference(const queue_ptr& q);
  /// The item is in the store now and waits.
  void entered(const queue_ptr& q, ledger::waiting_item item);
  /// It does not wait any more.
  void left(const queue_ptr& q, const ledger::waiting_item& item);
  /// Takes a place in the queue until `settle`, or says which limit is reached; null: none.
  const char* reserve(const queue_ptr& q, size_t bytes);
  /// Answers `busy`, and counts it.
  caf::error refused_at(const char* limit, const waiting_queue& q);
  void settle(const queue_ptr& q, size_t bytes);
  /// The next hop has these.
  void settle_custody(std::vector<settled_item> items);
  void settle_custody_in_memory(const settled_item& item);
  /// The node that has this rpc must be reached for its reply.
  void await_outcome(const settled_item& item);
  /// Nothing is sent from this queue before `until_ms` (boot time).
  void block(const queue_ptr& q, uint64_t until_ms);
  /// It is empty: it goes in a moment, unless it is used again.
  void may_forget(const waiting_queue& q);
  void forget_idle();
  /// Nothing less urgent than `priority_max` goes to a peer.
  void pump(const queue_ptr& q, uint8_t priority_max = UINT8_MAX);
  void pump_all();
  /// What waits for this node, the most urgent of all queues first.
  void pump_towards(const peer_identity& node);
  void load_more(const queue_ptr& q);
  void loaded(const queue_ptr& q, std::vector<ledger::waiting_item> items, size_t asked);
  route route_of(const waiting_queue& q) const;
  link_state* link_of(const route& x, const std::string& data_class = {});
  void transmit(const queue_ptr& q, const next_hop& next, uint8_t priority_max);
  /// Notes an item as under way; `as_sent` is what the peer gets of it first.
  void send_away(const queue_ptr& q, const next_hop& next, ledger::waiting_item item,
                 const envelope& as_sent, bool large);
  /// HLD 9.5: a revoked credential of this node sends nothing any more, also not what it signed
  /// before.
  void rights_shrank();
  void refuse_revoked(const queue_ptr& q);
  /// With the credentials that the edge needs to judge them.
  void pass_to_edge(batch requests);
  /// The queues with a route to this node.
  std::vector<queue_ptr> queues_of(const peer_identity& node);
  /// Asks for a link for as long as something waits for it, once.
  void demand_link(waiting_queue& q, const route& x);
  void demand_link_for_replies(const std::string& target, awaited& x);
  /// Asks for links to nodes that have rpcs of ours.
  void demand_links_for_replies();
  /// How long from now (boot time) what expires at `expires_ms` needs a link.
  uint64_t demand_until(uint64_t expires_ms) const;
  /// What had no way to its target may have one now.
  void routes_changed();
  /// Whoever knew what is wanted is gone: it is asked for anew.
  void demand_anew();
  void ended(const std::string& target, const transaction_id& id);
  /// Its service may have this many more in hand, of which all but the last have these bytes.
  bool may_hand_over(const waiting_queue& q, size_t more = 1, uint64_t bytes = 0) const {
    return q.handed_over + q.marking + more <= config.local_in_flight_max
           && q.handed_over_bytes + q.marking_bytes + bytes < config.local_bytes_in_flight_max;
  }
  /// The request that has just reserved its place may be handed over with its commit: nothing waits
  /// before it, not even on its way into the store.
  bool may_skip_queue(const waiting_queue& q) const {
    return edge && q.items == 0 && q.entering == q.marking + 1 && may_hand_over(q);
  }
  void dispatch(const queue_ptr& q);
  void dispatch_marked(const queue_ptr& q, std::vector<ledger::waiting_item> items);
  /// The service's receipt is waited for.
  void await_receipt(flight x);
  /// Large arguments have a room of their own.
  static uint64_t bytes_in_hand(const ledger::waiting_item& x) {
    return x.bytes - std::min<uint64_t>(x.bytes, x.large_bytes);
  }
  /// Ends the wait for a receipt; nothing if there was none.
  std::optional<flight> take_handed_over(const std::string& id);
  void hand_over(const queue_ptr& q, std::vector<ledger::waiting_item> items);
  /// An outcome has just become durable: its service hears of it at once.
  void announce_outcome(const queue_ptr& q, ledger::waiting_item item);
  /// Puts the item back in front of its queue.
  void put_back(const queue_ptr& q, ledger::waiting_item item);

  /// Counts and bounds of the queues, at the start.
  void prepare_queues();
  /// Whose quota its items count against.
  void assign_owner(waiting_queue& q) const;
  /// Runs `work` once all steps sent to the store before are done.
  void after_commits(std::function<void()> work);

  // -- dead letters and what administrators ask ---------------------------------------------------
  caf::result<queue_answer> administer(const queue_call& x);
  caf::result<queue_answer> list_queue(const queue_call& x);
  caf::result<queue_answer> show_queued(const transaction_id& id);
  caf::result<queue_answer> drop_queued(const queue_call& x);
  struct dropping;
  void drop(const std::shared_ptr<dropping>& work, bool in_memory);
  void dropped(dropping& x, bool in_memory);
  caf::result<queue_answer> requeue(const transaction_id& id);
  /// Reports it; the ledger has it.
  void died(const transaction_id& id, const std::string& target, std::string_view why,
            uint64_t count = 1);

  // -- large arguments on their way out (store_and_forward_fragments.cpp) -------------------------
  /// Their counts, at the start.
  void prepare_fragments();
  /// Whether something this large may be opened on the link now; else it is tried again.
  bool may_open_transfer(const queue_ptr& q, link_state& link);
  void open_transfer(link_state& link, const flight_key& key, const ledger::waiting_item& item);
  void forget_transfer(link_state& link, const flight_key& key);
  /// HLD 8.12: how far the peer has it; it goes on from there.
  void transfer_state(uint64_t link, const fragment_state& x);
  void pump_fragments(link_state& link);
  void send_fragment(uint64_t link, const flight_key& key, uint64_t turn, std::string content);
  void fragment_unreadable(uint64_t link, const flight_key& key, const caf::error& why);
  /// Nothing large is sent from this queue before `until_ms` (boot time).
  void block_large(const queue_ptr& q, uint64_t until_ms);
  void refuse_revoked_transfers();

  // -- large arguments on their way in (store_and_forward_reassembly.cpp) -------------------------
  void recover_incoming(const std::vector<ledger::partial>& xs);
  void open_incoming(const link_actor& link, uint64_t number, const envelope_ptr& opening);
  void may_open_incoming(const std::string& id, ledger::opened what);
  void take_fragment(const link_actor& link, uint64_t number, argument_fragment x);
  void keep_piece(incoming_transfer& x, std::string content);
  void keep_last_piece(incoming_transfer& x, std::string content);
  void piece_kept(const std::string& id, uint64_t bytes);
  void piece_failed(const std::string& id, uint64_t bytes);
  void transfer_complete(const std::string& id, uint64_t bytes, const queue_ptr& q,
                         const ledger::completed& x);
  void tell_state(const incoming_transfer& x, uint64_t settled_bytes, bool told);
  /// Custody or a refusal; the transfer is on no link after it.
  void tell_custody(incoming_transfer& x, std::optional<refusal> refused);
  /// Ends it for good; what is stored of it goes.
  void end_incoming(const std::string& id, const caf::error& why);
  void erase_incoming(const std::string& id);
  bool room_for_incoming(const node_uid& peer, uint64_t bytes);
  void incoming_link_lost(uint64_t link);
  void judge_incoming();
  void expire_incoming();

  // -- large arguments in services' hands (store_and_forward_room.cpp) ----------------------------
  /// False: services have enough of them now; the queue goes on when there is room.
  bool take_room(const std::string& id, uint64_t bytes, const queue_ptr& q);
  void give_room(const std::string& id);
  void pump_waiting_for_room();

  // -- time -------------------------------------------------------------------------------------
  uint64_t boot_ms() const { return config.node->time->boot_ms(); }
  void wake();
  /// Sees to the next wake-up.
  void arm();
  /// A request expires then.
  void note_due(uint64_t expires_ms, bool in_memory = false);
  void expire_due();
  struct due_request {
    std::string id;
    std::string source;
  };
  void expire(const std::vector<due_request>& xs, bool in_memory = false);
  void expired(uint64_t next_ms);
  void expiry_failed();

  // -- store ------------------------------------------------------------------------------------
  /// Runs a step durably, then `done`; on an error `failed`.
  void commit(transaction_step step, std::function<void()> done,
              std::function<void(const caf::error&)> failed = nullptr);
  /// The same on the ledger in memory, at once, or on the one on disk.
  void commit_in(bool in_memory, transaction_step step, std::function<void()> done,
                 std::function<void(const caf::error&)> failed = nullptr);
  /// Ledger in memory: this one has ended, only its id counts from now on.
  void forget_in_memory(const std::string& key, uint64_t expires_ms);
  void expire_in_memory();
  /// After this actor has failed; the node's requests in memory are still there.
  void recover_in_memory();
  std::vector<std::string> dispatched_in_memory();
  /// A step nobody waits for: it shares the next commit; an error is logged.
  void commit_later(transaction_step step);

  std::string status() const;

  store_and_forward_actor::pointer self;
  store_and_forward_config config;
  std::optional<expiry_clock> clock;
  service_edge_actor edge;
  data_link_actor data_link;
  bool ready = false;
  std::vector<std::function<void()>> waiting_for_ready;
  std::vector<std::string> unknown_outcomes; // handed over before a crash
  uint64_t next_seq = 1;
  uint64_t first_seq = 1; // of this start; what is older may have been sent before
  std::optional<quota_account> quotas;
  uint64_t dead = 0;                 // dead letters listed
  uint64_t memory_due_ms = 0;        // as next_due_ms, of the ledger in memory
  std::set<std::string> settling;    // by `ids` key: custody counted, not on disk yet
  std::set<std::string> sent_before; // by `ids` key: sent over a link that went without custody
  uint32_t next_queue = 1;
  uint64_t next_due_ms = 0;
  bool expiring = false;
  bool own_revoked = false; // a credential of this node
  uint64_t due_while_expiring_ms = 0;
  uint64_t expire_again_ms = 0;                        // not before, boot time
  uint64_t forget_ms = 0;                              // when `emptied` is looked at, boot time
  std::set<std::string> emptied;                       // queues
  std::set<std::pair<uint64_t, std::string>> blocked;  // until when, boot time; queues
  std::set<std::pair<uint64_t, uint64_t>> custody_due; // not before, boot time; links
  // The boot clock counts sleep, delays do not: while anything is due the clock is looked at.
  wake_timer timer{60'000};
  std::map<std::string, queue_ptr> queues; // ordered, so that runs repeat
  std::map<uint64_t, link_state> links;
  std::map<node_uid, std::map<std::string, uint64_t>> links_by_uid; // by kind
  std::map<caf::actor_addr, uint64_t> links_by_address;
  std::map<std::string, awaited> awaiting;             // by target
  std::set<node_uid> relays;                           // peers, perhaps gone, with the claim
  std::map<node_uid, uint64_t> carried;                // records carried for others, by originator
  std::map<transaction_id, node_uid> ways_back;        // open rpcs that a relay brought
  std::unordered_map<std::string, flight> handed_over; // to services, by `ids` key
  std::map<std::string, incoming_transfer> incoming;   // by `ids` key
  std::set<std::pair<uint64_t, std::string>> incoming_due; // when they expire
  std::map<std::string, uint64_t> room_taken; // bytes of large arguments handed over, by `ids` key
  uint64_t room_taken_bytes = 0;
  std::set<std::string> waiting_for_room; // queues
  struct {
    metrics::counter* accepted = nullptr;
    metrics::counter* refused = nullptr;
    metrics::counter* transmitted = nullptr;
    metrics::counter* received = nullptr;
    metrics::counter* duplicates = nullptr;
    metrics::counter* late_replies = nullptr;
    metrics::counter* dispatched = nullptr;
    metrics::counter* expired = nullptr;
    metrics::counter* dead_letters = nullptr;
    metrics::counter* custody_timeouts = nullptr;
    metrics::counter* dead_letters_dropped = nullptr;
    metrics::counter* in_memory = nullptr;
    std::map<std::string_view, metrics::counter*> refused_at; // by limit, of those met
    metrics::counter* carried = nullptr;
    metrics::counter* carried_dropped = nullptr;
    metrics::counter* entrusted = nullptr;
    metrics::counter* fragments_sent = nullptr;
    metrics::counter* fragments_received = nullptr;
    metrics::counter* fragments_refused = nullptr;
    metrics::counter* fragments_resumed = nullptr;
    metrics::counter* fragments_mismatched = nullptr;
    metrics::gauge* fragments_partial = nullptr;
    metrics::gauge* fragments_partial_bytes = nullptr;
    metrics::gauge* waiting = nullptr;
    metrics::gauge* waiting_bytes = nullptr;
    metrics::gauge* dead_letters_listed = nullptr;
    metrics::gauge* memory_items = nullptr;
    metrics::gauge* memory_bytes = nullptr;
  } counts;
};

store_and_forward_actor::behavior_type
store_and_forward(store_and_forward_actor::stateful_pointer<store_and_forward_state> self,
                  store_and_forward_config config);

} // namespace rvi
