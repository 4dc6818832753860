// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/store_and_forward.hpp"

#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";

} // namespace

void audit_refusal(const request_header& x, const caf::error& why) {
  audit::refused(x.is_reply() ? "reply from a peer" : "request from a peer", why,
                 {{"id", to_string(x.id)}, {"source", x.source}, {"target", x.target}});
}

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

/// An id that a service used before must not stop the others.
caf::error
accept_all(transaction& t, const std::vector<entry>& xs, std::vector<caf::error>& errors) {
  for (auto& e : xs) {
    auto& x = *e.content;
    // Of requests in memory the edge alone remembers the ids.
    auto used = x.claim && !x.header.in_memory() ? ledger::claim(t, *x.claim) : caf::error{};
    if (used && code_of(used) != ec::replay)
      return used;
    errors[e.index] = used;
    if (used)
      continue;
    auto err = e.local ? ledger::accept_local(t, x, e.reference, e.seq, e.dispatch)
                       : ledger::accept(t, x, e.reference, e.seq);
    if (err)
      return err;
  }
  return {};
}

} // namespace

caf::result<std::vector<caf::error>> store_and_forward_state::schedule(batch x) {
  auto promise = self->make_response_promise<std::vector<caf::error>>();
  when_ready([this, promise, x = std::move(x)]() mutable {
    auto errors = std::make_shared<std::vector<caf::error>>(x.size());
    auto entries = std::make_shared<std::vector<entry>>();
    auto table = config.node->routing->load();
    bool in_memory = !x.empty() && x.front()->header.in_memory();
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
        = local && !to.service.empty() && may_skip_queue(*q)
          && (!is_large(*x[i]) || take_room(ledger::inbound_key(x[i]->header.id), x[i]->size(), q));
      if (dispatch)
        ++q->marking;
      auto ref = reference(q);
      if (dispatch)
        ref.idempotent = table->local.find(to.service)->second.idempotent;
      entries->push_back({i, x[i], q, std::move(ref), next_seq++, local, dispatch});
      note_due(x[i]->header.expires_ms, in_memory);
      config.node->record(x[i]->header.id, 6, false, "schedule");
    }
    counts.in_memory->add(in_memory ? entries->size() : 0);
    auto step = [entries, errors](transaction& t) { return accept_all(t, *entries, *errors); };
    auto not_kept = [this](const entry& e) {
      settle(e.queue, e.content->size());
      if (e.dispatch)
        --e.queue->marking;
      give_room(ledger::inbound_key(e.content->header.id));
    };
    auto done = [this, promise, entries, errors, not_kept]() mutable {
      auto fates = *errors;
      promise.deliver(std::move(*errors));
      queue_map<std::vector<ledger::waiting_item>> dispatched;
      queue_set touched;
      for (auto& e : *entries) {
        if (fates[e.index]) {
          not_kept(e);
          continue;
        }
        settle(e.queue, e.content->size());
        counts.accepted->add();
        config.node->record(e.content->header.id, 6, false,
                            e.content->header.in_memory() ? "kept in memory" : "stored");
        auto id = e.local ? ledger::inbound_key(e.content->header.id)
                          : ledger::originated_key(e.content->header.id);
        touched.insert(e.queue);
        if (e.dispatch) {
          --e.queue->marking;
          auto& item = dispatched[e.queue].emplace_back(item_of(e, std::move(id)));
          item.content = e.content; // whole
        } else {
          entered(e.queue, item_of(e, std::move(id)));
        }
      }
      for (auto& [q, items] : dispatched)
        hand_over(q, std::move(items));
      for (auto& q : touched)
        pump(q);
    };
    auto failed = [promise, entries, errors, not_kept](const caf::error& err) mutable {
      for (auto& e : *entries)
        not_kept(e);
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
    auto rights = config.node->rights->load();
    auto errors = std::make_shared<std::vector<caf::error>>(x.size());
    auto entries = std::make_shared<std::vector<entry>>();
    for (size_t i = 0; i < x.size(); ++i) {
      auto& origin = x[i]->header.id.origin;
      bool local = origin == config.node->uid || rights->is_own(origin);
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
      queue_set touched;
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
