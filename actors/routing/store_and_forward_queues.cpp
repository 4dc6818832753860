// SPDX-License-Identifier: MPL-2.0
//
// The queues of store and forward: what enters and leaves them, and how they move towards a link or
// a local service.

#include "actors/routing/store_and_forward.hpp"
#include "messages/name.hpp"
#include "messages/wire/batch.hpp"
#include "messages/wire/fragment.hpp"
#include "messages/wire/frame.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>
#include <cassert>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";
constexpr size_t transmit_items_max = 512;
constexpr uint8_t priority_last = 7;

/// Nothing is in memory, or something more urgent is not.
bool front_is_on_disk(const store_and_forward_state::waiting_queue& q) {
  return q.loaded.empty() || (!q.complete && q.load_from < q.loaded.begin()->first);
}

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
    if (front_is_on_disk(*q))
      load_more(q);
    else
      dispatch(q);
    return;
  }
  if (own_revoked) {
    refuse_revoked(q);
    if (q->items == q->in_flight.size())
      return;
    if (front_is_on_disk(*q)) {
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
  if (front_is_on_disk(*q))
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

// -- towards a peer -----------------------------------------------------------------------------

void store_and_forward_state::transmit(const queue_ptr& q, const next_hop& next,
                                       uint8_t priority_max) {
  auto& link = *next.link;
  batch going;
  auto now = boot_ms();
  // What travels in one frame is kept or refused together and cannot overtake.
  auto frame_max
    = std::min<uint64_t>(link.info.peer.frame_bytes_max, wire::frame_bytes_max_default);
  wire::frame_filler frame{frame_max};
  // Of the frame being filled; the peer keeps what is in memory apart from the rest.
  std::map<std::string, bool> channels;
  std::set<std::string> held_back; // channels with something large that cannot go now
  for (auto i = q->loaded.begin(); i != q->loaded.end() && going.size() < transmit_items_max;) {
    auto& item = i->second;
    if (!item.content || item.at.priority > priority_max)
      break;
    if (!may_go(*q, item, next)) {
      ++i;
      continue;
    }
    auto channel = channel_of(*item.content);
    bool large = wire::needs_fragments(*item.content, frame_max);
    auto content = large && !item.content->is_opening() ? opening_of(*item.content) : item.content;
    auto weight = large ? content->header_bytes.size() : item.bytes;
    bool next_frame = frame.begins(*content);
    auto before = next_frame ? channels.end() : channels.find(channel);
    // What follows something large would overtake its fragments.
    bool together = before != channels.end() && before->second == item.in_memory && !large;
    if (!channel.empty()
        && (held_back.count(channel) || (q->channels.count(channel) && !together))) {
      ++i; // its turn comes with the custody of those before it
      continue;
    }
    if (large && !may_open_transfer(q, link)) {
      if (!channel.empty())
        held_back.insert(channel);
      ++i;
      continue;
    }
    if (link.credit_envelopes == 0 || weight > link.credit_bytes) {
      link.starved = true;
      break;
    }
    if (next_frame)
      channels.clear();
    frame.add(*content);
    auto& header = content->header;
    --link.credit_envelopes;
    link.credit_bytes -= weight;
    going.push_back(large ? content : on_its_way(item, next));
    q->in_flight.insert(item.at);
    config.node->record(header.id, 11, header.is_reply(), "transmit");
    auto key = std::pair{header.id, header.is_reply()};
    bool in_memory = item.in_memory;
    take_in_flight(link, key); // there is none; a count that is off would close the link
    if (link.in_flight.empty())
      link.progress_ms = now;
    link.bytes_max = std::max<uint64_t>(link.bytes_max, large ? fragment_bytes_max : item.bytes);
    if (large)
      open_transfer(link, key, item);
    link.in_flight[key]
      = {q, std::move(item), next.relay ? std::optional{link.info.peer.uid} : std::nullopt, now};
    if (!channel.empty()) {
      ++q->channels[channel];
      if (large)
        channels.erase(channel);
      else
        channels.emplace(channel, in_memory);
    }
    i = q->loaded.erase(i);
  }
  if (going.empty())
    return;
  await_custody(link);
  counts.transmitted->add(going.size());
  bool more = going.size() == transmit_items_max;
  self->send(link.handle, atom::transmit_v, std::move(going));
  if (more || front_is_on_disk(*q))
    pump(q, priority_max);
}

void store_and_forward_state::refused_by_peer(flight x, const refusal& why) {
  auto& [queue, item, relay, sent_ms] = x;
  if (relay) { // advisory: only the target's owner ends a request
    relay_refused(std::move(x), why);
    return;
  }
  config.node->record(why.id, 11, why.reply, "refused: " + describe(why.reason));
  if (!why.permanent && is_large(*item.content)) {
    // What is small need not wait for the room that this needs.
    block_large(queue, boot_ms() + std::max<uint64_t>(why.retry_after_ms, config.retry_ms));
    put_back(queue, std::move(item));
    return;
  }
  if (!why.permanent) {
    block(queue, boot_ms() + std::max<uint64_t>(why.retry_after_ms, config.retry_ms));
    refused_for_now(std::move(x), why);
    return;
  }
  if (ledger::is_carried(item.id)) {
    drop_carried(std::move(x), why.reason);
    return;
  }
  left(queue, item);
  if (why.reply) {
    log::warning(component, "a peer refused a reply",
                 {{"id", to_string(why.id)}, {"reason", describe(why.reason)}});
    settle_custody(
      {settled_item{item.id, queue->target, item.content->header.expires_ms, item.in_memory}});
    return;
  }
  auto key = item.id;
  // Refused after it was sent once before: that one may have arrived and been run. Its reply, or
  // its timeout, ends it.
  bool told = item.content->header.owes_outcome();
  bool before = sent_before.erase(key) > 0 || queue->carrier.has_value();
  if (before && told) {
    settle_custody(
      {settled_item{key, queue->target, item.content->header.expires_ms, item.in_memory}});
    return;
  }
  auto source = queue_for(item.content->header.source);
  auto ref = reference(source);
  auto seq = next_seq++;
  json::writer text;
  text.begin_object()
    .member("code", to_string(code_of(why.reason)))
    .member("message", detail_of(why.reason))
    .end_object();
  bool timeout = code_of(why.reason) == ec::timeout;
  std::string status = timeout ? "timeout" : "refused";
  std::string detail = timeout ? "no" : text.take();
  // Nobody else would know of a message that was refused.
  bool listed = !timeout && !item.in_memory && item.content->header.kind == request_kind::message;
  auto ended = std::make_shared<bool>(false);
  ledger::waiting_item outcome{{item.at.priority, seq}, key, nullptr, std::nullopt, 0,
                               item.in_memory};
  auto now = clock->now_ms();
  commit_in(
    item.in_memory,
    [=](transaction& t) -> caf::error {
      auto result = listed ? ledger::end_dead(t, key, detail, ref, seq, now)
                           : ledger::end(t, key, status, detail, ref, seq);
      if (!result)
        return std::move(result.error());
      *ended = *result;
      return {};
    },
    [this, source, outcome, told, listed, ended, content = item.content, detail] {
      if (!*ended)
        return;
      if (listed)
        died(content->header.id, content->header.target, detail);
      if (!told) {
        if (outcome.in_memory)
          forget_in_memory(outcome.id, 0);
        return;
      }
      entered(source, outcome);
      announce_outcome(source, outcome);
    });
}

void store_and_forward_state::refused_for_now(flight x, const refusal& why) {
  auto code = code_of(why.reason);
  bool blamed = code != ec::busy && code != ec::store_full && code != ec::store_failed
                && code != ec::shutting_down && code != ec::link_down && !why.reply
                && why.reason != caf::error{};
  if (!blamed)
    return put_back(x.queue, std::move(x.item));
  auto attempts = std::make_shared<uint32_t>(0);
  commit_in(
    x.item.in_memory,
    [attempts, id = x.item.id](transaction& t) -> caf::error {
      auto n = ledger::refused_again(t, id);
      if (!n)
        return std::move(n.error());
      *attempts = *n;
      return {};
    },
    [this, x, why = why, attempts]() mutable {
      if (*attempts < config.delivery_attempts_max)
        return put_back(x.queue, std::move(x.item));
      why.permanent = true;
      refused_by_peer(std::move(x), why);
    },
    [this, x](const caf::error&) { put_back(x.queue, x.item); });
}

// -- towards a local service --------------------------------------------------------------------

void store_and_forward_state::dispatch(const queue_ptr& q) {
  std::vector<ledger::waiting_item> outcomes;
  std::vector<ledger::waiting_item> requests;
  while (!q->loaded.empty() && q->handed_over + requests.size() < config.local_in_flight_max
         && requests.size() < transmit_items_max) {
    auto i = q->loaded.begin();
    if (i->second.content && !take_room(i->second.id, i->second.large_bytes, q))
      break;
    q->in_flight.insert(i->first);
    auto& where = i->second.content ? requests : outcomes;
    where.push_back(std::move(i->second));
    q->loaded.erase(i);
  }
  for (auto& item : outcomes)
    announce_outcome(q, std::move(item));
  if (!requests.empty())
    dispatch_marked(q, std::move(requests));
}

void store_and_forward_state::dispatch_marked(const queue_ptr& q,
                                              std::vector<ledger::waiting_item> items) {
  auto table = config.node->routing->load();
  auto service = table->local.find(table->find_local(q->target));
  bool idempotent = service != table->local.end() && service->second.idempotent;
  auto kept = std::make_shared<std::vector<bool>>(items.size());
  auto shared = std::make_shared<std::vector<ledger::waiting_item>>(std::move(items));
  auto mark = [shared, kept, idempotent](transaction& t, bool in_memory) -> caf::error {
    for (size_t i = 0; i < shared->size(); ++i) {
      if ((*shared)[i].in_memory != in_memory)
        continue;
      auto& item = (*shared)[i];
      auto marked = ledger::dispatch(t, item.id, idempotent);
      if (!marked)
        return std::move(marked.error());
      (*kept)[i] = *marked;
      if (!*marked || !item.content->is_opening())
        continue;
      auto whole = ledger::with_arguments(t, item.at.seq, item.content);
      if (!whole && code_of(whole.error()) != ec::malformed)
        return std::move(whole.error());
      if (whole)
        item.content = std::move(*whole);
      else // damaged on disk: never handed over, its time ends it
        (*kept)[i] = false;
    }
    return {};
  };
  auto done = [this, q, shared, kept, mark] {
    --q->marking;
    if (!config.memory->unused())
      (void)config.memory->run([mark](transaction& t) { return mark(t, true); });
    std::vector<ledger::waiting_item> going;
    for (size_t i = 0; i < shared->size(); ++i) {
      auto& item = (*shared)[i];
      left(q, item);
      if ((*kept)[i])
        going.push_back(std::move(item));
      else
        give_room(item.id);
    }
    hand_over(q, std::move(going));
    pump(q);
  };
  auto failed = [this, q, shared](const caf::error&) {
    --q->marking;
    block(q, boot_ms() + config.retry_ms);
    for (auto& item : *shared) {
      give_room(item.id);
      put_back(q, ledger::item_of(item.at, item.id, item.content));
    }
  };
  // What is in memory only needs no commit, but must not overtake what does.
  bool durable = q->marking > 0 || std::any_of(shared->begin(), shared->end(), [](auto& item) {
                   return !item.in_memory;
                 });
  ++q->marking;
  if (durable)
    commit([mark](transaction& t) { return mark(t, false); }, std::move(done), std::move(failed));
  else
    done();
}

std::optional<store_and_forward_state::flight>
store_and_forward_state::take_handed_over(const std::string& id) {
  auto i = handed_over.find(id);
  if (i == handed_over.end())
    return std::nullopt;
  auto result = std::move(i->second);
  handed_over.erase(i);
  give_room(id);
  --result.queue->handed_over;
  if (result.queue->items == 0)
    may_forget(*result.queue);
  return result;
}

void store_and_forward_state::hand_over(const queue_ptr& q,
                                        std::vector<ledger::waiting_item> items) {
  batch going;
  for (auto& item : items) {
    config.node->record(item.content->header.id, 14, false, "forward to service edge");
    going.push_back(item.content);
    item = ledger::item_of(item.at, std::move(item.id), item.content); // without large arguments
    auto key = item.id;
    if (handed_over.emplace(key, flight{q, std::move(item)}).second)
      ++q->handed_over;
  }
  counts.dispatched->add(going.size());
  if (!going.empty())
    pass_to_edge(std::move(going));
}

void store_and_forward_state::announce_outcome(const queue_ptr& q, ledger::waiting_item item) {
  if (!take_room(item.id, item.large_bytes, q)) {
    put_back(q, std::move(item));
    return;
  }
  q->loaded.erase(item.at);
  q->in_flight.insert(item.at);
  auto key = item.id;
  auto id = ledger::id_of(key);
  auto notice = item.notice;
  bool in_memory = item.in_memory;
  if (handed_over.emplace(key, flight{q, std::move(item)}).second)
    ++q->handed_over;
  if (!edge) {
    undelivered_again({{id}});
    return;
  }
  if (notice) {
    self->send(edge, atom::outcome_v, std::vector<outcome_notice>{std::move(*notice)});
    return;
  }
  auto found = std::make_shared<std::optional<outcome_notice>>();
  transaction_step step = [found, id](transaction& t) -> caf::error {
    auto x = ledger::outcome(t, id);
    if (!x)
      return std::move(x.error());
    *found = std::move(*x);
    return {};
  };
  if (in_memory) {
    if (!config.memory->run(step) && *found)
      self->send(edge, atom::outcome_v, std::vector<outcome_notice>{std::move(**found)});
    return;
  }
  self->request(config.store, caf::infinite, atom::read_v, std::move(step))
    .then(
      [this, found](atom::done) {
        if (*found)
          self->send(edge, atom::outcome_v, std::vector<outcome_notice>{std::move(**found)});
      },
      [this, id](const caf::error&) { undelivered_again({{id}}); });
}

} // namespace rvi
