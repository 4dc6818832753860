// SPDX-License-Identifier: MPL-2.0
//
// The metric hub and other nodes: tells them what local services want, takes what they want, and
// values from them. A peer speaks for names below its own address and inside its credentials'
// sources, and gets what its credentials' destinations contain; both are looked at for every value.

#include "actors/routing/metric_hub.hpp"
#include "messages/name.hpp"
#include "messages/wire/metric.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "metric-hub";
constexpr uint64_t demand_pause_ms = 100; // links come and go in crowds

} // namespace

// -- links --------------------------------------------------------------------------------------

void metric_hub_state::link_up(link_actor handle, link_info info) {
  self->monitor(handle);
  links_by_address[handle->address()] = info.link;
  links_by_uid[info.peer.uid].insert(info.link);
  ++linked_addresses[info.peer.node_address];
  auto& link = links[info.link];
  link.handle = std::move(handle);
  link.peer = std::move(info.peer);
  auto rights = config.node->rights->load();
  for (auto& hash : link.peer.credential_hashes)
    if (auto x = rights->find_known(hash))
      link.credentials.push_back(x);
  auto& origin = origins[link.peer.uid];
  origin.credentials = link.credentials;
  when_ready([this, number = info.link] {
    auto i = links.find(number);
    if (i == links.end())
      return;
    metric_subscriptions said;
    said.full = true;
    for (auto& [pattern, subscribers] : patterns)
      if (may_match_below(pattern, i->second.peer.node_address)) {
        if (i->second.told.size() >= metric_subscriptions_per_peer_max) {
          counts.refused->add();
          continue;
        }
        i->second.told.insert(pattern);
        said.added.push_back(wanted(pattern));
      }
    // A node that knows nothing of metrics never sees a frame of them this way.
    if (!said.added.empty())
      self->send(i->second.handle, atom::subscribe_v, std::move(said));
  });
}

void metric_hub_state::link_down(const caf::actor_addr& address) {
  auto known = links_by_address.find(address);
  if (known == links_by_address.end())
    return;
  auto i = links.find(known->second);
  auto uid = i->second.peer.uid;
  for (auto& [pattern, to] : i->second.wanted)
    to->ended = true;
  remote_subscriptions -= i->second.wanted.size();
  auto at = linked_addresses.find(i->second.peer.node_address);
  if (--at->second == 0)
    linked_addresses.erase(at);
  links_by_address.erase(known);
  auto others = links_by_uid.find(uid);
  bool served = *others->second.rbegin() == i->first;
  others->second.erase(i->first);
  auto next = others->second.empty() ? 0 : *others->second.rbegin();
  if (others->second.empty())
    links_by_uid.erase(others);
  links.erase(i);
  // Its older link takes over; what it has seen meanwhile it ignores.
  if (served && next != 0)
    offer_to_link(next);
  auto origin = origins.find(uid);
  if (next == 0 && uid != config.node->uid && origin->second.topics.empty())
    origins.erase(origin);
  demand_soon();
}

bool metric_hub_state::serves(uint64_t link, const node_uid& peer) const {
  auto i = links_by_uid.find(peer);
  return i != links_by_uid.end() && *i->second.rbegin() == link;
}

void metric_hub_state::close(peer_link& link, const caf::error& why) {
  if (std::exchange(link.closing, true))
    return;
  audit::refused("metrics", why,
                 {{"peer", link.peer.node_address}, {"peer_uid", to_string(link.peer.uid)}});
  log::warning(component, "link closed for what came over it",
               {{"peer", link.peer.node_address}, {"reason", describe(why)}});
  self->send(link.handle, atom::close_v, std::string{to_string(code_of(why))}, detail_of(why));
}

// -- what we want -------------------------------------------------------------------------------

/// The loosest filter of all who have the pattern: each service's own follows here.
metric_subscription metric_hub_state::wanted(const std::string& pattern) const {
  metric_subscription result{pattern, {}};
  auto of_pattern = patterns.find(pattern);
  if (of_pattern == patterns.end())
    return result;
  bool first = true;
  for (auto& [number, x] : of_pattern->second) {
    auto& filter = x->what.filter;
    auto& loosest = result.filter;
    if (std::exchange(first, false)) {
      loosest = filter;
      continue;
    }
    loosest.min_interval_ms = std::min(loosest.min_interval_ms, filter.min_interval_ms);
    if (loosest.min_change && filter.min_change)
      loosest.min_change = std::min(*loosest.min_change, *filter.min_change);
    else
      loosest.min_change.reset();
  }
  return result;
}

void metric_hub_state::tell_peers(const std::string& pattern) {
  bool gone = !patterns.count(pattern);
  for (auto& [number, link] : links) {
    if (!may_match_below(pattern, link.peer.node_address))
      continue;
    metric_subscriptions said;
    if (gone) {
      if (link.told.erase(pattern) == 0)
        continue;
      said.ended.push_back(pattern);
    } else {
      if (link.told.size() >= metric_subscriptions_per_peer_max && !link.told.count(pattern)) {
        counts.refused->add();
        continue;
      }
      link.told.insert(pattern);
      said.added.push_back(wanted(pattern));
    }
    self->send(link.handle, atom::subscribe_v, std::move(said));
  }
}

bool metric_hub_state::is_linked(std::string_view pattern) const {
  std::string prefix{without_type(literal_part(pattern))};
  while (!prefix.empty()) {
    if (linked_addresses.count(prefix))
      return true;
    auto slash = prefix.rfind('/');
    prefix.resize(slash == std::string::npos ? 0 : slash);
  }
  return false;
}

void metric_hub_state::demand_soon() {
  if (!data_link || patterns.empty())
    return;
  auto at = boot_ms() + demand_pause_ms;
  if (demand_at_ms == 0 || demand_at_ms > at)
    demand_at_ms = at;
  arm();
}

/// HLD 8.7: a link to each node whose topics are wanted, for as long as they are. Only a pattern
/// whose first levels name the node tells which; the topics of others come when they are met.
void metric_hub_state::demand_links() {
  demand_at_ms = 0;
  std::set<std::vector<std::string>> asked;
  auto table = config.node->routing->load();
  for (auto& [pattern, subscribers] : patterns) {
    auto target = std::string{literal_part(pattern)};
    if (target.empty() || is_below(target, config.node->node_address) || is_linked(pattern))
      continue;
    demand_at_ms = boot_ms() + config.demand_ms / 2; // its way may become known
    // Routes are for what lives below a node's address.
    auto to = table->resolve(target == pattern ? target : target + "/any");
    if (to.to != route::where::remote || to.network_addresses.empty()
        || !asked.insert(to.network_addresses).second)
      continue;
    self->send(data_link, atom::setup_v,
               setup_request{target,
                             to.node ? to.node->address : std::string{},
                             to.network_addresses,
                             false,
                             config.demand_ms,
                             {}});
  }
}

// -- what peers want ----------------------------------------------------------------------------

void metric_hub_state::peer_wants(uint64_t number, metric_subscriptions x) {
  auto i = links.find(number);
  if (i == links.end() || i->second.closing)
    return;
  auto& link = i->second;
  if (x.full) {
    std::vector<std::string> before;
    for (auto& [pattern, to] : link.wanted)
      before.push_back(pattern);
    for (auto& pattern : before)
      peer_wants_no_more(link, pattern);
  }
  for (auto& pattern : x.ended)
    peer_wants_no_more(link, pattern);
  for (auto& added : x.added) {
    if (auto err = check_metric_subscription(added))
      return close(link, err);
    peer_wants(link, number, std::move(added));
  }
}

void metric_hub_state::peer_wants(peer_link& link, uint64_t number, metric_subscription x) {
  auto to = std::make_shared<metric_subscriber>();
  to->what = std::move(x);
  to->link = number;
  uint64_t until_ms = 0;
  peer_wants_no_more(link, to->what.pattern);
  auto err = check_subscriber(*to, until_ms);
  bool full = link.wanted.size() >= metric_subscriptions_per_peer_max
              || remote_subscriptions >= config.remote_subscriptions_max;
  if (err || full) {
    counts.refused->add();
    if (err)
      audit::refused("subscription of a peer", err,
                     {{"peer", link.peer.node_address},
                      {"peer_uid", to_string(link.peer.uid)},
                      {"pattern", to->what.pattern}});
    log::debug(component, "subscription of a peer not taken",
               {{"peer", link.peer.node_address},
                {"pattern", to->what.pattern},
                {"reason", err ? describe(err) : std::string{"too many"}}});
    return;
  }
  to->number = ++last_number;
  link.wanted[to->what.pattern] = to;
  ++remote_subscriptions;
  when_ready([this, to] {
    if (!to->ended)
      join(to);
  });
}

void metric_hub_state::peer_wants_no_more(peer_link& link, const std::string& pattern) {
  auto known = link.wanted.find(pattern);
  if (known == link.wanted.end())
    return;
  known->second->ended = true;
  link.wanted.erase(known);
  --remote_subscriptions;
}

// -- what peers publish -------------------------------------------------------------------------

void metric_hub_state::peer_sent(uint64_t number, std::vector<metric_value_ptr> values) {
  auto i = links.find(number);
  if (i == links.end() || i->second.closing)
    return;
  counts.received->add(values.size());
  for (auto& x : values)
    if (auto err = take_from(i->second, x))
      return close(i->second, err);
}

caf::error metric_hub_state::take_from(const peer_link& link, const metric_value_ptr& x) {
  if (auto err = check_metric(*x))
    return err;
  auto& address = link.peer.node_address;
  auto& sources = link.peer.sources;
  if (!is_below(x->topic, address) || !is_below(x->source, address)
      || std::none_of(sources.begin(), sources.end(),
                      [&](auto& pattern) { return covers(pattern, x->topic); }))
    return caf::make_error(ec::unauthorized, "a metric outside the peer's own names: " + x->topic);
  bool asked_for = std::any_of(link.told.begin(), link.told.end(), [&](auto& pattern) {
    return patterns.count(pattern) && matches(pattern, x->topic);
  });
  // It may have been on its way when the subscription ended or the right did.
  if (!asked_for || has_expired(*x, wall_ms()) || !may_publish(link.credentials, x->topic)
      || take_value(link.peer.uid, x))
    counts.dropped->add();
  return {};
}

} // namespace rvi
