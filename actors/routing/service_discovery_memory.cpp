// SPDX-License-Identifier: MPL-2.0
//
// What service discovery remembers (HLD 7.3) and whom it tells (HLD 10.2, 11.6): every node met is
// kept durably with its services and addresses, so that after a restart a request for it is kept
// and a link to it asked for. Written when a link comes or goes, never for a message.

#include "actors/routing/known_nodes.hpp"
#include "actors/routing/service_discovery.hpp"
#include "actors/storage/transaction.hpp"
#include "runtime/crypto/crypto.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "service-discovery";

} // namespace

// -- from the disk ------------------------------------------------------------------------------

void service_discovery_state::recall() {
  // The credentials of peers come first: revoked nodes are not used.
  self->request(config.authorization, caf::infinite, atom::read_v)
    .then([this](atom::done) { read_nodes(); }, [this](const caf::error& err) { self->quit(err); });
}

void service_discovery_state::read_nodes() {
  auto found = std::make_shared<std::vector<known_node>>();
  transaction_step step = [found](transaction& t) {
    found->clear();
    return t.scan(table::known_nodes, {}, transaction::no_limit,
                  [&](std::string_view key, std::string_view value) {
                    if (auto x = decode_known_node(key, value))
                      found->push_back(std::move(*x));
                    else
                      log::error(component, "a record was not read",
                                 {{"key", crypto::hex(key)}, {"error", describe(x.error())}});
                    return true;
                  });
  };
  self->request(config.store, caf::infinite, atom::read_v, std::move(step))
    .then([this, found](atom::done) { take_remembered(std::move(*found)); },
          [this](const caf::error& err) { self->quit(err); });
}

void service_discovery_state::take_remembered(std::vector<known_node> nodes) {
  std::sort(nodes.begin(), nodes.end(),
            [](auto& a, auto& b) { return a.last_seen_ms > b.last_seen_ms; });
  auto rights = config.node->rights->load();
  std::vector<node_uid> forgotten;
  for (auto& x : nodes) {
    // Who has come meanwhile knows better; of two with one address the one seen last holds it.
    bool known = table.nodes.contains(x.address) || table.nodes_by_uid.contains(x.uid);
    if (known || away.size() >= config.nodes_remembered_max) {
      if (!table.nodes_by_uid.contains(x.uid))
        forgotten.push_back(x.uid);
      continue;
    }
    x.fallen = judge_known_node(x, *rights);
    auto node = std::make_shared<const known_node>(std::move(x));
    away.emplace(node->last_seen_ms, node->address);
    table.nodes_by_uid.set(node->uid, node);
    table.nodes.set(node->address, node);
    follow_keys(nullptr, *node);
  }
  if (!forgotten.empty())
    write(nullptr, std::move(forgotten));
  if (away.empty())
    return;
  publish();
  if (listener) {
    availability_event all;
    all.version = table.version;
    all.everything = true;
    self->send(listener, atom::available_v, std::move(all));
  }
  // What waits may have an address to ask for a link at now.
  self->send(config.store_and_forward, atom::available_v);
}

// -- to the disk --------------------------------------------------------------------------------

void service_discovery_state::write(known_node_ptr node, std::vector<node_uid> forgotten) {
  transaction_step step
    = [node = std::move(node), forgotten = std::move(forgotten)](transaction& t) -> caf::error {
    for (auto& uid : forgotten)
      if (auto erased = t.erase(table::known_nodes, crypto::view(uid)); !erased)
        return std::move(erased.error());
    if (!node)
      return {};
    return t.put(table::known_nodes, crypto::view(node->uid), encode_known_node(*node));
  };
  self->request(config.store, caf::infinite, atom::defer_v, std::move(step))
    .then([](atom::committed) {},
          [](const caf::error& err) {
            log::warning(component, "what is known about nodes was not stored",
                         {{"error", describe(err)}});
          });
}

void service_discovery_state::remember(const std::string& address) {
  if (auto i = table.nodes.find(address); i != table.nodes.end())
    write(i->second);
}

void service_discovery_state::forget_oldest() {
  std::vector<node_uid> forgotten;
  while (away.size() > config.nodes_remembered_max) {
    auto address = away.begin()->second;
    away.erase(away.begin());
    auto node = table.nodes.at(address);
    if (holds_uid(node->uid, address)) {
      table.nodes_by_uid.erase(node->uid);
      follow_keys(node.get(), {});
      forgotten.push_back(node->uid);
    }
    table.nodes.erase(address);
    remote.erase(address);
    auto gone = std::make_shared<known_node>(*node);
    gone->services.clear();
    tell(availability_changes(node.get(), *gone), "forgotten");
  }
  if (!forgotten.empty())
    write(nullptr, std::move(forgotten));
}

// -- who is told --------------------------------------------------------------------------------

void service_discovery_state::tell(std::vector<availability_event> events, const char* reason) {
  if (!listener)
    return;
  for (auto& x : events) {
    x.version = table.version;
    x.what.time_ms = config.node->time->wall_ms();
    if (reason)
      x.what.reason = reason;
    self->send(listener, atom::available_v, std::move(x));
  }
}

void service_discovery_state::tell_local(const std::string& service, bool available) {
  availability_event x;
  x.what.available = available;
  x.what.node = config.node->node_address;
  x.what.state = available ? "local" : "gone";
  x.what.reason = available ? "registered" : "unregistered";
  x.what.services = {service};
  tell({std::move(x)});
}

void service_discovery_state::attach(availability_listener_actor x) {
  listener = std::move(x);
  // A new service edge has no connections yet: nobody serves what came through the one before.
  std::vector<std::string> services;
  for (auto& [service, entry] : table.local)
    services.push_back(service);
  for (auto& service : services)
    unregister_local(service);
}

void service_discovery_state::judge_nodes() {
  auto rights = config.node->rights->load();
  std::vector<std::pair<std::string, ec>> fallen;
  for (auto& [address, node] : table.nodes)
    if (auto code = judge_known_node(*node, *rights); code != node->fallen)
      fallen.emplace_back(address, code);
  for (auto& [address, code] : fallen)
    change_node(address, [code = code, seen = table.nodes.at(address)->last_seen_ms](auto& node) {
      node.fallen = code;
      node.last_seen_ms = seen;
    });
}

void service_discovery_state::measured(uint64_t link, uint64_t round_trip_us) {
  auto i = links.find(link);
  if (i == links.end())
    return;
  i->second.round_trip_us = round_trip_us;
  change_node(i->second.node_address, [&](known_node& node) {
    if (node.link == link)
      node.round_trip_us = round_trip_us;
  });
}

} // namespace rvi
