// SPDX-License-Identifier: MPL-2.0
//
// Services come and go (HLD 7.1), with a key of their own if they like (HLD 12.1).

#include "actors/edge/service_callback.hpp"
#include "actors/edge/service_edge.hpp"
#include "actors/edge/service_proof.hpp"
#include "messages/name.hpp"
#include "messages/signed_claims.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"

namespace rvi {

namespace {

constexpr const char* component = "service-edge";

caf::error bad_request(std::string why) {
  return caf::make_error(ec::bad_request, std::move(why));
}

/// The key that a service registers with, if any.
expected<std::optional<crypto::public_key>> key_in(const register_service_call& x) {
  if (x.public_key.empty())
    return std::optional<crypto::public_key>{};
  auto jwk = json::parse(x.public_key);
  auto key = jwk ? key_of_jwk(jwk->root()) : std::move(jwk.error());
  if (!key)
    return bad_request("public_key: " + detail_of(key.error()));
  return std::optional{std::move(*key)};
}

} // namespace

/// HLD 7.1: a service's name below the node's address, at the configured point in the topic tree.
expected<std::string> service_edge_state::full_name(const std::string& service) const {
  auto& node = config.node->node_address;
  std::string_view rest = service;
  while (rest.starts_with('/'))
    rest.remove_prefix(1);
  auto whole = normalise_name(rest);
  if (whole && is_below(*whole, node) && without_type(*whole).size() > node.size())
    return std::string{without_type(*whole)};
  auto& infix = config.node->service_infix;
  return normalise_name(node + "/" + (infix.empty() ? "" : infix + "/") + std::string{rest});
}

void service_edge_state::do_register(const service_call& from, register_service_call& x) {
  caller to{from.client, from.token};
  auto name = full_name(x.service);
  if (!name)
    return refuse(to, std::move(name.error()));
  if (is_reserved(*name))
    return refuse(to, caf::make_error(ec::unauthorized, *name + " is reserved for the node"));
  auto rights = config.node->rights->load();
  if (rights->policy && !rights->policy->may_register(from.principal, *name))
    return refuse(to, caf::make_error(ec::unauthorized, "no rule lets " + from.principal.name
                                                          + " register " + *name));
  auto held = registrations.find(*name);
  if (held != registrations.end() && held->second.principal != from.principal.name)
    return refuse(to, caf::make_error(ec::unauthorized, *name + " is held by somebody else"));
  if (held == registrations.end() && registrations.size() >= config.registrations_max)
    return refuse(to, caf::make_error(ec::busy, std::string{"too many services"}));
  if (!x.network_address.empty())
    if (auto address
        = check_callback_address(x.network_address, config.callback_hosts, config.own_ports);
        !address)
      return refuse(to, std::move(address.error()));
  if (x.signature_wanted && !config.start_signer)
    return refuse(to, bad_request("this node gives services no signatures"));
  auto key = key_in(x);
  if (!key)
    return refuse(to, std::move(key.error()));
  if (rights->policy)
    if (auto err = rights->policy->check_key(*name, *key ? &**key : nullptr))
      return refuse(to, std::move(err));
  bool reachable = from.deliverable || !x.network_address.empty();
  registration entry{from.principal.name,
                     from.deliverable ? from.client : 0,
                     x.network_address,
                     x.idempotent,
                     x.durability_min,
                     {},
                     x.transaction_ids_required,
                     x.signature_wanted,
                     std::move(*key)};
  local_service said{*name, x.idempotent, x.durability_min};
  auto finish = [this, to, name = *name, entry, reachable] {
    if (registered_too_late(to.client)) {
      if (registrations.count(name) == 0)
        self->send(config.service_discovery, atom::unreg_v, name);
      return;
    }
    registrations[name] = entry;
    if (entry.client != 0)
      clients[entry.client].insert(name);
    tell_hub(name, entry.principal, entry.client);
    answer(to, registered_result{name, config.ids->last(entry.principal, name),
                                 entry.signature_wanted ? config.node->rights->load()->own_key.jwk()
                                                        : ""});
    flush_answers();
    if (reachable)
      self->send(config.store_and_forward, atom::available_v, name);
    log::info(component, "registered", {{"service", name}, {"principal", entry.principal}});
  };
  if (entry.client != 0)
    ++registering[entry.client];
  self->request(config.service_discovery, caf::infinite, atom::reg_v, std::move(said))
    .then([finish](atom::done) { finish(); },
          [this, to](caf::error& err) {
            registered_too_late(to.client);
            refuse(to, std::move(err));
            flush_answers();
          });
}

caf::result<atom::done>
service_edge_state::attach(const std::string& name, node_service_actor service) {
  auto promise = self->make_response_promise<atom::done>();
  self->request(config.service_discovery, caf::infinite, atom::reg_v, local_service{name, true, {}})
    .then(
      [this, promise, name, service](atom::done) mutable {
        auto& entry = registrations[name];
        entry = {};
        entry.principal = node_principal;
        entry.idempotent = true;
        entry.inside = service;
        self->send(config.store_and_forward, atom::available_v, name);
        promise.deliver(atom::done_v);
      },
      [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

bool service_edge_state::registered_too_late(client_id client) {
  auto i = registering.find(client);
  if (i == registering.end())
    return false;
  bool closed = closed_meanwhile.count(client) != 0;
  if (--i->second == 0) {
    registering.erase(i);
    closed_meanwhile.erase(client);
  }
  return closed;
}

void service_edge_state::do_unregister(const service_call& from, const unregister_service_call& x) {
  caller to{from.client, from.token};
  auto name = full_name(x.service);
  if (!name)
    return refuse(to, std::move(name.error()));
  auto held = registrations.find(*name);
  if (held == registrations.end())
    return refuse(to, caf::make_error(ec::not_found, *name + " is not registered"));
  if (held->second.principal != from.principal.name)
    return refuse(to, caf::make_error(ec::unauthorized, *name + " is held by somebody else"));
  clients[held->second.client].erase(*name);
  registrations.erase(held);
  self->send(config.service_discovery, atom::unreg_v, *name);
  submit_metrics(); // what it asked before goes first
  self->send(config.metric_hub, atom::unreg_v, *name);
  answer(to, done_result{});
}

caf::error service_edge_state::check_proof(const std::string& service, const invoke_call& x) const {
  auto& key = registrations.at(service).key;
  auto rights = config.node->rights->load();
  if (rights->policy) // the rules may have come after it
    if (auto err = rights->policy->check_key(service, key ? &*key : nullptr))
      return err;
  return key ? check_service_proof(x, service, config.node->node_address, *key) : caf::error{};
}

} // namespace rvi
