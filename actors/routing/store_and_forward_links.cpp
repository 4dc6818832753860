// SPDX-License-Identifier: MPL-2.0
//
// Store and forward and its links: which come and go, what is on its way over them, and which are
// asked for (HLD 8.7 to 8.12).

#include "actors/routing/store_and_forward.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>
#include <utility>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";

/// The part of an ordered map whose keys are `prefix` or below it.
template <class Map, class F>
void for_each_below(Map& map, const std::string& prefix, F&& f) {
  if (auto i = map.find(prefix); i != map.end())
    f(*i);
  auto below = prefix + "/";
  for (auto i = map.lower_bound(below); i != map.end() && i->first.starts_with(below); ++i)
    f(*i);
}

/// The names a node is asked for by: its address with each type of what can wait for it.
std::vector<std::string> names_of(const std::string& node_address) {
  return {"rpc:" + node_address, "message:" + node_address};
}

} // namespace

// -- links that are wanted ----------------------------------------------------------------------

uint64_t store_and_forward_state::demand_until(uint64_t expires_ms) const {
  auto own = clock->now_ms();
  if (expires_ms <= own)
    return 0;
  // In whole seconds, so that a stream of requests does not ask with each of them.
  constexpr uint64_t second = 1'000;
  return boot_ms() + ((expires_ms + second - 1) / second * second - own);
}

void store_and_forward_state::demand_link(waiting_queue& q, const route& x) {
  if (!data_link || x.to != route::where::remote || x.network_addresses.empty())
    return;
  auto until = demand_until(q.latest_ms);
  if (until <= q.demanded_ms && (until == 0 || x.network_addresses == q.demanded_at))
    return;
  q.demanded_ms = until;
  q.demanded_at = x.network_addresses;
  if (!q.loaded.empty() && q.loaded.begin()->second.content)
    config.node->record(q.loaded.begin()->second.content->header.id, 7, q.reply_to.has_value(),
                        "setup data link");
  self->send(data_link, atom::setup_v,
             setup_request{q.target, x.node ? x.node->address : std::string{}, x.network_addresses,
                           true, until - boot_ms(), config.kinds.kinds_of(q.data_class)});
}

void store_and_forward_state::demand_link_for_replies(const std::string& target, awaited& x) {
  auto to = config.node->routing->load()->resolve(target);
  if (!data_link || to.to != route::where::remote || to.network_addresses.empty() || link_of(to))
    return;
  auto until = demand_until(x.latest_ms);
  if (until <= x.demanded_ms)
    return;
  x.demanded_ms = until;
  self->send(data_link, atom::setup_v,
             setup_request{target, to.node ? to.node->address : std::string{}, to.network_addresses,
                           false, until - boot_ms(), config.kinds.kinds_of({})});
}

void store_and_forward_state::demand_links_for_replies() {
  for (auto& [target, x] : awaiting)
    demand_link_for_replies(target, x);
}

void store_and_forward_state::routes_changed() {
  pump_all();
  demand_links_for_replies();
}

void store_and_forward_state::demand_anew() {
  for (auto& [name, q] : queues)
    q->demanded_ms = q->relays_demanded_ms = 0;
  for (auto& [target, x] : awaiting)
    x.demanded_ms = 0;
  routes_changed();
}

void store_and_forward_state::ended(const std::string& target, const transaction_id& id) {
  auto i = awaiting.find(target);
  if (i == awaiting.end())
    return;
  i->second.ids.erase(id);
  if (i->second.ids.empty())
    awaiting.erase(i);
}

// -- links that come and go ---------------------------------------------------------------------

std::vector<store_and_forward_state::queue_ptr>
store_and_forward_state::queues_of(const peer_identity& node) {
  std::map<std::string, queue_ptr> found;
  auto take = [&](auto& entry) {
    auto to = route_of(*entry.second);
    if (to.node && to.node->uid == node.uid)
      found.emplace(entry.first, entry.second);
  };
  for (auto& name : names_of(node.node_address))
    for_each_below(queues, name, take);
  for_each_below(queues, "$reply/" + to_string(node.uid), take);
  add_relay_queues(node, found);
  std::vector<queue_ptr> result;
  for (auto& [name, q] : found)
    result.push_back(std::move(q));
  return result;
}

store_and_forward_state::link_state*
store_and_forward_state::link_of(const route& x, const std::string& data_class) {
  return x.node ? link_to(x.node->uid, data_class) : nullptr;
}

store_and_forward_state::link_state*
store_and_forward_state::link_to(const node_uid& uid, const std::string& data_class) {
  auto of_node = links_by_uid.find(uid);
  if (of_node == links_by_uid.end())
    return nullptr;
  auto& allowed = config.kinds.kinds_of(data_class);
  link_state* best = nullptr;
  for (auto& [kind, number] : of_node->second) {
    auto i = links.find(number);
    if (i == links.end() || !config.kinds.place(allowed, kind))
      continue;
    auto& link = i->second;
    // One that is told to close is the last choice, but nothing is asked for before it has ended.
    if (!best || (best->closing && !link.closing)
        || (best->closing == link.closing && config.kinds.better(allowed, kind, best->info.kind)))
      best = &link;
  }
  return best;
}

void store_and_forward_state::link_up(link_actor handle, link_info info) {
  auto id = info.link;
  // Of each kind one; a node may have several kinds at once.
  auto known = links_by_uid[info.peer.uid].emplace(info.kind, id).first;
  auto old = std::exchange(known->second, id);
  links_by_address[handle->address()] = id;
  self->monitor(handle);
  auto& link = links[id];
  link.handle = std::move(handle);
  link.info = std::move(info);
  for (auto& q : queues_of(link.info.peer)) {
    q->demanded_ms = 0;
    if (q->loaded.empty() || !q->loaded.begin()->second.content)
      continue;
    auto waiting = to_bytes(q->loaded.begin()->second.content->header.id);
    bool reply = q->reply_to.has_value();
    config.node->trace->add_at(link.info.authorized_us, waiting, 8, reply,
                               "authorized and announced");
    config.node->trace->add_at(link.info.up_us, waiting, 9, reply, "data link available");
  }
  for (auto& name : names_of(link.info.peer.node_address))
    for_each_below(awaiting, name, [](auto& x) { x.second.demanded_ms = 0; });
  relay_link_up(link);
  self->send(link.handle, atom::link_up_v);
  if (old != id)
    link_down(old);
}

void store_and_forward_state::link_down(uint64_t id) {
  auto i = links.find(id);
  if (i == links.end())
    return;
  auto lost = std::move(i->second);
  links.erase(i);
  links_by_address.erase(lost.handle->address());
  incoming_link_lost(id);
  auto& peer = lost.info.peer;
  auto known = links_by_uid.find(peer.uid);
  if (known != links_by_uid.end()) {
    std::erase_if(known->second, [id](auto& of_kind) { return of_kind.second == id; });
    if (known->second.empty())
      links_by_uid.erase(known);
  }
  // 14.1: a link error queues what was on its way again.
  for (auto& [key, x] : lost.in_flight) {
    landed(*x.queue, *x.item.content);
    if (!key.second && !lost.transfers.is_incomplete(key))
      sent_before.insert(x.item.id);
    put_back(x.queue, std::move(x.item));
  }
  // Whoever was dialled for it may have been somebody else: then others wait for this address.
  std::map<std::string, queue_ptr> touched;
  for (auto& q : queues_of(peer))
    touched.emplace(q->name, q);
  for (auto& [key, x] : lost.in_flight)
    touched.emplace(x.queue->name, x.queue);
  if (lost.info.dialled)
    for (auto& [name, q] : queues)
      if (q->demanded_ms != 0)
        touched.emplace(name, q);
  for (auto& [name, q] : touched) {
    q->demanded_ms = 0;
    q->relays_demanded_ms = 0;
    pump(q);
  }
  for (auto& [target, x] : awaiting)
    if (lost.info.dialled)
      x.demanded_ms = 0;
  if (lost.info.dialled)
    demand_links_for_replies();
  else
    for (auto& name : names_of(peer.node_address))
      for_each_below(awaiting, name,
                     [this](auto& x) { demand_link_for_replies(x.first, x.second); });
  if (links_by_uid.count(peer.uid) == 0)
    relays.erase(peer.uid);
}

void store_and_forward_state::credit(uint64_t id, const credit_grant& x) {
  auto i = links.find(id);
  if (i == links.end())
    return;
  auto& link = i->second;
  link.credit_envelopes += x.envelopes;
  link.credit_bytes += std::min(x.bytes, UINT64_MAX - link.credit_bytes);
  bool starved = std::exchange(link.starved, false);
  pump_fragments(link);
  bool first = link.credit_envelopes == x.envelopes;
  if (!first && !starved)
    return;
  pump_towards(peer_identity{link.info.peer});
}

// -- custody ------------------------------------------------------------------------------------

std::optional<store_and_forward_state::flight>
store_and_forward_state::take_in_flight(link_state& link, const flight_key& key) {
  auto i = link.in_flight.find(key);
  if (i == link.in_flight.end())
    return std::nullopt;
  auto result = std::move(i->second);
  link.in_flight.erase(i);
  forget_transfer(link, key);
  if (link.in_flight.empty())
    link.bytes_max = 0;
  landed(*result.queue, *result.item.content);
  return result;
}

void store_and_forward_state::gone(const transaction_id& id, const ledger::queue_place& place) {
  sent_before.erase(ledger::originated_key(id));
  if (place.queue.empty())
    return;
  auto q = queue_for(place.queue);
  ledger::waiting_item item;
  item.at = place.at;
  item.bytes = place.bytes;
  bool reply = q->reply_to.has_value();
  if (settling.erase(key_in(*q, id)) != 0)
    return; // its custody has been counted, and is on its way to the disk
  if (q->in_flight.count(item.at) != 0)
    for (auto& [number, link] : links)
      take_in_flight(link, {id, reply});
  left(q, item);
}

bool store_and_forward_state::may_have_left(const std::string& key) const {
  if (sent_before.count(key) != 0)
    return true;
  auto id = ledger::id_of(key);
  return std::any_of(links.begin(), links.end(), [&](auto& x) {
    return x.second.in_flight.count({id, false}) != 0
           && !x.second.transfers.is_incomplete({id, false});
  });
}

/// Not under way any more, whatever became of it.
void store_and_forward_state::landed(waiting_queue& q, const envelope& x) {
  auto i = q.channels.find(channel_of(x));
  if (i != q.channels.end() && --i->second == 0)
    q.channels.erase(i);
}

void store_and_forward_state::await_custody(link_state& link) {
  if (std::exchange(link.watched, true))
    return;
  custody_due.emplace(boot_ms() + config.custody_ms_max, link.info.link);
  arm();
}

/// Credit comes back with custody: without anything under way none can come. A peer that owes it,
/// or whose grant was damaged on its way, would else hold up what waits for as long as the link
/// lasts.
void store_and_forward_state::await_credit(link_state& link) {
  if (!std::exchange(link.starved, true) && link.in_flight.empty())
    link.progress_ms = boot_ms();
  await_custody(link);
}

void store_and_forward_state::check_custody() {
  auto now = boot_ms();
  while (!custody_due.empty() && custody_due.begin()->first <= now) {
    auto id = custody_due.begin()->second;
    custody_due.erase(custody_due.begin());
    auto i = links.find(id);
    if (i == links.end())
      continue;
    auto& link = i->second;
    link.watched = false;
    if (link.in_flight.empty() && !link.starved)
      continue;
    // A link slower than 1 KiB/s is none; a large request may take its time on one that is not.
    auto due = link.progress_ms + config.custody_ms_max + link.bytes_max;
    // What later ones have overtaken was lost on its way, on a link that may lose something.
    for (auto& [key, x] : link.in_flight)
      if (x.sent_ms < link.confirmed_ms && !link.transfers.find(key))
        due = std::min(due, x.sent_ms + 2 * config.custody_ms_max);
    if (due > now) {
      link.watched = true;
      custody_due.emplace(due, id);
      continue;
    }
    link.closing = true;
    counts.custody_timeouts->add();
    std::string owed = link.in_flight.empty() ? "no credit" : "no custody";
    log::warning(
      component, "a peer gives " + owed,
      {{"link", id}, {"peer", link.info.peer.node_address}, {"in_flight", link.in_flight.size()}});
    self->send(link.handle, atom::close_v, std::string{"timeout"}, std::move(owed));
  }
}

void store_and_forward_state::custody(uint64_t id, const custody_report& x) {
  auto i = links.find(id);
  if (i == links.end())
    return;
  i->second.progress_ms = boot_ms();
  std::vector<settled_item> settled;
  queue_set touched;
  for (auto& accepted : x.accepted) {
    auto flown = take_in_flight(i->second, {accepted.id, accepted.reply});
    if (!flown)
      continue;
    sent_before.erase(flown->item.id);
    i->second.confirmed_ms = std::max(i->second.confirmed_ms, flown->sent_ms);
    touched.insert(flown->queue);
    if (ledger::is_carried(flown->item.id) || (flown->relay && !accepted.reply)) {
      relay_accepted(std::move(*flown));
      continue;
    }
    settled.push_back({flown->item.id, flown->queue->target, flown->item.content->header.expires_ms,
                       flown->item.in_memory});
    left(flown->queue, flown->item);
  }
  if (!settled.empty())
    settle_custody(std::move(settled));
  for (auto& refused : x.refused)
    if (auto flown = take_in_flight(i->second, {refused.id, refused.reply}))
      refused_by_peer(std::move(*flown), refused);
  pump_fragments(i->second);
  for (auto& q : touched) {
    pump(q);
    if (q->carrier && q->items == 0)
      pump(queue_for(q->target)); // what must not overtake these may go
  }
}

void store_and_forward_state::await_outcome(const settled_item& item) {
  auto& x = awaiting[item.target];
  x.ids.insert(ledger::id_of(item.id));
  x.latest_ms = std::max(x.latest_ms, item.expires_ms);
  demand_link_for_replies(item.target, x); // the link may have gone meanwhile
}

void store_and_forward_state::settle_custody(std::vector<settled_item> items) {
  std::erase_if(items, [this](auto& item) {
    if (item.in_memory)
      settle_custody_in_memory(item);
    return item.in_memory;
  });
  if (items.empty())
    return;
  auto owed = std::make_shared<std::vector<size_t>>();
  auto settled = std::make_shared<std::vector<settled_item>>(std::move(items));
  for (auto& item : *settled)
    settling.insert(item.id);
  transaction_step step = [owed, settled](transaction& t) -> caf::error {
    owed->clear();
    for (size_t i = 0; i < settled->size(); ++i) {
      auto x = ledger::custody(t, (*settled)[i].id);
      if (!x && code_of(x.error()) != ec::not_found)
        return std::move(x.error());
      if (x && *x)
        owed->push_back(i);
    }
    return {};
  };
  self->request(config.store, caf::infinite, atom::defer_v, std::move(step))
    .then(
      [this, owed, settled](atom::committed) {
        for (auto& item : *settled)
          settling.erase(item.id);
        for (auto i : *owed)
          await_outcome((*settled)[i]);
      },
      [](const caf::error& err) { // it stays counted: what is on disk is sent after a restart
        log::error(component, "custody was not noted; it may be sent again",
                   {{"error", describe(err)}});
      });
}

} // namespace rvi
