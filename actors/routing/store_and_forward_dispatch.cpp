// SPDX-License-Identifier: MPL-2.0
//
// Store and forward towards local services: hand-over of requests and outcomes, and what services
// say of them.

#include "actors/routing/store_and_forward.hpp"
#include "messages/name.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr size_t dispatch_items_max = 512;

/// One step for all of them: a message to the store for each would cost more than the change.
transaction_step
each_of(std::vector<std::string> keys, caf::error (*change)(transaction&, std::string_view)) {
  return [keys = std::move(keys), change](transaction& t) -> caf::error {
    for (auto& key : keys) {
      auto err = change(t, key);
      auto code = code_of(err);
      if (code == ec::store_failed || code == ec::store_full)
        return err;
      // Else its record has gone meanwhile, and the others must not wait for it.
    }
    return {};
  };
}

} // namespace

void store_and_forward_state::dispatch(const queue_ptr& q) {
  std::vector<ledger::waiting_item> outcomes;
  std::vector<ledger::waiting_item> requests;
  uint64_t bytes = 0;
  while (!q->loaded.empty() && may_hand_over(*q, requests.size() + 1, bytes)
         && requests.size() < dispatch_items_max) {
    auto i = q->loaded.begin();
    if (i->second.content && !take_room(i->second.id, i->second.large_bytes, q))
      break;
    q->in_flight.insert(i->first);
    bytes += bytes_in_hand(i->second);
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
  uint64_t bytes = 0;
  for (auto& item : *shared)
    bytes += bytes_in_hand(item);
  auto marked = [q, count = shared->size(), bytes] {
    q->marking -= count;
    q->marking_bytes -= bytes;
  };
  auto done = [this, q, shared, kept, mark, marked] {
    marked();
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
  auto failed = [this, q, shared, marked](const caf::error&) {
    marked();
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
  q->marking += shared->size();
  q->marking_bytes += bytes;
  if (durable)
    commit([mark](transaction& t) { return mark(t, false); }, std::move(done), std::move(failed));
  else
    done();
}

void store_and_forward_state::await_receipt(flight x) {
  auto q = x.queue;
  auto bytes = bytes_in_hand(x.item);
  if (!handed_over.emplace(x.item.id, std::move(x)).second)
    return;
  ++q->handed_over;
  q->handed_over_bytes += bytes;
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
  result.queue->handed_over_bytes -= bytes_in_hand(result.item);
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
    await_receipt({q, std::move(item)});
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
  auto id = ledger::id_of(item.id);
  auto notice = item.notice;
  bool in_memory = item.in_memory;
  await_receipt({q, std::move(item)});
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

void store_and_forward_state::receipts(const std::vector<receipt>& xs) {
  queue_set touched;
  std::vector<std::string> told; // outcomes that their services have
  std::vector<std::string> done; // messages that theirs have
  for (auto& x : xs) {
    auto key = x.outcome ? ledger::originated_key(x.id) : ledger::inbound_key(x.id);
    auto taken = take_handed_over(key);
    if (!taken)
      continue;
    auto [queue, item, relay, sent_ms] = std::move(*taken);
    touched.insert(queue);
    if (x.outcome) {
      if (x.what == receipt::status::lost) {
        queue->in_flight.erase(item.at);
        queue->stalled = true;
        put_back(queue, std::move(item));
        continue;
      }
      left(queue, item);
      if (item.in_memory)
        forget_in_memory(key, 0);
      else
        told.push_back(std::move(key));
    } else if (x.what == receipt::status::taken) {
      auto& header = item.content->header;
      if (header.owes_outcome())
        continue; // its reply ends it
      if (item.in_memory)
        forget_in_memory(key, header.expires_ms);
      else
        done.push_back(std::move(key));
    } else if (x.what == receipt::status::lost) {
      auto table = config.node->routing->load();
      auto service = table->local.find(table->find_local(queue->target));
      queue->stalled = true; // now: its service may be back before the step below is done
      if (x.untouched) {
        hold_again({queue, std::move(item)});
      } else if (service != table->local.end() && service->second.idempotent) {
        try_again({queue, std::move(item)});
      } else {
        auto& header = item.content->header;
        if (header.report && edge)
          self->send(edge, atom::reply_v, batch{item.content});
        service_refused({queue, item}, "the service's connection ended before its receipt");
      }
    } else {
      service_refused({queue, item}, "refused by the service: " + x.error.substr(0, 256));
    }
  }
  if (!told.empty())
    commit_later(each_of(std::move(told), ledger::delivered));
  if (!done.empty())
    commit_later(each_of(std::move(done), ledger::taken));
  for (auto& q : touched)
    pump(q);
  pump_waiting_for_room();
}

void store_and_forward_state::undelivered_again(const undelivered& x) {
  for (auto& id : x.ids) {
    if (auto outcome = take_handed_over(ledger::originated_key(id))) {
      outcome->queue->stalled = true;
      put_back(outcome->queue, std::move(outcome->item));
      continue;
    }
    auto key = ledger::inbound_key(id);
    auto request = take_handed_over(key);
    if (!request)
      continue;
    request->queue->stalled = true;
    hold_again(std::move(*request));
  }
  pump_waiting_for_room();
}

void store_and_forward_state::hold_again(flight x) {
  auto in_memory = x.item.in_memory;
  auto step = [key = x.item.id, ref = reference(x.queue)](transaction& t) {
    return ledger::hold_again(t, key, ref);
  };
  commit_in(in_memory, std::move(step), [this, x = std::move(x)] {
    entered(x.queue, x.item);
    pump(x.queue); // its service may have come back meanwhile
  });
}

void store_and_forward_state::service_available(const std::string& service) {
  when_ready([this, service] {
    for (auto& [name, q] : queues)
      if (!q->reply_to && is_below(name, service))
        q->stalled = false;
    pump_all();
  });
}

} // namespace rvi
