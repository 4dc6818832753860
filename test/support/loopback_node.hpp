// SPDX-License-Identifier: MPL-2.0
//
// A whole node on virtual time: every actor but the sockets, on a disk in memory, with links to
// other nodes of the same process. Killing it loses what a power cut would lose.

#pragma once

#include "actors/edge/service_edge.hpp"
#include "actors/links/data_link.hpp"
#include "actors/links/loopback_link.hpp"
#include "actors/routing/authorization.hpp"
#include "actors/routing/metric_hub.hpp"
#include "actors/routing/protocol.hpp"
#include "actors/routing/service_discovery.hpp"
#include "actors/routing/signer.hpp"
#include "actors/routing/store_and_forward.hpp"
#include "actors/routing/verifier.hpp"
#include "actors/services/provisioning.hpp"
#include "actors/storage/memory_store.hpp"
#include "actors/storage/store.hpp"
#include "test/support/authority.hpp"
#include "test/support/deterministic_system.hpp"

#include <memory>
#include <string>
#include <vector>

namespace test {

/// What the services of a node were told.
struct service_side {
  std::vector<rvi::call_result> answers;
  std::vector<rvi::invocation> invoked;
  std::vector<rvi::outcome_delivery> outcomes;
  std::vector<rvi::availability_report> reports;
  std::vector<rvi::metric_delivery> metrics;
  bool takes_receipts = true; // answers every hand-over with `taken`
};

/// The world that nodes share.
struct world : deterministic_system {
  world() : time(std::make_shared<rvi::manual_time>(1'795'000'000'000)) {}

  /// Time passes on every clock.
  void pass(uint64_t ms, uint64_t step_ms = 50) {
    settle();
    for (; ms > 0; ms -= std::min(ms, step_ms)) {
      auto step = std::min(ms, step_ms);
      time->elapse_ms(step);
      sched.advance_time(std::chrono::milliseconds{step});
      settle();
    }
  }

  uint64_t now_ms() const { return time->wall_ms(); }
  uint64_t now_s() const { return time->wall_ms() / 1'000; }

  std::shared_ptr<rvi::manual_time> time;
  std::shared_ptr<rvi::loopback_hub> hub = std::make_shared<rvi::loopback_hub>();
  authority provisioning;
};

class loopback_node {
public:
  loopback_node(world& w, std::string address, std::string loopback_name,
                std::vector<std::string> destinations)
    : w(w),
      address(std::move(address)),
      loopback_address("loopback:" + loopback_name),
      key(*rvi::crypto::private_key::generate(rvi::crypto::algorithm::ed25519)) {
    credential = w.provisioning.issue(w.provisioning.claims(key.public_part(), {this->address},
                                                            std::move(destinations), w.now_s()));
  }
  ~loopback_node() { kill(); }

  /// Starts all actors on what the disk holds.
  void start() {
    make_context();
    spawn_routing();
    spawn_links();
    w.settle();
  }

  /// Power off.
  void kill() {
    for (auto& x : running)
      caf::anon_send_exit(x, caf::exit_reason::kill);
    running.clear();
    if (hub_joined)
      w.hub->leave(loopback_address);
    hub_joined = false;
    w.settle();
    disk->crash();
  }

  /// The service edge fails and another takes its place; services have to register again.
  void restart_edge() {
    caf::anon_send_exit(edge, caf::exit_reason::kill);
    w.settle();
    spawn_edge();
    w.settle();
  }

  /// Makes a call as a service with a connection that lasts.
  void call(rvi::service_request x, rvi::client_id client = 1,
            const std::string& principal = "uid:1000") {
    rvi::service_call result;
    result.client = client;
    result.token = ++token;
    result.deliverable = true;
    result.principal = {principal, true};
    result.request = std::move(x);
    w.self->send(edge, rvi::atom::call_v, std::vector<rvi::service_call>{std::move(result)});
    w.settle();
  }

  void
  register_service(const std::string& name, rvi::client_id client = 1, bool idempotent = false) {
    call(rvi::register_service_call{name, {}, {}, idempotent}, client);
  }

  /// Asks for something; the answer is the last of `services->answers`.
  void invoke(const std::string& from, const std::string& target, const std::string& arguments,
              uint64_t timeout_ms, bool synch = false) {
    rvi::invoke_call x;
    x.timeout_ms = w.now_ms() + timeout_ms;
    x.requesting_service = from;
    x.target = target;
    x.arguments = arguments;
    x.synch = synch;
    call(std::move(x));
  }

  void reply(const rvi::transaction_id& id, const std::string& arguments) {
    call(rvi::reply_call{id, arguments});
  }

  world& w;
  std::string address;
  std::string loopback_address;
  rvi::crypto::private_key key;
  rvi::credential_ptr credential;
  std::vector<rvi::provisioned_address> routes;
  std::string infix = "services";
  std::string anchor;                     // empty: that of the world's provisioning
  std::string other_anchor;               // beside it
  std::vector<rvi::node_uid> former_keys; // as the file beside the key names them
  rvi::key_replacement keys;              // nothing: the key cannot be replaced
  bool answers_dials = true;
  bool provisioned = false;       // takes provisioning, if its credential says so
  std::string renewal;            // the service that renews its credentials
  std::string clone_reports;      // the service that is told of copied keys
  uint64_t keepalive_ms = 30'000; // as in link_session_config
  uint64_t idle_ms = 0;
  size_t nodes_remembered_max = 10'000;
  uint64_t relay_items_max = 10'000;  // as in store_and_forward_config
  size_t open_requests_max = 100'000; // as in service_edge_config
  std::shared_ptr<rvi::memory_disk> disk = rvi::memory_disk::make();
  std::shared_ptr<service_side> services = std::make_shared<service_side>();
  std::shared_ptr<rvi::node_context> context;
  rvi::service_ids_ptr ids;
  rvi::service_edge_actor edge;
  rvi::metric_hub_actor metric_hub;
  rvi::store_actor store;
  rvi::signer_actor signer;
  rvi::authorization_actor authorization;
  rvi::store_and_forward_actor store_and_forward;
  rvi::service_discovery_actor discovery;
  rvi::data_link_actor data_link;
  caf::actor driver;

private:
  template <class T>
  T keep(T x) {
    running.push_back(caf::actor_cast<caf::strong_actor_ptr>(x));
    return x;
  }

  void make_context() {
    auto own = std::make_shared<rvi::rights>();
    own->own_key = key.public_part();
    own->node_address = address;
    own->former_keys = former_keys;
    own->own = {credential};
    (void)own->anchors.add(anchor.empty() ? w.provisioning.anchor() : anchor);
    if (!other_anchor.empty())
      (void)own->anchors.add(other_anchor);
    own->known = std::make_shared<rvi::credential_cache>(100);
    context = std::make_shared<rvi::node_context>();
    context->node_address = address;
    context->service_infix = infix;
    context->uid = key.public_part().uid();
    context->time = w.time;
    context->rights = std::make_shared<rvi::rights_snapshot>(own);
    context->routing
      = std::make_shared<rvi::routing_snapshot>(std::make_shared<rvi::routing_table>());
    context->metrics = std::make_shared<rvi::metrics::registry>();
    context->trace = std::make_shared<rvi::trace_buffer>(w.time, 10'000);
    context->seed = 7;
  }

  void spawn_routing() {
    rvi::store_config disk_config;
    disk_config.disk = *disk->open();
    disk_config.metrics = context->metrics.get();
    store = keep(w.sys.spawn(rvi::store, std::move(disk_config)));
    signer = keep(w.sys.spawn(rvi::signer, rvi::signer_config{key}));
    rvi::authorization_config rights_config;
    rights_config.node = context;
    rights_config.store = store;
    rights_config.signer = signer;
    rights_config.keys = keys;
    authorization = keep(w.sys.spawn(rvi::authorization, std::move(rights_config)));
    rvi::store_and_forward_config queue_config;
    queue_config.node = context;
    queue_config.store = store;
    queue_config.authorization = authorization;
    queue_config.relay_items_max = relay_items_max;
    store_and_forward = keep(w.sys.spawn(rvi::store_and_forward, std::move(queue_config)));
    rvi::service_discovery_config where;
    where.node = context;
    where.store = store;
    where.nodes_remembered_max = nodes_remembered_max;
    where.authorization = authorization;
    where.store_and_forward = store_and_forward;
    where.provisioned = routes;
    discovery = keep(w.sys.spawn(rvi::service_discovery, std::move(where)));
    rvi::metric_hub_config hub_config;
    hub_config.node = context;
    hub_config.store = store;
    metric_hub = keep(w.sys.spawn(rvi::metric_hub, std::move(hub_config)));
    ids = std::make_shared<rvi::service_ids>();
    spawn_edge();
    if (provisioned) {
      rvi::provisioning_config x{context, authorization, edge, renewal, clone_reports};
      keep(w.sys.spawn(rvi::provisioning, std::move(x)));
    }
  }

  void spawn_edge() {
    rvi::service_edge_config edge_config;
    edge_config.node = context;
    edge_config.store = store;
    edge_config.authorization = authorization;
    edge_config.service_discovery = discovery;
    edge_config.store_and_forward = store_and_forward;
    edge_config.metric_hub = metric_hub;
    edge_config.open_requests_max = open_requests_max;
    edge_config.ids = ids;
    edge_config.start_signer = [this] { return w.sys.spawn(rvi::signer, rvi::signer_config{key}); };
    edge = keep(w.sys.spawn(rvi::service_edge, std::move(edge_config)));
    auto server = spawn_server();
    w.self->send(edge, rvi::atom::attach_v, server);
    w.self->send(metric_hub, rvi::atom::attach_v, server);
  }

  rvi::json_rpc_actor spawn_server() {
    return keep(w.sys.spawn(
      [](rvi::json_rpc_actor::pointer self, std::shared_ptr<service_side> side,
         rvi::service_edge_actor to) -> rvi::json_rpc_actor::behavior_type {
        return {
          [side](rvi::atom::respond, std::vector<rvi::call_result>& xs) {
            for (auto& x : xs)
              side->answers.push_back(std::move(x));
          },
          [side, self, to](rvi::atom::invoke, std::vector<rvi::invocation>& xs) {
            std::vector<rvi::receipt> receipts;
            for (auto& x : xs) {
              receipts.push_back(
                {x.content->header.id, false, rvi::receipt::status::taken, false, {}});
              side->invoked.push_back(std::move(x));
            }
            if (side->takes_receipts)
              self->send(to, rvi::atom::receipt_v, std::move(receipts));
          },
          [side, self, to](rvi::atom::outcome, std::vector<rvi::outcome_delivery>& xs) {
            std::vector<rvi::receipt> receipts;
            for (auto& x : xs) {
              receipts.push_back({x.notice.id, true, rvi::receipt::status::taken, false, {}});
              side->outcomes.push_back(std::move(x));
            }
            self->send(to, rvi::atom::receipt_v, std::move(receipts));
          },
          [side](rvi::atom::available, std::vector<rvi::availability_report>& xs) {
            for (auto& x : xs)
              side->reports.push_back(std::move(x));
          },
          [side](rvi::atom::publish, const std::vector<rvi::metric_delivery>& xs) {
            for (auto& x : xs)
              side->metrics.push_back(x);
          },
        };
      },
      services, edge));
  }

  void spawn_links() {
    rvi::data_link_config link_config;
    link_config.node = context;
    link_config.service_discovery = discovery;
    link_config.protocol = keep(w.sys.spawn(rvi::protocol, rvi::protocol_config{}));
    data_link = keep(w.sys.spawn(rvi::data_link, std::move(link_config)));
    w.self->send(store_and_forward, rvi::atom::attach_v, data_link);
    w.self->send(edge, rvi::atom::attach_v, data_link);
    w.self->send(metric_hub, rvi::atom::attach_v, data_link);
    rvi::verifier_config check;
    check.node = context;
    check.store_and_forward = store_and_forward;
    rvi::loopback_link_config link;
    link.services
      = {context,           authorization, discovery,
         store_and_forward, data_link,     {keep(w.sys.spawn(rvi::verifier, std::move(check)))},
         metric_hub};
    link.hub = w.hub;
    link.address = loopback_address;
    link.own_spki = key.public_part().spki();
    link.keepalive_ms = keepalive_ms;
    link.idle_ms = idle_ms;
    driver = keep(w.sys.spawn(rvi::loopback_link, std::move(link)));
    w.settle();
    if (!answers_dials)
      w.hub->leave(loopback_address);
    hub_joined = true;
  }

  std::vector<caf::strong_actor_ptr> running;
  uint64_t token = 0;
  bool hub_joined = false;
};

} // namespace test
