// SPDX-License-Identifier: MPL-2.0
//
// The queues of store and forward: what enters and leaves them, and how they move towards a link or
// a local service.

#include "actors/routing/store_and_forward.hpp"
#include "messages/name.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>
#include <cassert>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";
constexpr uint8_t priority_last = 7;

bool waits_in_memory(const store_and_forward_state::waiting_queue& q) {
  return std::any_of(q.loaded.begin(), q.loaded.end(), [](auto& x) { return x.second.in_memory; });
}

} // namespace

store_and_forward_state::queue_ptr store_and_forward_state::queue_for(const std::string& name) {
  auto& q = queues[name];
  if (!q) {
    q = std::make_shared<waiting_queue>();
    q->number = next_queue++;
    q->name = name;
    classify(*q);
    may_forget(*q); // it may never get an item
  }
  return q;
}

store_and_forward_state::queue_ptr store_and_forward_state::queue_for(const request_header& x) {
  if (!config.kinds.has(x.data_class) || is_below(x.target, config.node->node_address))
    return queue_for(x.target);
  return queue_for(queue_name(x.target, x.data_class));
}

store_and_forward_state::queue_ptr
store_and_forward_state::reply_queue_for(const request_header& x, std::optional<node_uid> by) {
  auto name = "$reply/" + to_string(x.id.origin);
  if (auto way = ways_back.find(x.id); !by && way != ways_back.end())
    by = way->second;
  if (by && *by != x.id.origin)
    name += '/' + to_string(*by);
  return queue_for(config.kinds.has(x.data_class) ? queue_name(name, x.data_class) : name);
}

ledger::queue_ref store_and_forward_state::reference(const queue_ptr& q) {
  // Naming it again costs one put; forgetting it would lose the queue.
  return {q->number, q->name, !q->named, false};
}

void store_and_forward_state::entered(const queue_ptr& q, ledger::waiting_item item) {
  ++q->items;
  q->bytes += item.bytes;
  counts.waiting->add(1);
  counts.waiting_bytes->add(double(item.bytes));
  if (!q->owner.name.empty() && item.bytes > 0)
    quotas->count(q->owner, 1, item.bytes);
  if (item.content)
    q->latest_ms = std::max(q->latest_ms, item.content->header.expires_ms);
  if (item.in_memory) {
    q->loaded.emplace(item.at, std::move(item));
    return;
  }
  q->named = true;
  q->changed_while_loading = true;
  if (q->loading)
    q->entered_while_loading
      = q->entered_while_loading ? std::min(*q->entered_while_loading, item.at) : item.at;
  if (q->complete && q->loaded.size() < config.loaded_items_max) {
    q->loaded.emplace(item.at, std::move(item));
    return;
  }
  if (q->complete) {
    q->complete = false;
    q->load_from = item.at;
  }
  q->load_from = std::min(q->load_from, item.at);
}

void store_and_forward_state::left(const queue_ptr& q, const ledger::waiting_item& item) {
  assert(q->items > 0);
  --q->items;
  q->bytes -= std::min<uint64_t>(q->bytes, item.bytes);
  counts.waiting->add(-1);
  counts.waiting_bytes->add(-double(item.bytes));
  if (!q->owner.name.empty() && item.bytes > 0)
    quotas->leave(q->owner, item.bytes);
  q->in_flight.erase(item.at);
  q->unwanted.erase(item.at);
  q->loaded.erase(item.at);
  if (q->loading)
    q->settled_while_loading.insert(item.at);
  if (q->items == 0) {
    q->latest_ms = 0;
    may_forget(*q);
  }
}

void store_and_forward_state::put_back(const queue_ptr& q, ledger::waiting_item item) {
  q->in_flight.erase(item.at);
  q->loaded.emplace(item.at, std::move(item));
}

const char* store_and_forward_state::reserve(const queue_ptr& q, size_t bytes) {
  if (q->items + q->entering >= config.items_per_queue_max
      || q->bytes + q->entering_bytes >= config.bytes_per_queue_max
      || !within_bound_with_entrusted(*q))
    return "queue";
  if (!q->owner.name.empty() && !quotas->enter(q->owner, bytes))
    return q->owner.service ? "service" : "node";
  ++q->entering;
  q->entering_bytes += bytes;
  return nullptr;
}

void store_and_forward_state::settle(const queue_ptr& q, size_t bytes) {
  --q->entering;
  q->entering_bytes -= bytes;
  if (!q->owner.name.empty())
    quotas->leave(q->owner, bytes);
}

route store_and_forward_state::route_of(const waiting_queue& q) const {
  auto table = config.node->routing->load();
  return q.reply_to ? table->resolve_node(*q.reply_to, q.target) : table->resolve(q.target);
}

void store_and_forward_state::pump_all() {
  std::vector<queue_ptr> waiting;
  for (auto& [name, q] : queues)
    if (q->items > 0)
      waiting.push_back(q);
  for (auto& q : waiting)
    pump(q);
}

void store_and_forward_state::pump_towards(const peer_identity& node) {
  auto waiting = queues_of(node);
  for (uint8_t priority = 0; priority <= priority_last; ++priority)
    for (auto& q : waiting)
      pump(q, priority);
}

void store_and_forward_state::pump(const queue_ptr& q, uint8_t priority_max) {
  if (!ready || q->items == q->in_flight.size())
    return;
  if (q->blocked_until_ms > boot_ms())
    return;
  auto to = route_of(*q);
  if (to.to == route::where::local && !q->reply_to) {
    if (!edge || q->stalled || to.service.empty())
      return;
    if (q->front_is_on_disk())
      load_more(q);
    else
      dispatch(q);
    return;
  }
  if (own_revoked) {
    refuse_revoked(q);
    if (q->items == q->in_flight.size())
      return;
    if (q->front_is_on_disk()) {
      load_more(q);
      return;
    }
  }
  auto next = next_hop_of(*q, to);
  if (!next.link) {
    demand_links(*q, to);
    return;
  }
  if (next.link->closing)
    return;
  if (next.relay && (waits_in_memory(*q) || !q->unwanted.empty()))
    demand_link(*q, to); // a relay does not take these
  if (q->front_is_on_disk())
    load_more(q);
  else if (judge_carried(q))
    transmit(q, next, priority_max);
}

void store_and_forward_state::load_more(const queue_ptr& q) {
  if (q->complete || q->loading)
    return;
  q->loading = true;
  q->changed_while_loading = false;
  q->settled_while_loading.clear();
  q->entered_while_loading.reset();
  auto found = std::make_shared<std::vector<ledger::waiting_item>>();
  auto asked = config.loaded_items_max + q->in_flight.size();
  transaction_step step = [found, number = q->number, from = q->load_from, asked,
                           bytes = config.load_bytes_max](transaction& t) -> caf::error {
    auto x = ledger::load(t, number, from, asked, bytes);
    if (!x)
      return std::move(x.error());
    *found = std::move(*x);
    return {};
  };
  self->request(config.store, caf::infinite, atom::read_v, std::move(step))
    .then([this, q, found, asked](atom::done) { loaded(q, std::move(*found), asked); },
          [this, q](const caf::error& err) {
            q->loading = false;
            block(q, boot_ms() + config.retry_ms);
            log::error(component, "a queue cannot be read",
                       {{"queue", q->name}, {"error", describe(err)}});
          });
}

void store_and_forward_state::loaded(const queue_ptr& q, std::vector<ledger::waiting_item> items,
                                     size_t asked) {
  q->loading = false;
  q->judged_by = nullptr;
  bool whole = items.empty() || (items.size() < asked && !q->changed_while_loading);
  size_t bytes = 0;
  for (auto& item : items) {
    auto at = item.at;
    bytes += item.bytes;
    if (!q->in_flight.count(at) && !q->settled_while_loading.count(at))
      q->loaded.emplace(at, std::move(item));
  }
  if (!items.empty()) {
    auto& last = items.back().at;
    q->load_from = {last.priority, last.seq + 1};
  }
  if (q->entered_while_loading)
    q->load_from = std::min(q->load_from, *q->entered_while_loading);
  if (whole && bytes < config.load_bytes_max && !q->changed_while_loading)
    q->complete = true;
  q->settled_while_loading.clear();
  if (!q->loaded.empty() || !q->complete)
    pump(q);
}

} // namespace rvi
