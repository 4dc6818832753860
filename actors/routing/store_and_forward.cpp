// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/store_and_forward.hpp"

#include "messages/name.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>
#include <cassert>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";

constexpr const char* ended_before_receipt = "the node ended between hand-over and receipt";

} // namespace

// -- store --------------------------------------------------------------------------------------

void store_and_forward_state::commit(transaction_step step, std::function<void()> done,
                                     std::function<void(const caf::error&)> failed) {
  self->request(config.store, caf::infinite, atom::commit_v, std::move(step))
    .then([done = std::move(done)](atom::committed) { done(); },
          [failed = std::move(failed)](const caf::error& err) {
            log::error(component, "the store refused a step", {{"error", describe(err)}});
            if (failed)
              failed(err);
          });
}

void store_and_forward_state::commit_later(transaction_step step) {
  self->request(config.store, caf::infinite, atom::defer_v, std::move(step))
    .then([](atom::committed) {},
          [](const caf::error& err) {
            log::error(component, "the store refused a step", {{"error", describe(err)}});
          });
}

// -- start --------------------------------------------------------------------------------------

void store_and_forward_state::when_ready(std::function<void()> work) {
  if (ready)
    work();
  else
    waiting_for_ready.push_back(std::move(work));
}

void store_and_forward_state::recover() {
  auto found = std::make_shared<ledger::recovered>();
  auto due = std::make_shared<std::optional<uint64_t>>();
  commit(
    [found, due](transaction& t) -> caf::error {
      auto x = ledger::recover(t);
      if (!x)
        return std::move(x.error());
      auto first = ledger::next_due(t);
      if (!first)
        return std::move(first.error());
      *found = std::move(*x);
      *due = *first;
      return {};
    },
    [this, found, due] {
      next_due_ms = due->value_or(0);
      recovered(*found);
    },
    [this](const caf::error& err) { self->quit(err); });
}

void store_and_forward_state::recovered(const ledger::recovered& x) {
  next_seq = first_seq = x.next_seq;
  next_queue = x.next_queue;
  recover_incoming(x.partials);
  uint64_t items = 0;
  for (auto& found : x.queues) {
    auto q = std::make_shared<waiting_queue>();
    q->number = found.number;
    q->name = found.name;
    q->named = true;
    q->items = found.items;
    q->bytes = found.bytes;
    q->complete = false;
    q->latest_ms = clock->now_ms() + config.ttl_ms_max; // not read yet
    if (found.items == 0)
      may_forget(*q);
    classify(*q);
    if (!q->owner.name.empty())
      quotas->count(q->owner, found.items, found.bytes);
    queues.emplace(q->name, q);
    items += found.items;
    counts.waiting_bytes->add(static_cast<double>(found.bytes));
  }
  counts.waiting->set(static_cast<double>(items));
  dead = x.dead;
  counts.dead_letters_listed->set(static_cast<double>(dead));
  recover_in_memory();
  unknown_outcomes = x.dispatched;
  for (auto& [id, target] : x.awaiting) {
    awaiting[target].ids.insert(id);
    awaiting[target].latest_ms = clock->now_ms() + config.ttl_ms_max;
  }
  carried = x.carried;
  ways_back = {x.relayed.begin(), x.relayed.end()};
  if (items + unknown_outcomes.size() > 0)
    log::info(component, "recovered",
              {{"waiting", items}, {"handed_over", unknown_outcomes.size()}});
  ready = true;
  for (auto& work : std::exchange(waiting_for_ready, {}))
    work();
  if (edge)
    answer_unknown(std::exchange(unknown_outcomes, {}));
  routes_changed();
  arm();
}

/// What the former edge had in hand has no receipt any more: as after a crash of the node.
void store_and_forward_state::edge_restarted() {
  for (auto& [key, x] : std::exchange(handed_over, {})) {
    give_room(key);
    --x.queue->handed_over;
    if (!x.item.content)
      put_back(x.queue, std::move(x.item)); // an outcome is told again
  }
  auto found = std::make_shared<std::vector<std::string>>();
  commit(
    [found](transaction& t) -> caf::error {
      found->clear();
      return t.scan(table::dispatched, {}, transaction::no_limit,
                    [&](std::string_view key, std::string_view) {
                      found->emplace_back(key);
                      return true;
                    });
    },
    [this, found] { answer_unknown(*found); });
  answer_unknown(dispatched_in_memory(), true);
}

/// Promise 3: what was handed over before a crash is reported, run again only if it may be.
void store_and_forward_state::answer_unknown(const std::vector<std::string>& ids, bool in_memory) {
  if (ids.empty())
    return;
  struct split {
    batch rpcs;
    std::vector<std::pair<std::string, ledger::waiting_item>> held;
    batch dead;
  };
  auto found = std::make_shared<split>();
  auto step = [ids, found, in_memory, now = clock->now_ms()](transaction& t) -> caf::error {
    *found = {};
    for (auto& id : ids) {
      auto x = ledger::find(t, id);
      if (!x)
        return std::move(x.error());
      if (!*x || (*x)->state() != storage::DISPATCHED)
        continue;
      auto content = ledger::content(t, **x);
      if (!content)
        continue;
      caf::error err;
      if ((*x)->idempotent()) {
        auto position = ledger::position{static_cast<uint8_t>((*x)->priority()), (*x)->record()};
        found->held.push_back({(*x)->target(), ledger::item_of(position, id, *content)});
        continue;
      }
      if ((*content)->header.owes_outcome())
        found->rpcs.push_back(*content);
      if ((*content)->header.kind == request_kind::rpc)
        continue;
      if (!in_memory) {
        found->dead.push_back(*content);
        err = ledger::dead_letter(t, id, ended_before_receipt, now);
      } else if (!(*content)->header.report) {
        err = ledger::forget(t, id);
      }
      if (err)
        return err;
    }
    return {};
  };
  commit_in(in_memory, std::move(step), [this, found] {
    for (auto& x : found->dead)
      died(x->header.id, x->header.target, ended_before_receipt);
    if (!found->rpcs.empty())
      self->send(edge, atom::reply_v, std::move(found->rpcs));
    for (auto& [target, item] : found->held) {
      auto q = queue_for(target);
      try_again({q, std::move(item)});
    }
  });
}

// -- what services ask --------------------------------------------------------------------------

namespace {

/// One request on its way into the store.
struct entry {
  size_t index = 0; // in the batch asked for
  envelope_ptr content;
  store_and_forward_state::queue_ptr queue;
  ledger::queue_ref reference;
  uint64_t seq = 0;
  bool local = false;
  bool dispatch = false;
};

/// One of them must not overtake what is still on its way to the disk.
bool channelled(const std::vector<entry>& xs) {
  return std::any_of(xs.begin(), xs.end(),
                     [](auto& x) { return !x.content->header.channel.empty(); });
}

ledger::waiting_item item_of(const entry& x, std::string id) {
  ledger::position at{static_cast<uint8_t>(x.content->header.priority), x.seq};
  return ledger::item_of(at, std::move(id), x.content);
}

} // namespace

caf::result<std::vector<caf::error>> store_and_forward_state::schedule(batch x) {
  auto promise = self->make_response_promise<std::vector<caf::error>>();
  when_ready([this, promise, x = std::move(x)]() mutable {
    auto errors = std::make_shared<std::vector<caf::error>>(x.size());
    auto entries = std::make_shared<std::vector<entry>>();
    auto table = config.node->routing->load();
    bool in_memory = !x.empty() && x.front()->header.in_memory();
    std::map<waiting_queue*, uint64_t> dispatching;
    for (size_t i = 0; i < x.size(); ++i) {
      auto q = queue_for(x[i]->header);
      if (in_memory && !config.memory->has_room()) {
        (*errors)[i] = refused_at("memory", *q);
        continue;
      }
      if (auto limit = reserve(q, x[i]->size())) {
        (*errors)[i] = refused_at(limit, *q);
        continue;
      }
      auto to = table->resolve(x[i]->header.target);
      bool local = to.to == route::where::local;
      bool dispatch
        = local && edge && !to.service.empty() && q->items == 0
          && q->handed_over + dispatching[q.get()] < config.local_in_flight_max
          && (!is_large(*x[i]) || take_room(ledger::inbound_key(x[i]->header.id), x[i]->size(), q));
      if (dispatch)
        ++dispatching[q.get()];
      auto ref = reference(q);
      if (dispatch)
        ref.idempotent = table->local.find(to.service)->second.idempotent;
      entries->push_back({i, x[i], q, std::move(ref), next_seq++, local, dispatch});
      note_due(x[i]->header.expires_ms, in_memory);
      config.node->record(x[i]->header.id, 6, false, "schedule");
    }
    counts.in_memory->add(in_memory ? entries->size() : 0);
    auto step = [entries](transaction& t) -> caf::error {
      for (auto& e : *entries) {
        auto err = e.local ? ledger::accept_local(t, *e.content, e.reference, e.seq, e.dispatch)
                           : ledger::accept(t, *e.content, e.reference, e.seq);
        if (err)
          return err;
      }
      return {};
    };
    auto done = [this, promise, entries, errors]() mutable {
      promise.deliver(std::move(*errors));
      std::map<queue_ptr, std::vector<ledger::waiting_item>> dispatched;
      std::set<queue_ptr> touched;
      for (auto& e : *entries) {
        settle(e.queue, e.content->size());
        counts.accepted->add();
        config.node->record(e.content->header.id, 6, false,
                            e.content->header.in_memory() ? "kept in memory" : "stored");
        auto id = e.local ? ledger::inbound_key(e.content->header.id)
                          : ledger::originated_key(e.content->header.id);
        if (e.dispatch) {
          auto& item = dispatched[e.queue].emplace_back(item_of(e, std::move(id)));
          item.content = e.content; // whole
        } else {
          entered(e.queue, item_of(e, std::move(id)));
          touched.insert(e.queue);
        }
      }
      for (auto& [q, items] : dispatched)
        hand_over(q, std::move(items));
      for (auto& q : touched)
        pump(q);
    };
    auto failed = [this, promise, entries, errors](const caf::error& err) mutable {
      for (auto& e : *entries) {
        settle(e.queue, e.content->size());
        give_room(ledger::inbound_key(e.content->header.id));
      }
      for (auto& e : *errors)
        if (!e)
          e = err;
      promise.deliver(std::move(*errors));
    };
    if (in_memory && channelled(*entries))
      after_commits([this, step, done, failed] { commit_in(true, step, done, failed); });
    else
      commit_in(in_memory, std::move(step), std::move(done), std::move(failed));
  });
  return promise;
}

caf::result<std::vector<caf::error>> store_and_forward_state::reply(batch x) {
  auto promise = self->make_response_promise<std::vector<caf::error>>();
  when_ready([this, promise, x = std::move(x)]() mutable {
    auto errors = std::make_shared<std::vector<caf::error>>(x.size());
    auto entries = std::make_shared<std::vector<entry>>();
    for (size_t i = 0; i < x.size(); ++i) {
      bool local = x[i]->header.id.origin == config.node->uid;
      auto q = local ? queue_for(x[i]->header.target) : reply_queue_for(x[i]->header);
      entries->push_back({i, x[i], q, reference(q), next_seq++, local, false});
    }
    bool in_memory = !x.empty() && x.front()->header.in_memory();
    // A reply that is refused (its request has ended) must not stop the others.
    auto step = [entries, errors](transaction& t) -> caf::error {
      for (auto& e : *entries) {
        (*errors)[e.index] = e.local ? ledger::reply_local(t, *e.content, e.reference, e.seq)
                                     : ledger::reply(t, *e.content, e.reference, e.seq);
        auto code = code_of((*errors)[e.index]);
        if (code == ec::store_failed || code == ec::store_full)
          return (*errors)[e.index];
      }
      return {};
    };
    auto done = [this, promise, entries, errors, in_memory]() mutable {
      std::set<queue_ptr> touched;
      for (auto& e : *entries) {
        if ((*errors)[e.index])
          continue;
        config.node->record(e.content->header.id, 6, true, "stored");
        ways_back.erase(e.content->header.id);
        auto item = item_of(e, e.local ? ledger::originated_key(e.content->header.id)
                                       : ledger::inbound_key(e.content->header.id));
        if (e.local) {
          item.content = nullptr;
          item.bytes = 0;
          if (item.large_bytes == 0) // else it is read when it is told
            item.notice = ledger::notice_of_reply(*e.content);
          if (in_memory)
            forget_in_memory(ledger::inbound_key(e.content->header.id),
                             e.content->header.expires_ms);
          entered(e.queue, item);
          announce_outcome(e.queue, std::move(item));
        } else {
          entered(e.queue, std::move(item));
          touched.insert(e.queue);
        }
      }
      promise.deliver(std::move(*errors));
      for (auto& q : touched)
        pump(q);
    };
    auto failed = [promise, errors](const caf::error& err) mutable {
      for (auto& e : *errors)
        e = err;
      promise.deliver(std::move(*errors));
    };
    commit_in(in_memory, std::move(step), std::move(done), std::move(failed));
  });
  return promise;
}

caf::result<outcome_notice> store_and_forward_state::outcome(const transaction_id& id) {
  auto promise = self->make_response_promise<outcome_notice>();
  auto found = std::make_shared<std::optional<outcome_notice>>();
  transaction_step step = [found, id](transaction& t) -> caf::error {
    auto x = ledger::outcome(t, id);
    if (!x)
      return std::move(x.error());
    *found = std::move(*x);
    return {};
  };
  if (auto err = config.memory->run(step); !err && *found)
    return std::move(**found);
  self->request(config.store, caf::infinite, atom::read_v, std::move(step))
    .then(
      [promise, found](atom::done) mutable {
        if (*found)
          promise.deliver(std::move(**found));
        else
          promise.deliver(caf::make_error(ec::not_found, std::string{"no such transaction id"}));
      },
      [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

void store_and_forward_state::receipts(const std::vector<receipt>& xs) {
  std::set<queue_ptr> touched;
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
        commit_later([key](transaction& t) { return ledger::delivered(t, key); });
    } else if (x.what == receipt::status::taken) {
      auto& header = item.content->header;
      if (header.owes_outcome())
        continue; // its reply ends it
      if (item.in_memory)
        forget_in_memory(key, header.expires_ms);
      else
        commit_later([key](transaction& t) { return ledger::taken(t, key); });
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

// -- behaviour ----------------------------------------------------------------------------------

store_and_forward_actor::behavior_type
store_and_forward(store_and_forward_actor::stateful_pointer<store_and_forward_state> self,
                  store_and_forward_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  st.clock.emplace(st.config.node->time, st.config.skew_ms_max);
  auto& m = *st.config.node->metrics;
  auto count = [&m](const char* name, const char* help) { return &m.get_counter(name, help); };
  st.counts.accepted = count("rvi_requests_accepted_total", "Requests of local services kept.");
  st.counts.refused = count("rvi_requests_refused_total", "Requests refused at a bound.");
  st.counts.transmitted = count("rvi_envelopes_transmitted_total", "Envelopes sent to peers.");
  st.counts.received = count("rvi_envelopes_received_total", "Verified envelopes from peers.");
  st.counts.duplicates = count("rvi_duplicates_total", "Envelopes received again.");
  st.counts.late_replies = count("rvi_late_replies_total", "Replies after the outcome.");
  st.counts.dispatched = count("rvi_requests_dispatched_total", "Requests handed to services.");
  st.counts.expired = count("rvi_requests_expired_total", "Requests whose time was up.");
  st.counts.dead_letters = count("rvi_dead_letters_total", "Messages handed over without receipt.");
  st.counts.custody_timeouts
    = count("rvi_custody_timeouts_total", "Links closed because a peer gave no custody.");
  st.counts.carried = count("rvi_relayed_total", "Requests and replies kept for other nodes.");
  st.counts.carried_dropped
    = count("rvi_relayed_dropped_total", "Carried for others and refused or fallen on the way.");
  st.counts.entrusted = count("rvi_entrusted_total", "Own requests that a relay took.");
  st.counts.waiting = &m.get_gauge("rvi_queue_items", "What waits, on disk and in memory.");
  st.prepare_queues();
  st.prepare_fragments();
  self->set_down_handler([&st](const caf::down_msg& x) {
    auto i = st.links_by_address.find(x.source);
    if (i != st.links_by_address.end())
      st.link_down(i->second);
  });
  st.recover();
  if (st.config.authorization)
    self->send(st.config.authorization, atom::attach_v, store_and_forward_actor{self});
  return {
    [&st](atom::schedule, batch& x) { return st.schedule(std::move(x)); },
    [&st](atom::reply, batch& x) { return st.reply(std::move(x)); },
    [&st](atom::received, link_actor& link, uint64_t number, batch& x, custody_report& refused) {
      st.received(std::move(link), number, std::move(x), std::move(refused));
    },
    [&st](atom::custody, uint64_t link, const custody_report& x) { st.custody(link, x); },
    [&st](atom::fragment, const link_actor& link, uint64_t number, argument_fragment& x) {
      st.take_fragment(link, number, std::move(x));
    },
    [&st](atom::fragment, uint64_t link, const fragment_state& x) { st.transfer_state(link, x); },
    [&st](atom::credit, uint64_t link, const credit_grant& x) { st.credit(link, x); },
    [&st](atom::link_up, link_actor& handle, link_info& info) {
      st.link_up(std::move(handle), std::move(info));
    },
    [&st](atom::link_down, uint64_t link) { st.link_down(link); },
    [&st](atom::available, const std::string& service) { st.service_available(service); },
    [&st](atom::available) { st.when_ready([&st] { st.routes_changed(); }); },
    [&st](atom::receipt, const std::vector<receipt>& xs) { st.receipts(xs); },
    [&st](atom::invoke, const undelivered& x) { st.undelivered_again(x); },
    [&st](atom::outcome, const transaction_id& id) { return st.outcome(id); },
    [&st](atom::queue, const queue_call& x) { return st.administer(x); },
    [&st](atom::revoke) { st.rights_shrank(); },
    [&st](atom::status) { return st.status(); },
    [&st](atom::attach, service_edge_actor& edge) {
      bool anew = st.edge != nullptr;
      st.edge = std::move(edge);
      if (st.ready && anew)
        st.edge_restarted();
      else if (st.ready)
        st.answer_unknown(std::exchange(st.unknown_outcomes, {}));
      if (!anew)
        st.answer_unknown(st.dispatched_in_memory(), true);
      st.when_ready([&st] { st.pump_all(); });
    },
    [&st](atom::attach, data_link_actor& data_link) {
      st.data_link = std::move(data_link);
      if (st.ready)
        st.demand_anew();
    },
    [&st](atom::tick) { st.wake(); },
  };
}

} // namespace rvi
