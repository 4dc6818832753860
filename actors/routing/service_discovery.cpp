// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/service_discovery.hpp"

#include "actors/routing/known_nodes.hpp"
#include "messages/name.hpp"
#include "messages/wire/header.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "service-discovery";
constexpr std::string_view announce_label = "RVI-ANNOUNCE-1";

/// A pattern's literal start, without type and wildcards.
std::string_view literal_part(std::string_view pattern) {
  auto rest = without_type(pattern);
  auto wild = std::min(rest.find("/+"), rest.find("/#"));
  return rest.substr(0, std::min(wild, rest.size()));
}

/// One that comes back with another key is the same node if its organization says so, and this is
/// where it was: nobody else can have the replies to what it asked for.
void take_identity(known_node& node, const peer_identity& peer) {
  if (node.uid == peer.uid)
    return;
  auto had = std::exchange(node.former, {});
  had.push_back(node.uid);
  for (auto& key : peer.former)
    if (std::find(had.begin(), had.end(), key.uid) != had.end())
      node.former.push_back(key.uid);
  node.uid = peer.uid;
}

} // namespace

bool may_see(const std::vector<std::string>& destinations, const std::string& service) {
  auto name = std::string{without_type(service)};
  return std::any_of(destinations.begin(), destinations.end(), [&](auto& pattern) {
    for (auto* type : {"rpc:", "message:", "metric:"})
      if (covers(pattern, type + name))
        return true;
    // A right to something below the service is a reason to show it.
    return is_below(literal_part(pattern), name);
  });
}

// -- local services -----------------------------------------------------------------------------

caf::result<atom::done> service_discovery_state::register_local(local_service x) {
  auto rights = config.node->rights->load();
  auto service = std::string{without_type(x.name)};
  if (!rights->may_receive(service))
    return caf::make_error(ec::unauthorized,
                           "no credential of this node covers the service " + service);
  if (!table.local.contains(service) && table.local.size() >= config.services_per_node_max)
    return caf::make_error(ec::busy, std::string{"too many services are registered"});
  x.name = service;
  bool fresh = !table.local.contains(service);
  table.local.set(service, std::move(x));
  publish();
  if (fresh)
    tell_local(service, true);
  say(service, true);
  return atom::done_v;
}

void service_discovery_state::unregister_local(const std::string& service) {
  if (!table.local.erase(service))
    return;
  publish();
  tell_local(service, false);
  say(service, false);
}

void service_discovery_state::say(const std::string& service, bool available) {
  // Rises across restarts, because time does; within one, because we count.
  last_sequence = std::max(last_sequence + 1, config.node->time->wall_ms());
  remote_service said{service, last_sequence, available};
  std::vector<std::string> encoded{wire::encode_announced(said, config.node->uid)};
  self->request(config.authorization, caf::infinite, atom::announce_v, std::move(encoded))
    .then(
      [this, said](std::vector<announce_entry>& entries) {
        // What has changed meanwhile is said by its own entry.
        if (said.available && table.local.contains(said.name))
          signed_services[said.name] = entries.front();
        else if (!said.available)
          signed_services.erase(said.name);
        for (auto& [actor, x] : audience)
          if (may_see(x.destinations, said.name))
            self->send(x.handle, atom::announce_v, false, entries);
      },
      [this, said](const caf::error& err) {
        // The signer has waited before it said so; only what still holds is said again.
        if (code_of(err) == ec::busy)
          return table.local.contains(said.name) == said.available ? say(said.name, said.available)
                                                                   : void();
        log::warning(component, "a service cannot be announced",
                     {{"service", said.name}, {"error", describe(err)}});
      });
}

void service_discovery_state::send_announcement(const link_actor& link, const peer_identity& peer) {
  std::vector<announce_entry> entries;
  for (auto& [service, entry] : signed_services)
    if (may_see(peer.destinations, service))
      entries.push_back(entry);
  // From here on this peer hears of every change, also before its link is up.
  audience[link->id()] = {link, peer.destinations};
  self->monitor(link);
  self->send(link, atom::announce_v, true, std::move(entries));
}

// -- remote services ----------------------------------------------------------------------------

expected<remote_service>
service_discovery_state::check_entry(const peer_identity& peer, const announce_entry& x) const {
  auto decoded = wire::decode_announced(x.service);
  if (!decoded)
    return std::move(decoded.error());
  auto& service = decoded->service;
  auto known
    = std::find(peer.credential_hashes.begin(), peer.credential_hashes.end(), x.credential_hash);
  auto credential = config.node->rights->load()->find(x.credential_hash);
  if (decoded->owner != peer.uid || known == peer.credential_hashes.end() || !credential)
    return caf::make_error(ec::unauthorized,
                           service.name + " is announced by somebody else than its owner");
  if (!credential->covers_source(service.name) || !is_below(service.name, peer.node_address))
    return caf::make_error(ec::unauthorized,
                           service.name + " is outside the rights of " + peer.node_address);
  if (is_below(service.name, config.node->node_address))
    return caf::make_error(ec::unauthorized, service.name + " is this node's own");
  if (!credential->key.verify(std::string{announce_label} + x.service, x.signature))
    return caf::make_error(ec::signature_invalid, "the announcement of " + service.name);
  return std::move(service);
}

void service_discovery_state::take_announcement(const link_actor& link, const peer_identity& peer,
                                                bool full,
                                                const std::vector<announce_entry>& entries) {
  auto refuse = [&](ec code, const std::string& why) {
    self->send(link, atom::close_v, std::string{to_string(code)}, why);
  };
  auto owner = table.nodes.find(peer.node_address);
  bool up = owner != table.nodes.end() && owner->second->link != 0;
  if (peer.node_address == config.node->node_address
      || (owner != table.nodes.end() && owner->second->uid != peer.uid
          && owner->second->link != 0)) {
    auto why = "another node with the address " + peer.node_address + " is here";
    audit::refused("address", caf::make_error(ec::unauthorized, why),
                   {{"peer", peer.node_address}, {"peer_uid", to_string(peer.uid)}});
    refuse(ec::unauthorized, why);
    return;
  }
  auto services = remote[peer.node_address];
  if (full)
    services.clear();
  for (auto& entry : entries) {
    auto x = check_entry(peer, entry);
    if (!x) {
      audit::refused("announcement", x.error(),
                     {{"peer", peer.node_address}, {"peer_uid", to_string(peer.uid)}});
      log::warning(component, "an announcement was refused",
                   {{"node", peer.node_address}, {"reason", describe(x.error())}});
      refuse(code_of(x.error()), detail_of(x.error()));
      return;
    }
    note_owned(peer, entry, *x);
    if (!x->available)
      services.erase(x->name);
    else if (services.size() < config.services_per_node_max)
      services[x->name] = x->sequence;
  }
  if (full)
    owned_replaced(peer, entries);
  std::vector<std::string> names;
  std::set<std::string> changed;
  for (auto& entry : entries)
    if (auto said = wire::decode_announced(entry.service))
      changed.insert(said->service.name);
  for (auto& [service, sequence] : services)
    names.push_back(service);
  remote[peer.node_address] = std::move(services);
  change_node(peer.node_address, [&](known_node& node) {
    take_identity(node, peer);
    node.services = names;
  });
  self->send(link, atom::available_v, std::move(names));
  if (up)
    relay_change(changed, false);
  else
    news[peer.uid] = std::move(changed);
}

void service_discovery_state::follow_keys(const known_node* before, const known_node& now) {
  static const std::vector<node_uid> none;
  auto& had = before ? before->former : none;
  if (had == now.former && (had.empty() || before->uid == now.uid))
    return;
  for (auto& uid : had)
    if (table.successors.contains(uid))
      table.successors.erase(uid);
  for (auto& uid : now.former)
    table.successors.set(uid, now.uid);
}

void service_discovery_state::change_node(const std::string& address,
                                          const std::function<void(known_node&)>& change) {
  auto i = table.nodes.find(address);
  auto before = i == table.nodes.end() ? nullptr : i->second;
  auto next = before ? std::make_shared<known_node>(*before) : std::make_shared<known_node>();
  auto uid = next->uid;
  next->address = address;
  next->last_seen_ms = config.node->time->wall_ms();
  change(*next);
  if (next->uid != uid && holds_uid(uid, address))
    table.nodes_by_uid.erase(uid);
  // A node that came back under another address is found there, whatever still happens here.
  if (next->link != 0 || !table.nodes_by_uid.contains(next->uid) || holds_uid(next->uid, address))
    table.nodes_by_uid.set(next->uid, next);
  if (!next->relay.empty())
    table.relays.set(next->uid, next);
  else if (table.relays.contains(next->uid))
    table.relays.erase(next->uid);
  table.nodes.set(address, next);
  follow_keys(before.get(), *next);
  if (before)
    away.erase({before->last_seen_ms, address});
  if (next->link == 0)
    away.emplace(next->last_seen_ms, address);
  publish();
  tell(availability_changes(before.get(), *next));
  // Records are found by uid: that of who had the address before must not stay.
  if (before && before->uid != next->uid && !table.nodes_by_uid.contains(before->uid))
    write(nullptr, {before->uid});
  forget_oldest();
}

bool service_discovery_state::holds_uid(const node_uid& uid, const std::string& address) const {
  auto i = table.nodes_by_uid.find(uid);
  return i != table.nodes_by_uid.end() && i->second->address == address;
}

namespace {

/// What the node says of itself comes first, then where it was just reached. A node that says
/// nothing and came by itself keeps what is known.
void keep_addresses(known_node& node, const link_info& info) {
  std::vector<std::string> fresh;
  for (auto& x : {info.peer.network_address, info.dialled_at})
    if (!x.empty() && (fresh.empty() || fresh.front() != x))
      fresh.push_back(x);
  if (!fresh.empty())
    node.network_addresses = std::move(fresh);
}

} // namespace

void service_discovery_state::link_up(link_actor handle, link_info info) {
  auto holder = table.nodes.find(info.peer.node_address);
  if (holder != table.nodes.end() && holder->second->uid != info.peer.uid
      && holder->second->link != 0) {
    auto why = "another node with the address " + info.peer.node_address + " is here";
    audit::refused("address", caf::make_error(ec::unauthorized, why),
                   {{"peer", info.peer.node_address}, {"peer_uid", to_string(info.peer.uid)}});
    self->send(handle, atom::close_v, std::string{to_string(ec::unauthorized)}, why);
    return;
  }
  links[info.link] = {handle, info.peer.node_address, info.kind, info.round_trip_us, info.peer};
  links_by_node[info.peer.node_address].insert(info.link);
  links_by_actor[handle->id()] = info.link;
  self->monitor(handle);
  change_node(info.peer.node_address, [&](known_node& node) {
    take_identity(node, info.peer);
    node.link = info.link;
    node.relay = info.peer.relay;
    node.link_kind = info.kind;
    node.round_trip_us = info.round_trip_us;
    node.credentials_end_ms = info.peer.expires_ms;
    node.credential_hashes = info.peer.credential_hashes;
    node.fallen = ec::none;
    if (node.services.empty()) // so many were met meanwhile that it was forgotten
      node.services = info.services;
    keep_addresses(node, info);
  });
  remember(info.peer.node_address);
  auto number = info.link;
  self->send(config.store_and_forward, atom::link_up_v, std::move(handle), std::move(info));
  send_relayed(links.at(number));
  relay_link_up(links.at(number).peer);
}

void service_discovery_state::link_down(uint64_t link) {
  auto i = links.find(link);
  if (i == links.end())
    return;
  auto address = i->second.node_address;
  auto peer = std::move(i->second.peer);
  links_by_actor.erase(i->second.handle->id());
  links.erase(i);
  auto& of_node = links_by_node[address];
  of_node.erase(link);
  auto other = of_node.empty() ? 0 : *of_node.rbegin();
  auto next = other == 0 ? live_link{} : links.at(other);
  if (of_node.empty())
    links_by_node.erase(address);
  change_node(address, [&](known_node& node) {
    if (node.link != link)
      return;
    node.link = other; // a node may be linked over several kinds at once
    node.link_kind = next.kind;
    node.round_trip_us = next.round_trip_us;
  });
  remember(address);
  self->send(config.store_and_forward, atom::link_down_v, link);
  if (other == 0)
    relay_link_down(peer);
}

void service_discovery_state::publish() {
  ++table.version;
  local_services->set(static_cast<double>(table.local.size()));
  known_nodes->set(static_cast<double>(table.nodes.size()));
  config.node->routing->publish(std::make_shared<const routing_table>(table));
}

std::string service_discovery_state::status() const {
  json::writer out;
  out.begin_object().key("nodes").begin_array();
  for (auto& [address, node] : table.nodes) {
    out.begin_object()
      .member("address", address)
      .member("uid", to_string(node->uid))
      .member("connected", node->link != 0)
      .member("state", report_of(*node).state)
      .member("kind", node->link_kind)
      .member("round_trip_us", node->round_trip_us)
      .member("last_seen_ms", node->last_seen_ms)
      .member("credentials_end_ms", node->credentials_end_ms);
    out.key("network_addresses").begin_array();
    for (auto& x : node->network_addresses)
      out.string(x);
    out.end_array().key("services").begin_array();
    for (auto& x : node->services)
      out.string(x);
    out.end_array().end_object();
  }
  out.end_array().end_object();
  return out.take();
}

service_discovery_actor::behavior_type
service_discovery(service_discovery_actor::stateful_pointer<service_discovery_state> self,
                  service_discovery_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  st.table.node_address = st.config.node->node_address;
  st.table.provisioned = std::move(st.config.provisioned);
  auto& m = *st.config.node->metrics;
  st.local_services = &m.get_gauge("rvi_local_services", "Services registered here.");
  st.known_nodes = &m.get_gauge("rvi_known_nodes", "Nodes linked or remembered.");
  self->set_down_handler([&st](const caf::down_msg& x) {
    st.audience.erase(x.source.id());
    auto i = st.links_by_actor.find(x.source.id());
    if (i != st.links_by_actor.end())
      st.link_down(i->second);
  });
  st.publish();
  st.recall();
  self->send(st.config.authorization, atom::attach_v,
             rights_listener_actor{service_discovery_actor{self}});
  return {
    [&st](atom::reg, local_service& x) { return st.register_local(std::move(x)); },
    [&st](atom::unreg, const std::string& service) { st.unregister_local(service); },
    [&st](atom::announce, const link_actor& link, const peer_identity& peer) {
      st.send_announcement(link, peer);
    },
    [&st](atom::announce, const link_actor& link, const peer_identity& peer, bool full,
          const std::vector<announce_entry>& entries) {
      st.take_announcement(link, peer, full, entries);
    },
    [&st](atom::announce, const link_actor& link, const peer_identity& peer,
          relayed_announcement& x) { st.take_relayed(link, peer, std::move(x)); },
    [&st](atom::link_up, link_actor& handle, link_info& info) {
      st.link_up(std::move(handle), std::move(info));
    },
    [&st](atom::link_down, uint64_t link) { st.link_down(link); },
    [&st](atom::status, uint64_t link, uint64_t round_trip_us) {
      st.measured(link, round_trip_us);
    },
    [&st](atom::attach, availability_listener_actor& x) { st.attach(std::move(x)); },
    [&st](atom::revoke) { st.judge_nodes(); },
    [&st](atom::status) { return st.status(); },
  };
}

} // namespace rvi
