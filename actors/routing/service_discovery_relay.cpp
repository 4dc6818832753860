// SPDX-License-Identifier: MPL-2.0
//
// Services of third nodes (HLD 11, RVI-SVC_DISC-4 to 8). A relay passes on what owners have signed,
// to peers that may use it, with the relays it went through; nobody takes an entry that went
// through itself, and of two the higher sequence holds. It goes on announcing an owner that is not
// linked now, because it can keep requests for it, and says so to other relays (`away`).

#include "actors/routing/arrival_check.hpp"
#include "actors/routing/service_discovery.hpp"
#include "messages/name.hpp"
#include "messages/wire/header.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "service-discovery";
constexpr std::string_view announce_label = "RVI-ANNOUNCE-1";

bool is_in(const std::vector<node_uid>& route, const node_uid& x) {
  return std::find(route.begin(), route.end(), x) != route.end();
}

} // namespace

// -- what owners say ------------------------------------------------------------------------------

void service_discovery_state::note_owned(const peer_identity& owner, const announce_entry& entry,
                                         const remote_service& x) {
  if (!config.node->rights->load()->is_relay(config.node->time->wall_ms()))
    return;
  auto& known = owned[x.name];
  if (known.owner == owner.uid && known.sequence > x.sequence)
    return;
  known = {entry, owner.uid, x.sequence, x.available, {}, false};
}

void service_discovery_state::owned_replaced(const peer_identity& owner,
                                             const std::vector<announce_entry>& entries) {
  std::set<std::string> said;
  for (auto& x : entries)
    said.insert(x.service);
  std::set<std::string> gone;
  std::erase_if(owned, [&](auto& x) {
    bool left_out = x.second.owner == owner.uid && said.count(x.second.entry.service) == 0;
    if (left_out)
      gone.insert(x.first);
    return left_out;
  });
  relay_change(gone, false);
}

// -- what relays say ------------------------------------------------------------------------------

expected<service_discovery_state::heard_service>
service_discovery_state::check_relayed(const peer_identity& relay, const relayed_entry& x) const {
  auto decoded = wire::decode_announced(x.entry.service);
  if (!decoded)
    return std::move(decoded.error());
  auto& service = decoded->service;
  if (!covers_any(relay.relay, service.name))
    return caf::make_error(ec::unauthorized,
                           relay.node_address + " may not carry for " + service.name);
  if (x.route.empty() || x.route.front() != relay.uid)
    return caf::make_error(ec::malformed,
                           std::string{"a route that does not begin with the relay"});
  auto rights = config.node->rights->load();
  auto credential = rights->find_known(x.entry.credential_hash);
  if (!credential)
    return caf::make_error(ec::unknown_credential, service.name);
  if (credential->key.uid() != decoded->owner || !credential->covers_source(service.name))
    return caf::make_error(ec::unauthorized, service.name + " is outside its owner's rights");
  if (!credential->key.verify(std::string{announce_label} + x.entry.service, x.entry.signature))
    return caf::make_error(ec::signature_invalid, "the announcement of " + service.name);
  return heard_service{x.entry,           decoded->owner, service.sequence,
                       service.available, x.route,        x.away};
}

void service_discovery_state::take_relayed(const link_actor& link, const peer_identity& relay,
                                           relayed_announcement x) {
  auto& known = relayed[relay.uid];
  std::set<std::string> changed;
  relayed_announcement waits; // for credentials of owners
  std::set<std::string> hashes;
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  if (x.full)
    for (auto& [service, heard] : known)
      if (std::exchange(heard.available, false))
        changed.insert(service);
  for (auto& service : x.withdrawn)
    if (auto i = known.find(service); i != known.end() && std::exchange(i->second.available, false))
      changed.insert(service);
  for (auto& entry : x.entries) {
    auto heard = check_relayed(relay, entry);
    if (!heard && code_of(heard.error()) == ec::unknown_credential) {
      hashes.insert(entry.entry.credential_hash);
      waits.entries.push_back(std::move(entry));
      continue;
    }
    if (!heard) {
      audit::refused("relayed announcement", heard.error(),
                     {{"peer", relay.node_address}, {"peer_uid", to_string(relay.uid)}});
      log::warning(component, "a relayed announcement was refused",
                   {{"relay", relay.node_address}, {"reason", describe(heard.error())}});
      self->send(link, atom::close_v, std::string{to_string(code_of(heard.error()))},
                 detail_of(heard.error()));
      return;
    }
    auto credential = rights->find_known(entry.entry.credential_hash);
    auto name = wire::decode_announced(entry.entry.service)->service.name;
    // RVI-SVC_DISC-8; one that came back, or whose owner does not stand, is no news.
    if (heard->route.size() > relay_hops_max || is_in(heard->route, config.node->uid)
        || heard->owner == config.node->uid || is_below(name, config.node->node_address)
        || rights->check_standing(*credential, now))
      continue;
    if (take_relayed_entry(relay, std::move(*heard), name))
      changed.insert(name);
  }
  for (auto& service : changed)
    publish_ways(service);
  if (!changed.empty()) {
    publish();
    relay_change(changed, false);
    self->send(config.store_and_forward, atom::available_v);
  }
  if (!hashes.empty())
    self->send(link, atom::verify_v, std::move(waits),
               std::vector<std::string>{hashes.begin(), hashes.end()});
}

bool service_discovery_state::take_relayed_entry(const peer_identity& relay, heard_service x,
                                                 const std::string& service) {
  // The latest of what anybody passed on of this owner holds; an older one is a replay.
  for (auto& [other, services] : relayed)
    if (auto i = services.find(service);
        i != services.end() && i->second.owner == x.owner && i->second.sequence > x.sequence)
      return false;
  if (auto i = owned.find(service);
      i != owned.end() && i->second.owner == x.owner && i->second.sequence > x.sequence)
    return false;
  auto& known = relayed[relay.uid];
  auto i = known.find(service);
  if (i == known.end() && known.size() >= config.services_per_node_max)
    return false;
  if (i != known.end() && i->second.owner != x.owner && i->second.available)
    return false; // a holder is not displaced
  if (i != known.end() && i->second.sequence == x.sequence && i->second.route == x.route
      && i->second.away == x.away && i->second.available == x.available)
    return false;
  known[service] = std::move(x);
  return true;
}

void service_discovery_state::publish_ways(const std::string& service) {
  std::vector<relay_way> ways;
  for (auto& [relay, services] : relayed)
    if (auto i = services.find(service); i != services.end() && i->second.available)
      ways.push_back({relay, i->second.owner, i->second.route.size(), i->second.away});
  std::stable_sort(ways.begin(), ways.end(), [](auto& x, auto& y) {
    return std::pair{x.away, x.hops} < std::pair{y.away, y.hops};
  });
  if (!ways.empty())
    table.relayed.set(service, std::make_shared<const std::vector<relay_way>>(std::move(ways)));
  else if (table.relayed.contains(service))
    table.relayed.erase(service);
}

// -- what this node passes on ---------------------------------------------------------------------

std::optional<relayed_entry> service_discovery_state::offer(const std::string& service) const {
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  if (!rights->may_relay(service, now))
    return std::nullopt;
  auto stands = [&](const heard_service& x) {
    auto credential = rights->find_known(x.entry.credential_hash);
    return credential && !rights->check_standing(*credential, now);
  };
  auto linked = [this](const node_uid& uid) {
    auto i = table.nodes_by_uid.find(uid);
    return i != table.nodes_by_uid.end() && i->second->link != 0;
  };
  if (auto i = owned.find(service); i != owned.end() && stands(i->second))
    return relayed_entry{i->second.entry, {config.node->uid}, !linked(i->second.owner)};
  const heard_service* best = nullptr;
  bool best_away = true;
  for (auto& [relay, services] : relayed) {
    auto i = services.find(service);
    if (i == services.end() || !i->second.available || !stands(i->second)
        || i->second.route.size() >= relay_hops_max) // RVI-SVC_DISC-7
      continue;
    bool away = i->second.away || !linked(relay);
    if (!best
        || std::pair{away, i->second.route.size()} < std::pair{best_away, best->route.size()}) {
      best = &i->second;
      best_away = away;
    }
  }
  if (!best)
    return std::nullopt;
  relayed_entry result{best->entry, best->route, best_away};
  result.route.insert(result.route.begin(), config.node->uid); // RVI-SVC_DISC-4
  return result;
}

bool service_discovery_state::may_hear(const peer_identity& listener, const std::string& service,
                                       const relayed_entry& x) const {
  auto owner = wire::decode_announced(x.entry.service);
  return owner && owner->owner != listener.uid && !is_in(x.route, listener.uid)
         && (may_see(listener.destinations, service) // RVI-SVC_DISC-6
             || covers_any(listener.relay, service));
}

void service_discovery_state::send_relayed(const live_link& to) {
  if (!config.node->rights->load()->is_relay(config.node->time->wall_ms()))
    return;
  std::set<std::string> names;
  for (auto& [service, x] : owned)
    names.insert(service);
  for (auto& [relay, services] : relayed)
    for (auto& [service, x] : services)
      names.insert(service);
  relayed_announcement all;
  all.full = true;
  for (auto& service : names)
    if (auto x = offer(service); x && may_hear(to.peer, service, *x))
      all.entries.push_back(std::move(*x));
  if (!all.entries.empty())
    self->send(to.handle, atom::announce_v, std::move(all));
}

void service_discovery_state::relay_change(const std::set<std::string>& services,
                                           bool relays_only) {
  if (services.empty() || !config.node->rights->load()->is_relay(config.node->time->wall_ms()))
    return;
  std::map<std::string, std::optional<relayed_entry>> offers;
  for (auto& service : services)
    offers.emplace(service, offer(service));
  for (auto& [number, link] : links) {
    if (relays_only && link.peer.relay.empty())
      continue;
    relayed_announcement news;
    for (auto& [service, x] : offers) {
      if (x && may_hear(link.peer, service, *x))
        news.entries.push_back(*x);
      else if (!x
               && (may_see(link.peer.destinations, service)
                   || covers_any(link.peer.relay, service)))
        news.withdrawn.push_back(service);
    }
    if (!news.entries.empty() || !news.withdrawn.empty())
      self->send(link.handle, atom::announce_v, std::move(news));
  }
}

std::set<std::string> service_discovery_state::services_by(const node_uid& node) const {
  std::set<std::string> result;
  for (auto& [service, x] : owned)
    if (x.owner == node)
      result.insert(service);
  if (auto i = relayed.find(node); i != relayed.end())
    for (auto& [service, x] : i->second)
      result.insert(service);
  return result;
}

void service_discovery_state::relay_link_up(const peer_identity& peer) {
  auto first = news.extract(peer.uid);
  if (!first.empty())
    relay_change(first.mapped(), false);
  relay_change(services_by(peer.uid), true);
}

void service_discovery_state::relay_link_down(const peer_identity& peer) {
  auto services = services_by(peer.uid);
  news.erase(peer.uid);
  if (auto by = relayed.find(peer.uid); by != relayed.end() && !by->second.empty()) {
    // Whom it had a way to then is not known any more.
    for (auto& [service, x] : by->second) {
      x.away = true;
      publish_ways(service);
    }
    publish();
  }
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  bool fallen
    = std::any_of(peer.credential_hashes.begin(), peer.credential_hashes.end(), [&](auto& hash) {
        auto x = rights->find_known(hash);
        return !x || rights->check_standing(*x, now);
      });
  // What such an owner announced is withdrawn; else only other relays care that it is away.
  relay_change(services, !fallen);
}

} // namespace rvi
