// SPDX-License-Identifier: MPL-2.0
//
// The queues of store and forward: what enters and leaves them, and how they move towards a link or
// a local service.

#include "actors/routing/store_and_forward.hpp"
#include "messages/wire/batch.hpp"
#include "messages/wire/frame.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"

#include <cassert>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";
constexpr size_t transmit_items_max = 512;

/// Nothing is in memory, or something more urgent is not.
bool front_is_on_disk(const store_and_forward_state::waiting_queue& q) {
  return q.loaded.empty() || (!q.complete && q.load_from < q.loaded.begin()->first);
}

} // namespace

store_and_forward_state::queue_ptr store_and_forward_state::queue_for(const std::string& name) {
  auto& q = queues[name];
  if (!q) {
    q = std::make_shared<waiting_queue>();
    q->number = next_queue++;
    q->name = name;
    may_forget(*q); // it may never get an item
  }
  return q;
}

store_and_forward_state::queue_ptr store_and_forward_state::reply_queue_for(const node_uid& uid) {
  auto q = queue_for("$reply/" + to_string(uid));
  q->reply_to = uid;
  return q;
}

ledger::queue_ref store_and_forward_state::reference(const queue_ptr& q) {
  // Naming it again costs one put; forgetting it would lose the queue.
  return {q->number, q->name, !q->named, false};
}

void store_and_forward_state::entered(const queue_ptr& q, ledger::waiting_item item) {
  q->named = true;
  ++q->items;
  q->bytes += item.bytes;
  counts.waiting->add(1);
  if (item.content)
    q->latest_ms = std::max(q->latest_ms, item.content->header.expires_ms);
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
  q->in_flight.erase(item.at);
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

bool store_and_forward_state::reserve(const queue_ptr& q, size_t bytes) {
  if (q->items + q->entering >= config.items_per_queue_max
      || q->bytes + q->entering_bytes >= config.bytes_per_queue_max)
    return false;
  ++q->entering;
  q->entering_bytes += bytes;
  return true;
}

void store_and_forward_state::settle(const queue_ptr& q, size_t bytes) {
  --q->entering;
  q->entering_bytes -= bytes;
}

route store_and_forward_state::route_of(const waiting_queue& q) const {
  auto table = config.node->routing->load();
  return q.reply_to ? table->resolve_node(*q.reply_to, q.name) : table->resolve(q.name);
}

store_and_forward_state::link_state* store_and_forward_state::link_of(const route& x) {
  if (!x.node)
    return nullptr;
  auto i = links_by_uid.find(x.node->uid);
  if (i == links_by_uid.end())
    return nullptr;
  auto j = links.find(i->second);
  return j == links.end() ? nullptr : &j->second;
}

void store_and_forward_state::pump_all() {
  std::vector<queue_ptr> waiting;
  for (auto& [name, q] : queues)
    if (q->items > 0)
      waiting.push_back(q);
  for (auto& q : waiting)
    pump(q);
}

void store_and_forward_state::pump(const queue_ptr& q) {
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
  auto link = link_of(to);
  if (!link) {
    demand_link(*q, to);
    return;
  }
  if (link->closing)
    return;
  if (front_is_on_disk(*q))
    load_more(q);
  else
    transmit(q, *link);
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

void store_and_forward_state::transmit(const queue_ptr& q, link_state& link) {
  batch going;
  auto now = boot_ms();
  // What travels in one frame is kept or refused together and cannot overtake.
  wire::frame_filler frame{
    std::min<uint64_t>(link.info.peer.frame_bytes_max, wire::frame_bytes_max_default)};
  std::set<std::string> channels; // of the frame being filled
  for (auto i = q->loaded.begin(); i != q->loaded.end() && going.size() < transmit_items_max;) {
    auto& item = i->second;
    if (!item.content)
      break;
    auto channel = channel_of(*item.content);
    bool next_frame = frame.begins(*item.content);
    bool together = !next_frame && channels.count(channel) != 0;
    if (!channel.empty() && q->channels.count(channel) && !together) {
      ++i; // its turn comes with the custody of those before it
      continue;
    }
    if (link.credit_envelopes == 0 || item.bytes > link.credit_bytes) {
      link.starved = true;
      break;
    }
    if (next_frame)
      channels.clear();
    frame.add(*item.content);
    auto& header = item.content->header;
    --link.credit_envelopes;
    link.credit_bytes -= item.bytes;
    going.push_back(item.content);
    q->in_flight.insert(item.at);
    config.node->record(header.id, 11, header.is_reply(), "transmit");
    auto key = std::pair{header.id, header.is_reply()};
    take_in_flight(link, key); // there is none; a count that is off would close the link
    if (link.in_flight.empty())
      link.progress_ms = now;
    link.bytes_max = std::max<uint64_t>(link.bytes_max, item.bytes);
    link.in_flight[key] = {q, std::move(item)};
    if (!channel.empty()) {
      ++q->channels[channel];
      channels.insert(channel);
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
    pump(q);
}

void store_and_forward_state::refused_by_peer(flight x, const refusal& why) {
  auto& [queue, item] = x;
  config.node->record(why.id, 11, why.reply, "refused: " + describe(why.reason));
  if (!why.permanent) {
    block(queue, boot_ms() + std::max<uint64_t>(why.retry_after_ms, config.retry_ms));
    put_back(queue, std::move(item));
    return;
  }
  left(queue, item);
  if (why.reply) {
    log::warning(component, "a peer refused a reply",
                 {{"id", to_string(why.id)}, {"reason", describe(why.reason)}});
    settle_custody({settled_item{item.id, queue->name, 0}});
    return;
  }
  auto key = item.id;
  // Refused after it was sent once before: that one may have arrived and been run. Its reply, or
  // its timeout, ends it.
  bool rpc = item.content->header.kind == request_kind::rpc;
  if (sent_before.erase(key) > 0 && rpc) {
    settle_custody({settled_item{key, queue->name, item.content->header.expires_ms}});
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
  auto ended = std::make_shared<bool>(false);
  ledger::waiting_item outcome{{item.at.priority, seq}, key, nullptr, std::nullopt, 0};
  commit(
    [=](transaction& t) -> caf::error {
      auto result = ledger::end(t, key, status, detail, ref, seq);
      if (!result)
        return std::move(result.error());
      *ended = *result;
      return {};
    },
    [this, source, outcome, rpc, ended] {
      if (!rpc || !*ended)
        return;
      entered(source, outcome);
      announce_outcome(source, outcome);
    });
}

// -- towards a local service --------------------------------------------------------------------

void store_and_forward_state::dispatch(const queue_ptr& q) {
  std::vector<ledger::waiting_item> outcomes;
  std::vector<ledger::waiting_item> requests;
  while (!q->loaded.empty() && q->handed_over + requests.size() < config.local_in_flight_max
         && requests.size() < transmit_items_max) {
    auto i = q->loaded.begin();
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
  auto service = table->local.find(table->find_local(q->name));
  bool idempotent = service != table->local.end() && service->second.idempotent;
  auto kept = std::make_shared<std::vector<bool>>();
  auto shared = std::make_shared<std::vector<ledger::waiting_item>>(std::move(items));
  commit(
    [shared, kept, idempotent](transaction& t) -> caf::error {
      kept->clear();
      for (auto& item : *shared) {
        auto marked = ledger::dispatch(t, item.id, idempotent);
        if (!marked)
          return std::move(marked.error());
        kept->push_back(*marked);
      }
      return {};
    },
    [this, q, shared, kept] {
      std::vector<ledger::waiting_item> going;
      for (size_t i = 0; i < shared->size(); ++i) {
        auto& item = (*shared)[i];
        left(q, item);
        if ((*kept)[i])
          going.push_back(std::move(item));
      }
      hand_over(q, std::move(going));
      pump(q);
    },
    [this, q, shared](const caf::error&) {
      block(q, boot_ms() + config.retry_ms);
      for (auto& item : *shared)
        put_back(q, std::move(item));
    });
}

std::optional<store_and_forward_state::flight>
store_and_forward_state::take_handed_over(const std::string& id) {
  auto i = handed_over.find(id);
  if (i == handed_over.end())
    return std::nullopt;
  auto result = std::move(i->second);
  handed_over.erase(i);
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
    auto key = item.id;
    if (handed_over.emplace(key, flight{q, std::move(item)}).second)
      ++q->handed_over;
  }
  counts.dispatched->add(going.size());
  if (!going.empty())
    pass_to_edge(std::move(going));
}

void store_and_forward_state::announce_outcome(const queue_ptr& q, ledger::waiting_item item) {
  q->loaded.erase(item.at);
  q->in_flight.insert(item.at);
  auto key = item.id;
  auto id = ledger::id_of(key);
  auto notice = item.notice;
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
  self->request(config.store, caf::infinite, atom::read_v, std::move(step))
    .then(
      [this, found](atom::done) {
        if (*found)
          self->send(edge, atom::outcome_v, std::vector<outcome_notice>{std::move(**found)});
      },
      [this, id](const caf::error&) { undelivered_again({{id}}); });
}

} // namespace rvi
