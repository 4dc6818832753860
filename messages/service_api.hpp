// SPDX-License-Identifier: MPL-2.0
//
// What services ask of their node and what they get from it (part 2 of rvi.proto), as plain structs
// between the service edge and the servers that services connect to.

#pragma once

#include "messages/access_policy.hpp"
#include "messages/envelope.hpp"
#include "messages/metric.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace rvi {

/// The principal of the node's own services.
inline constexpr const char* node_principal = "node";

/// One connection of a service, or one HTTP request; never used twice.
using client_id = uint64_t;

/// HLD 7.1. Without a network address the connection itself receives the service's requests;
/// without a connection that lasts (HTTP) and without an address the name is only held, to invoke
/// from.
struct register_service_call {
  std::string service;
  std::string network_address;
  std::vector<std::string> methods;
  bool idempotent = false;
  durability durability_min = durability::full;
  bool transaction_ids_required = false; // each `invoke` needs a service_transaction_id
  bool signature_wanted = false;         // what it is handed carries a service_signature
  std::string public_key = {};           // JWK; each `invoke` is signed by it. Empty: none
};

struct unregister_service_call {
  std::string service;
};

/// HLD 8.1, figure 14.
struct invoke_call {
  uint64_t timeout_ms = 0; // absolute, Unix milliseconds
  std::string requesting_service;
  std::string target;
  std::string arguments; // one JSON value, as written
  bool synch = false;
  uint32_t priority = 4;
  std::string channel;
  rvi::durability durability = durability::full;
  std::string data_class;
  bool delivery_report = false;
  std::optional<named_user> user; // on_behalf_of
  bool untyped_allowed = false;   // the alias method `message`: a target without type is a message
  /// HLD 3.2.4: the service's own id, 1 or more, each higher than the last; a retry has the same.
  std::optional<uint64_t> service_transaction_id;
  bool timeout_given = false; // else `timeout_ms` is a default that depends on when it was asked
  std::string service_signature = {}; // HLD 12.1; empty: none
};

/// HLD 8.20: a service's reply to an rpc it was given.
struct reply_call {
  transaction_id id;
  std::string arguments; // one JSON value, as written
};

struct get_outcome_call {
  transaction_id id;
};

struct get_available_services_call {
  std::string pattern; // empty: all
};

struct get_node_address_call {};

/// HLD 10.2: from now on reports go to this connection, which must last; the current state at once.
struct subscribe_availability_call {
  std::string requesting_service; // may be empty
  std::string pattern;
};

struct unsubscribe_availability_call {
  std::string pattern;
};

/// HLD 4.6: the links to nodes this one may reach.
struct get_data_channels_call {
  std::string pattern; // of node addresses; empty: all
};

/// What waits here, and dead letters: for administrators. JSON answers:
///   list     {"items":[ITEM...], "next": cursor of the next page or ""}
///   show     {"items":[ITEM with "arguments"...]}: as made here, as to be run here, or both
///   drop     {"dropped":N, "more":bool}
///   requeue  {"transaction_id":ID}
/// ITEM: transaction_id, state (waiting, custody, ended, held, dispatched, done, dead), what
/// (request, reply, outcome), kind, source, target, queue, priority, durability, bytes, expires_ms,
/// attempts, and with state dead: dead_ms, why.
struct queue_call {
  enum class action { list, show, drop, requeue };
  action what = action::list;
  std::optional<transaction_id> id; // show, requeue; drop, if there is no pattern
  std::string pattern;              // list, drop; normalised by the edge
  bool dead = false;
  std::string after;
  uint64_t limit = 100;
};

/// HLD 6.1.3. Names as given.
struct subscribe_call {
  std::string requesting_service;
  std::string target; // "metric:" and a pattern
  metric_filter filter;
};
struct unsubscribe_call {
  std::string requesting_service;
  std::string target; // as subscribed to
};
struct publish_call {
  std::string source;
  std::string target;
  std::string value;       // one JSON value, as written
  uint64_t timeout_ms = 0; // absolute: until when the value is kept; 0: until it is replaced
  bool retain = false;     // through a restart of the node
};

/// HLD 9.6, for administrators. Results: make {grant_id, node_uid, expires, grant, transaction_id
/// of the rpc that brings it there or else not_sent}, list {given, held}, withdraw and take
/// {grant_id}.
struct grant_call {
  enum class action { make, list, withdraw, take };
  action what = action::list;
  std::string node;                      // make: the address of a node seen before, or a uid (hex)
  std::vector<std::string> destinations; // make: patterns below this node's address
  uint64_t expires_s = 0;                // make
  std::string id;                        // make (empty: a random one), withdraw
  std::string text;                      // take: a grant for this node
  std::optional<node_uid> from;          // take: the node that brings it; absent: the administrator
};

/// Status, traces, queues: for administrators. `method` is get_status, get_trace, get_nodes,
/// get_links, revoke, disconnect, connect; `argument` its only parameter, if any.
struct administration_call {
  std::string method;
  std::string argument;
};

using service_request
  = std::variant<register_service_call, unregister_service_call, invoke_call, reply_call,
                 get_outcome_call, get_available_services_call, get_node_address_call,
                 administration_call, grant_call, queue_call, subscribe_availability_call,
                 unsubscribe_availability_call, get_data_channels_call, subscribe_call,
                 unsubscribe_call, publish_call>;

struct service_call {
  client_id client = 0;
  uint64_t token = 0;       // the server's own, comes back in the result
  bool deliverable = false; // the connection can receive requests (WebSocket)
  rvi::principal principal;
  service_request request;
};

/// How a request ended, as its requesting service sees it.
struct outcome_notice {
  transaction_id id;
  std::string requesting_service;
  std::string target;
  std::string status;                 // ok, error, timeout, outcome_unknown, refused, pending
  std::string dispatched;             // with timeout: no, unknown
  std::string arguments;              // with ok: the reply's JSON value
  std::string error;                  // with error, refused: {"code":…,"message":…}
  std::string service_signature = {}; // as in `invocation`
};

struct registered_result {
  std::string service;
  uint64_t last_transaction_id = 0; // the highest service_transaction_id seen; 0: none
  std::string edge_key = {};        // JWK, if signatures are wanted
};
struct accepted_result {
  transaction_id id;
  bool repeated = false; // it had been accepted before, under the same service_transaction_id
};
struct names_result {
  std::vector<std::string> names;
};
/// Text that already is JSON.
struct json_result {
  std::string json;
};
struct done_result {};

using service_answer = std::variant<done_result, registered_result, accepted_result, outcome_notice,
                                    names_result, json_result>;

struct call_result {
  client_id client = 0;
  uint64_t token = 0;
  caf::error error; // none: `answer` holds
  uint64_t retry_after_ms = 0;
  service_answer answer;
};

/// HLD 8.19: a request on its way to a local service.
struct invocation {
  client_id client = 0;        // where to; 0: by address
  std::string network_address; // with client 0
  envelope_ptr content;
  std::string service_signature = {}; // compact JWS, for a service that wants it (figure 32)
};

/// An outcome on its way to the requesting service.
struct outcome_delivery {
  client_id client = 0;
  std::string network_address;
  outcome_notice notice;
};

/// HLD 10.2: services of one node that can or cannot be reached, for one subscription.
struct availability_report {
  client_id client = 0;
  std::string pattern; // the subscription's
  bool available = false;
  /// Not a change but the state as it is, told however much the connection has not read.
  bool current = false;
  /// Nothing said before under this pattern holds any more; what does follows.
  bool all = false;
  std::string node;  // address
  std::string state; // local, linked; away (requests are kept for it), gone, revoked, quarantined
  std::string kind;  // of the link: tls, loopback; empty: none
  uint64_t round_trip_us = 0; // 0: not measured yet
  uint64_t last_seen_ms = 0;  // of a node that is not linked
  /// subscribed, current; registered, unregistered; announced, withdrawn; link_up, link_down,
  /// measured; revoked, quarantined, forgotten
  std::string reason;
  uint64_t time_ms = 0;
  std::vector<std::string> services; // empty: only the link to the node is reported
};

/// What became of a hand-over.
struct receipt {
  enum class status { taken, refused, lost };
  transaction_id id;
  bool outcome = false; // of an outcome_delivery, not an invocation
  status what = status::taken;
  // lost: true if nothing can have reached the service
  bool untouched = false;
  std::string error; // refused: the service's JSON error object
};

} // namespace rvi
