// SPDX-License-Identifier: MPL-2.0
//
// A metric hub on virtual time, between a store in memory, a server that notes what services get,
// and sessions that note what peers are told.

#pragma once

#include "actors/routing/metric_hub.hpp"
#include "test/support/loopback_node.hpp"
#include "test/support/silent_link.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace test {

using namespace rvi;

inline constexpr const char* own_address = "jlr.com/vin/1234";
inline constexpr const char* dashboard = "jlr.com/vin/1234/services/dashboard";
inline constexpr const char* sensor = "jlr.com/vin/1234/services/sensor";
inline constexpr const char* speed = "metric:jlr.com/vin/1234/speed";

/// A session with a peer, and what it was told.
struct metric_peer {
  uint64_t link = 0;
  link_actor handle;
  peer_identity identity;
  crypto::private_key key;
  credential_ptr credential;
  std::vector<metric_subscriptions> told;
  std::vector<metric_value_ptr> got;
  std::string closed; // code
};
using metric_peer_ptr = std::shared_ptr<metric_peer>;

struct metric_fixture : world {
  metric_fixture() { start(); }

  void make_context() {
    if (!credential)
      credential = provisioning.issue(provisioning.claims(
        key.public_part(), {own_address},
        {"metric:jlr.com/cloud", "metric:jlr.com/phone", "metric:jlr.com/vin/1234"}, now_s()));
    auto own = std::make_shared<rights>();
    own->own_key = key.public_part();
    own->node_address = own_address;
    own->own = {credential};
    own->known = known;
    context = std::make_shared<node_context>();
    context->node_address = own_address;
    context->uid = key.public_part().uid();
    context->time = time;
    context->rights = std::make_shared<rights_snapshot>(own);
    auto table = std::make_shared<routing_table>();
    table->node_address = own_address;
    table->provisioned = {{"+:jlr.com/cloud/#", {"cloud.jlr.com:8810"}}};
    context->routing = std::make_shared<routing_snapshot>(table);
    context->metrics = std::make_shared<metrics::registry>();
  }

  void start() {
    make_context();
    store_config x;
    x.disk = *disk->open();
    store = spawn(rvi::store, std::move(x));
    config.node = context;
    config.store = store;
    hub = spawn(rvi::metric_hub, config);
    std::function<void(const std::vector<metric_delivery>&)> note = [this](auto& xs) {
      messages += 1;
      for (auto& delivery : xs)
        for (auto client : delivery.clients)
          seen.push_back({client, delivery.value});
    };
    // With an argument: libcaf binds a reference to null for an actor without any.
    auto server = spawn(
      [](json_rpc_actor::pointer, decltype(note) taken) -> json_rpc_actor::behavior_type {
        return {
          [](atom::respond, const std::vector<call_result>&) {},
          [](atom::invoke, const std::vector<invocation>&) {},
          [](atom::outcome, const std::vector<outcome_delivery>&) {},
          [](atom::available, const std::vector<availability_report>&) {},
          [taken](atom::publish, const std::vector<metric_delivery>& xs) { taken(xs); },
        };
      },
      note);
    self->send(hub, atom::attach_v, server);
    ++epoch;
    settle();
  }

  /// Power off and on.
  void restart() {
    caf::anon_send_exit(hub, caf::exit_reason::kill);
    caf::anon_send_exit(store, caf::exit_reason::kill);
    settle();
    disk->crash();
    seen.clear();
    start();
  }

  ec call(metric_call x) {
    auto answer = ask<std::vector<caf::error>>(hub, atom::call_v, std::vector<metric_call>{x});
    REQUIRE(answer);
    REQUIRE(answer->size() == 1);
    return code_of(answer->front());
  }
  ec subscribe(const std::string& service, const std::string& pattern, metric_filter filter = {}) {
    return call(subscribe_metric{service, "uid:1", {pattern, filter}});
  }
  ec unsubscribe(const std::string& service, const std::string& pattern) {
    return call(unsubscribe_metric{service, "uid:1", pattern});
  }
  ec publish(const std::string& topic, const std::string& value, bool retain = false,
             uint64_t expires_ms = 0) {
    publish_metric x;
    x.content.topic = topic;
    x.content.source = sensor;
    x.content.epoch = epoch;
    x.content.published_ms = now_ms();
    x.content.expires_ms = expires_ms;
    x.content.value = value;
    x.retain = retain;
    return call(std::move(x));
  }
  void connect(const std::string& service, client_id at, const std::string& principal = "uid:1") {
    self->send(hub, atom::available_v, service, principal, at);
    settle();
  }

  /// Values this client got, oldest first.
  std::vector<std::string> values_of(client_id client) const {
    std::vector<std::string> result;
    for (auto& x : seen)
      if (x.client == client)
        result.push_back(x.value->value);
    return result;
  }

  /// A peer with a credential for its own address and these destinations; its session is up.
  metric_peer_ptr peer(const std::string& address, std::vector<std::string> destinations) {
    auto x = std::make_shared<metric_peer>();
    x->key = *crypto::private_key::generate(crypto::algorithm::ed25519);
    x->credential = provisioning.issue(
      provisioning.claims(x->key.public_part(), {address}, std::move(destinations), now_s()));
    known->add(x->credential);
    x->identity.uid = x->key.public_part().uid();
    x->identity.node_address = address;
    x->identity.credential_hashes = {x->credential->hash};
    x->identity.sources = x->credential->sources;
    x->identity.destinations = x->credential->destinations;
    bring_up(x);
    return x;
  }

  void bring_up(const metric_peer_ptr& x) {
    link_listener to;
    auto* at = x.get();
    to.subscribe = [at](const metric_subscriptions& said) { at->told.push_back(said); };
    to.publish = [at](const std::vector<metric_value_ptr>& values) {
      at->got.insert(at->got.end(), values.begin(), values.end());
    };
    to.close = [at](const std::string& code, const std::string&) { at->closed = code; };
    peers.push_back(x);
    x->link = ++last_link;
    x->handle = spawn(silent_link, to);
    link_info info;
    info.link = x->link;
    info.peer = x->identity;
    self->send(hub, atom::link_up_v, x->handle, info);
    settle();
  }
  void bring_down(const metric_peer_ptr& x) {
    caf::anon_send_exit(x->handle, caf::exit_reason::kill);
    settle();
  }

  void wants(const metric_peer_ptr& x, std::vector<std::string> patterns, bool full = true,
             metric_filter filter = {}) {
    metric_subscriptions said;
    said.full = full;
    for (auto& pattern : patterns)
      said.added.push_back({std::move(pattern), filter});
    self->send(hub, atom::subscribe_v, x->link, std::move(said));
    settle();
  }

  /// A value of the peer.
  void sends(const metric_peer_ptr& x, metric_value value) {
    self->send(hub, atom::publish_v, x->link,
               std::vector<metric_value_ptr>{std::make_shared<const metric_value>(value)});
    settle();
  }
  static metric_value
  of(const std::string& address, const std::string& value, uint64_t seq, uint32_t epoch = 1) {
    metric_value x;
    x.topic = "metric:" + address + "/load";
    x.source = address + "/monitor";
    x.epoch = epoch;
    x.seq = seq;
    x.value = value;
    return x;
  }

  void revoke(const credential_ptr& x) {
    auto next = std::make_shared<rights>(*context->rights->load());
    auto list = provisioning.revocation_list(1, {revocation_entry_of(*x)}, now_s());
    REQUIRE(list);
    auto set = apply_revocation_list(nullptr, *list);
    REQUIRE(set);
    next->revocations = std::make_shared<const revocation_sets>(revocation_sets{{"jlr.com", *set}});
    context->rights->publish(next);
  }

  uint64_t counted(const std::string& name) const {
    return context->metrics->get_counter(name, "").value();
  }

  struct delivered {
    client_id client;
    metric_value_ptr value;
  };

  crypto::private_key key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  credential_ptr credential;
  std::shared_ptr<credential_cache> known = std::make_shared<credential_cache>(100);
  std::shared_ptr<node_context> context;
  std::shared_ptr<memory_disk> disk = memory_disk::make();
  metric_hub_config config;
  store_actor store;
  metric_hub_actor hub;
  std::vector<delivered> seen;
  size_t messages = 0;
  uint32_t epoch = 0;
  uint64_t last_link = 0;
  std::vector<metric_peer_ptr> peers;
};

} // namespace test
