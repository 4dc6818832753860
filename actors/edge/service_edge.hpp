// SPDX-License-Identifier: MPL-2.0
//
// Coordinates all traffic of local services (HLD 5.3, 10): registers them, takes their requests and
// replies, hands them what is addressed to them, and checks rights again at the last moment.

#pragma once

#include "actors/edge/availability.hpp"
#include "actors/edge/service_ids.hpp"
#include "actors/node/context.hpp"
#include "actors/wake_timer.hpp"
#include "messages/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace rvi {

struct service_edge_config {
  node_context_ptr node;
  store_actor store;
  authorization_actor authorization;
  service_discovery_actor service_discovery;
  store_and_forward_actor store_and_forward;
  metric_hub_actor metric_hub;
  uint64_t request_bytes_max = uint64_t{8} << 20;
  uint64_t timeout_ms_max = 30ULL * 24 * 3'600 * 1'000;
  size_t registrations_max = 4'096;
  std::vector<std::string> callback_hosts; // as in service_callback_config
  std::vector<uint16_t> own_ports;
  size_t open_requests_max = 100'000; // rpcs handed over and not answered
  service_ids_ptr ids;                // of this start of the node; null: none before
  /// For what services want signed: apart from the one that signs requests, so that those do not
  /// wait. Null: services get no signatures.
  std::function<signer_actor()> start_signer;
};

struct service_edge_state {
  static constexpr const char* name = "service-edge";
  explicit service_edge_state(service_edge_actor::pointer self) : self(self) {}

  struct registration {
    std::string principal;
    client_id client = 0; // 0: by address, or only held
    std::string network_address;
    bool idempotent = false;
    durability durability_min = durability::full;
    node_service_actor inside; // a service of the node itself
    bool ids_required = false; // as in register_service_call
    bool signature_wanted = false;
    std::optional<crypto::public_key> key = {}; // its invokes are signed by it (HLD 12.1)

    /// Somebody can be handed requests.
    bool reachable() const { return inside || client != 0 || !network_address.empty(); }
  };

  /// An rpc a service has and has not answered.
  struct open_request {
    envelope_ptr content;
    std::string principal;
  };

  /// Where the answer to one call goes.
  struct caller {
    client_id client = 0;
    uint64_t token = 0;
  };

  // -- calls --------------------------------------------------------------------------------------
  void take(std::vector<service_call> calls);
  void answer(const caller& to, service_answer x);
  void refuse(const caller& to, caf::error why);
  void flush_answers();
  void do_register(const service_call& from, register_service_call& x);
  /// A registration of this connection has ended one way or the other; true if the connection has,
  /// too.
  bool registered_too_late(client_id client);
  caf::result<atom::done> attach(const std::string& name, node_service_actor service);
  void do_unregister(const service_call& from, const unregister_service_call& x);
  /// Makes a draft, or answers why not.
  void do_invoke(const service_call& from, invoke_call& x);
  void do_reply(const service_call& from, reply_call& x);
  void do_get_address(const service_call& from);
  void do_get_outcome(const service_call& from, const get_outcome_call& x);
  void do_get_services(const service_call& from, const get_available_services_call& x);
  void do_queue(const service_call& from, queue_call& x);
  /// What only the edge can do of it: answer what was dropped, make a request anew.
  void finish_queue_call(const caller& to, const queue_call& asked, queue_answer& x);
  void bury(const transaction_id& dead);
  void make_again(const caller& to, const transaction_id& dead, const envelope& x);
  void do_administration(const service_call& from, const administration_call& x);
  void do_grant(const service_call& from, const grant_call& x);
  /// HLD 9.6: to its holder, by the ordinary route.
  void send_grant(const caller& to, grant_answer made);
  void do_subscribe(const service_call& from, const subscribe_availability_call& x);
  void do_unsubscribe(const service_call& from, const unsubscribe_availability_call& x);
  void do_get_channels(const service_call& from, const get_data_channels_call& x);
  // HLD 6.1.3 (service_edge_metrics.cpp): passed to the metric hub, one message for all
  void do_subscribe(const service_call& from, const subscribe_call& x);
  void do_unsubscribe(const service_call& from, const unsubscribe_call& x);
  void do_publish(const service_call& from, publish_call& x);
  /// The full name, if this principal holds it; its connection in `at`.
  expected<std::string>
  held_name(const service_call& from, const std::string& service, client_id* at = nullptr) const;
  void submit_metrics();
  /// Where the service receives has changed.
  void tell_hub(const std::string& name, const std::string& principal, client_id at);
  void trace_of(const caller& to, const std::string& id);
  void status_of(const caller& to);
  void links_of(const caller& to);
  expected<std::string> full_name(const std::string& service) const;
  caf::error
  check_in_memory(const std::string& target, uint64_t life_ms, size_t arguments_bytes) const;
  // HLD 3.2.4 (service_edge_ids.cpp)
  /// Answers a request that was made before, or whose id cannot be taken. False: it is new.
  bool answered_before(const service_call& from, const invoke_call& x, const std::string& service,
                       std::string& digest);
  void answer_outcome(const caller& to, outcome_notice found);
  /// HLD 12.1: that the service asks, and nobody else who has its connection.
  caf::error check_proof(const std::string& service, const invoke_call& x) const;
  void answer_repeated(const caller& to, const transaction_id& first, bool synch);
  /// What an edge before this one had under way was accepted, or was not; then `done`.
  void settle_ids_under_way(const std::function<void()>& done);
  expected<draft> draft_of(const service_call& from, invoke_call& x, std::string source);
  /// HLD 3.2.6: what the rules in force let this principal do, and for whom it asks.
  caf::error check_invoke(const principal& who, const std::string& target) const;
  expected<std::shared_ptr<const on_behalf_of>>
  user_of(const principal& who, const std::optional<named_user>& named, uint64_t now_ms) const;

  // -- requests and replies on their way out ----------------------------------------------------
  struct pending_draft {
    draft content;
    std::optional<caller> from; // none: the node itself answers for a service
    bool synch = false;
    std::optional<transaction_id> again = {}; // the dead letter that it stands for from now on
    std::optional<grant_answer> brings = {};  // the grant that this request carries to its holder
    service_claim_ptr claim = {};
  };
  /// HLD 3.2.4: it is made now, under the service's id.
  caf::error claim_id(const service_call& from, const invoke_call& x, const std::string& digest,
                      pending_draft& draft);
  /// The request under this id was accepted, or was not and why.
  void claim_settled(const service_claim& x, const caf::error& why);
  void submit_drafts();
  /// It was not accepted.
  void draft_refused(const pending_draft& x, caf::error why);
  void draft_accepted(const pending_draft& x, const transaction_id& id);
  void schedule(std::shared_ptr<std::vector<pending_draft>> drafts, authorized_batch signed_ones);
  /// The reply to a request (HLD 8.20): the same id, the other way round.
  static draft
  reply_to(const envelope& request, request_kind kind, std::string arguments, uint64_t now_ms);
  void answer_error(const envelope_ptr& request, const std::string& error_object);

  // -- requests and outcomes on their way in ----------------------------------------------------
  void dispatch(const batch& requests);
  caf::error check_dispatch(const envelope& x, uint64_t now_ms) const;
  struct hand_over {
    std::vector<invocation> outside;
    std::vector<invocation> to_sign;                       // for services outside that want it
    std::map<std::string, std::vector<invocation>> inside; // by service of the node
    undelivered nobody;
  };
  void dispatch_one(const envelope_ptr& request, hand_over& going);
  void refuse_dispatch(const envelope_ptr& request, const caf::error& why);
  void hand_over_outcomes(std::vector<outcome_notice> notices);
  void deliver_outcomes(std::vector<outcome_notice> notices);
  // HLD 8.19, figure 32 (service_edge_signatures.cpp)
  /// Compact JWSs of these claims, in their order; or why there are none.
  using signatures_drawn = std::function<void(std::vector<std::string>, const caf::error&)>;
  struct signing {
    std::vector<std::string> texts; // inputs, then whole JWSs
    size_t open = 0;
    caf::error why;
    signatures_drawn then;
    void finished();
  };
  void sign(std::vector<std::string> claims, signatures_drawn then);
  void draw(const std::shared_ptr<signing>& work, size_t index);
  void hand_over_signed(std::vector<invocation> xs);
  void
  sign_outcomes(std::shared_ptr<std::vector<outcome_notice>> notices, std::function<void()> then);
  /// Takes out what must be signed first; it comes back with its signature.
  void sign_first(std::vector<outcome_notice>& notices);
  bool wants_signature(const std::string& service) const;
  void receipts(std::vector<receipt> xs);
  void unknown_outcomes(const batch& requests);
  void client_closed(client_id client);
  /// It had too many requests in hand, and has few now.
  void takes_again(client_id client);
  void close_request(const transaction_id& id);
  /// Requests that were given back because too many are open come again once there are fewer.
  void ask_again_if_few_open();
  // -- availability (HLD 10.2) ----------------------------------------------------------------
  void report(availability::reports x);
  void availability_changed(const availability_event& x);
  /// Reports to this connection were left out, and it reads again.
  void has_room(client_id client);

  /// Remembers until when an open request may be asked about.
  void forget_at(uint64_t wall_ms);
  void forget_old();

  service_edge_actor::pointer self;
  service_edge_config config;
  json_rpc_actor server;
  data_link_actor data_link;
  uint32_t epoch = 0;      // 0: not durable yet
  std::string user_secret; // users are known by HMACs under it; made at the first start
  uint64_t next_seq = 1;
  std::vector<std::vector<service_call>> waiting_for_epoch;
  std::vector<pending_draft> drafts;
  std::vector<metric_call> metric_calls;
  std::vector<caller> metric_callers; // of `metric_calls`
  const principal* calling = nullptr; // whose call is being taken
  std::vector<call_result> answers;
  std::map<std::string, registration> registrations; // by full name
  std::map<client_id, std::set<std::string>> clients;
  std::map<client_id, size_t> registering; // calls under way
  std::set<client_id> closed_meanwhile;    // of those
  availability watched;
  std::multimap<transaction_id, caller> synchronous;
  struct repeated_call {
    caller from;
    bool synch = false;
  };
  std::multimap<transaction_id, repeated_call>
    repeated;          // of requests whose acceptance is under way
  signer_actor signer; // null until a service wants signatures
  std::map<transaction_id, open_request> open;
  bool gave_back = false; // requests, because too many are open
  wake_timer timer;
  std::shared_ptr<std::string> link_status_text;
  metrics::counter* calls = nullptr;
  metrics::counter* refused = nullptr;
};

service_edge_actor::behavior_type
service_edge(service_edge_actor::stateful_pointer<service_edge_state> self,
             service_edge_config config);

} // namespace rvi
