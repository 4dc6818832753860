// SPDX-License-Identifier: MPL-2.0
//
// What is durably known about each request, and every step of its life, as functions on one store
// transaction: no actor, no clock, no socket. Each step may run twice (the store retries steps
// whose neighbour failed), so it only depends on what is in the transaction and its arguments.

#pragma once

#include "actors/storage/transaction.hpp"
#include "messages/batches.hpp"
#include "messages/credential.hpp"
#include "storage.pb.h"

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::ledger {

/// How long an id is remembered after its request expired (promises-and-security 2.1).
inline constexpr uint64_t remember_ms = uint64_t{10} * 60 * 1'000;
/// How long a dead letter stays listed.
inline constexpr uint64_t dead_letter_ms = 30ULL * 24 * 3'600 * 1'000;

/// Position in one queue: class first, then age.
struct position {
  uint8_t priority = 0;
  uint64_t seq = 0;
  auto operator<=>(const position&) const = default;
};

/// What waits for a link or a local service.
struct waiting_item {
  position at;
  std::string id;                       // key in `ids`
  envelope_ptr content;                 // null: an outcome
  std::optional<outcome_notice> notice; // an outcome for a local service
  size_t bytes = 0;
  bool in_memory = false;   // its ledger is memory_requests
  uint64_t large_bytes = 0; // of arguments that stay in the store until the hand-over
};

/// A request or reply that waits; large arguments stay in the store.
waiting_item item_of(const position& at, std::string id, const envelope_ptr& x);

/// `ids` key of a request made here.
std::string originated_key(const transaction_id& x);
/// `ids` key of a request to be run here.
std::string inbound_key(const transaction_id& x);
/// The id inside either.
transaction_id id_of(std::string_view key);

/// A queue an item is put into: its number and, the first time, its name.
struct queue_ref {
  uint32_t number = 0;
  std::string name;
  bool is_new = false;
  bool idempotent = false; // what serves it may run a request again
};

/// HLD 8.6: keeps a request made here until it is in somebody's custody.
/// Error: `replay` if the id exists.
caf::error accept(transaction& t, const envelope& x, const queue_ref& queue, uint64_t seq);

/// The same for a target on this node: made here and to be run here.
caf::error accept_local(transaction& t, const envelope& x, const queue_ref& queue, uint64_t seq,
                        bool dispatch);

/// HLD 3.2.4: keeps the id that a service gave its request, in the transaction that accepts it.
/// Error: `replay` if the id was accepted before or is below all that are remembered.
caf::error claim(transaction& t, const service_claim& x);
/// All that is kept so.
expected<std::vector<storage::ServiceIds>> service_ids(transaction& t);
/// How many ids of a service are remembered: the highest.
inline constexpr size_t service_ids_max = 32;

/// What became of a request from a peer.
enum class received { stored, dispatched, duplicate, replayed };

/// HLD 8.13: keeps a request to be run here; with `dispatch` it is marked as handed over in the
/// same breath and never enters the queue.
expected<received> receive(transaction& t, const envelope& x, const node_uid& peer,
                           const queue_ref& queue, uint64_t seq, bool dispatch);

/// Marks a held request as handed over. False if it is not held any more.
expected<bool> dispatch(transaction& t, std::string_view id, bool idempotent);

/// Takes the mark back: nobody could take it, or it may run again.
caf::error hold_again(transaction& t, std::string_view id, const queue_ref& queue);

/// Counts a refusal that blames the request; how many there were.
expected<uint32_t> refused_again(transaction& t, std::string_view id);

/// The service took a message (HLD 6.1.2): done. An rpc waits on for its reply.
caf::error taken(transaction& t, std::string_view id);

/// Handed over, and nobody can say whether it ran, or its service did not take it: listed, never
/// run by itself. Nothing if it is not handed over.
caf::error dead_letter(transaction& t, std::string_view id, std::string_view why, uint64_t now_ms);

/// A message made here that nobody takes: as `end` with `refused`, but it is listed with its
/// content. False if it has ended before.
expected<bool> end_dead(transaction& t, std::string_view id, std::string_view detail,
                        const queue_ref& queue, uint64_t seq, uint64_t now_ms);

/// Not listed any more: only the id is remembered, as long as it must be. False if it was not.
expected<bool> bury(transaction& t, std::string_view id, uint64_t now_ms);

/// Forgets an id and whatever it still holds. Only for what cannot come again.
caf::error forget(transaction& t, std::string_view id);

/// Buries the oldest.
caf::error bury_oldest(transaction& t, size_t count, uint64_t now_ms);

/// A dead letter that was to be run here waits for its service again, for as long as it was first
/// meant to live. Errors: `not_found`, `timeout` if a request cannot live that long.
caf::error revive(transaction& t, std::string_view id, const queue_ref& queue, uint64_t now_ms);

/// Ends what waits for its service here, unseen by it: a message is over, an rpc is as if handed
/// over, so that it can be answered. False if it does not wait.
expected<bool> withdraw(transaction& t, std::string_view id);

/// HLD 8.20, at the answering node: the request is done and its reply waits in `queue`.
/// Errors: `not_found`, `timeout`, `replay` (it has been answered).
caf::error reply(transaction& t, const envelope& x, const queue_ref& queue, uint64_t seq);

/// The same for a request made on this node: its outcome waits in `queue`.
caf::error reply_local(transaction& t, const envelope& x, const queue_ref& queue, uint64_t seq);

/// What a reply brought.
enum class replied { ended, late, unexpected };

/// Where something waited until now.
struct queue_place {
  std::string queue; // empty: nowhere
  position at;
  uint64_t bytes = 0; // its weight there
};

/// What `receive_reply` would make of this reply now.
expected<replied> expects(transaction& t, const envelope& x);

/// HLD 8.20, at the requesting node: the outcome is durable and waits for the service in `queue`.
/// A request answered before its custody arrived still waited: `left` says where.
expected<replied> receive_reply(transaction& t, const envelope& x, const queue_ref& queue,
                                uint64_t seq, queue_place* left = nullptr);

/// The next hop has the request (or, for an inbound key, its reply) durably: the payload goes.
/// True if it is an rpc whose outcome is owed to us now.
expected<bool> custody(transaction& t, std::string_view id);

/// Ends a request made here without a reply: `status` as in outcome_notice. False if it has ended
/// before.
expected<bool> end(transaction& t, std::string_view id, std::string_view status,
                   std::string_view detail, const queue_ref& queue, uint64_t seq);

/// The requesting service has got its outcome: the reply's content goes, how it ended stays.
caf::error delivered(transaction& t, std::string_view id);

// -- relaying (request_ledger_relay.cpp) ----------------------------------------------------------

/// `ids` key of a request carried for others.
std::string carried_key(const transaction_id& x);
bool is_carried(std::string_view id);

/// What became of a request to carry. `again`: it had been passed on, and who sent it before sends
/// it again. `passed_on`: the next hop has it, and it comes from elsewhere.
enum class carried { stored, again, duplicate, replayed, passed_on };

/// Keeps a request for its next hop; `from` is where its reply goes.
expected<carried> carry(transaction& t, const envelope& x, const node_uid& from,
                        const queue_ref& queue, uint64_t seq);

/// The next hop has the request, or the reply, durably: the payload goes, and with a reply or a
/// message the record. True if the record went.
expected<bool>
passed_on(transaction& t, std::string_view id, const node_uid& next, uint64_t now_ms);

enum class carried_reply { stored, duplicate, unexpected };
/// Keeps the reply to a request carried here. `left`: where the request still waited.
expected<carried_reply> carry_reply(transaction& t, const envelope& x, const queue_ref& queue,
                                    uint64_t seq, queue_place* left);

/// It may not be carried any more. True if there was a record.
expected<bool> drop_carried(transaction& t, std::string_view id);

/// A relay has a request made here: our copy moves to `queue` and stays until an outcome signed by
/// the target, or expiry. False if it has ended.
expected<bool>
entrust(transaction& t, std::string_view id, const node_uid& relay, const queue_ref& queue);

/// What a third node signed is judged again later, when whoever brought it may be gone.
caf::error keep_credential(transaction& t, const credential& x);

struct expired_item {
  std::string id;
  std::string source; // the requesting service, for an rpc made here
  std::string target;
  uint8_t priority = 0;
  bool notify = false; // its requesting service must hear of it
  queue_place left;
  bool buried = false;    // it was listed as a dead letter
  bool died = false;      // it is from now on
  bool forgotten = false; // one carried for others
};

/// Where it waits now.
queue_place place(transaction& t, const storage::IdRecord& x);

/// Ids whose time is up at `now_ms`, oldest first, at most `limit`.
expected<std::vector<std::string>> due(transaction& t, uint64_t now_ms, size_t limit);
/// The earliest due time, if any.
expected<std::optional<uint64_t>> next_due(transaction& t);

/// One id whose time is up: a request made here ends as `timeout`; others fade, and are forgotten
/// after `remember_ms`. `queue` is used if the requesting service must hear of it: that it was not
/// dispatched if it never left here, which is certain if it entered its queue at `unsent_from` or
/// later.
expected<expired_item> expire(transaction& t, std::string_view id, uint64_t now_ms,
                              const queue_ref& queue, uint64_t seq, uint64_t unsent_from);

/// What a reply tells its requesting service, as `outcome` would say it.
outcome_notice notice_of_reply(const envelope& x);

/// How a request made here ended; `pending` if it has not; nothing if unknown.
expected<std::optional<outcome_notice>> outcome(transaction& t, const transaction_id& x);

/// What waits in a queue from a position on.
expected<std::vector<waiting_item>>
load(transaction& t, uint32_t queue, const position& from, size_t items_max, size_t bytes_max);

/// The record of an id.
expected<std::optional<storage::IdRecord>> find(transaction& t, std::string_view id);
/// The envelope an id still has.
expected<envelope_ptr> content(transaction& t, const storage::IdRecord& x);

/// Forgets the names of queues that are empty.
caf::error forget_queues(transaction& t, const std::vector<uint32_t>& numbers);

/// A large request or reply that a peer is sending.
struct partial {
  std::string id;       // key as in `ids`
  envelope_ptr content; // without its arguments
  uint64_t record = 0;  // where it will be kept
  uint64_t bytes = 0;   // durable so far
  node_uid peer{};
};

/// What a store holds at start.
struct recovered_queue {
  uint32_t number = 0;
  std::string name;
  uint64_t items = 0;
  uint64_t bytes = 0;
};
struct recovered {
  std::vector<recovered_queue> queues;
  std::vector<std::string> dispatched; // handed over before the crash, outcome open
  std::vector<std::pair<transaction_id, std::string>> awaiting; // rpcs others have; their targets
  uint64_t dead = 0;                                            // dead letters
  std::map<node_uid, uint64_t> carried;                         // origin -> records carried for it
  std::vector<std::pair<transaction_id, node_uid>> relayed; // rpcs to run here; who brought them
  std::vector<partial> partials;
  uint64_t next_seq = 1;
  uint32_t next_queue = 1;
};
expected<recovered> recover(transaction& t);

/// The epoch of this start: max(stored + 1, Unix seconds), durable once the step is.
expected<uint32_t> raise_epoch(transaction& t, uint64_t now_ms);

} // namespace rvi::ledger
