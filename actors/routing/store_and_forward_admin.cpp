// SPDX-License-Identifier: MPL-2.0
//
// Bounds of the queues, dead letters, and what administrators ask of both.

#include "actors/routing/ledger_pieces.hpp"
#include "actors/routing/queue_listing.hpp"
#include "actors/routing/store_and_forward.hpp"
#include "messages/name.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";
constexpr const char* dropped_by_hand = "dropped by an administrator";

std::string error_object(ec code, std::string_view message) {
  json::writer text;
  text.begin_object().member("code", to_string(code)).member("message", message).end_object();
  return text.take();
}

} // namespace

// -- bounds ---------------------------------------------------------------------------------------

void store_and_forward_state::prepare_queues() {
  if (!config.memory)
    config.memory
      = std::make_shared<memory_requests>(config.node->time->wall_ms(), memory_limits{});
  quotas.emplace(config.quotas);
  auto& m = *config.node->metrics;
  counts.waiting_bytes = &m.get_gauge("rvi_queue_bytes", "Bytes of what waits.");
  counts.dead_letters_listed = &m.get_gauge("rvi_dead_letters", "Dead letters listed.");
  counts.dead_letters_dropped
    = &m.get_counter("rvi_dead_letters_dropped_total", "The oldest, gone at the bound.");
  counts.in_memory
    = &m.get_counter("rvi_requests_in_memory_total", "Requests of durability none kept.");
  counts.memory_items = &m.get_gauge("rvi_memory_items", "Open requests of durability none.");
  counts.memory_bytes = &m.get_gauge("rvi_memory_bytes", "What they take in memory.");
}

void store_and_forward_state::assign_owner(waiting_queue& q) const {
  if (!type_of(q.target))
    return; // replies and outcomes are never refused
  auto& node = *config.node;
  if (is_below(q.target, node.node_address)) {
    q.owner = {service_of_name(q.target, node.node_address, node.service_infix), true};
    return;
  }
  auto to = node.routing->load()->resolve(q.target);
  q.owner = {to.node ? to.node->address : node_of_name(q.target, "services"), false};
}

caf::error store_and_forward_state::refused_at(const char* limit, const waiting_queue& q) {
  counts.refused->add();
  auto& count = counts.refused_at[limit]; // `limit` is a literal
  if (!count)
    count = &config.node->metrics->get_counter(
      "rvi_queue_refusals_total", "Requests answered busy, by the limit.", {{"limit", limit}});
  count->add();
  std::string what{limit};
  if (what == "node" || what == "service")
    return caf::make_error(ec::busy, "too much waits for " + what + " " + q.owner.name);
  if (what == "memory")
    return caf::make_error(ec::busy, std::string{"too much of durability none is in memory"});
  return caf::make_error(ec::busy, "too much waits for " + q.target);
}

// -- dead letters --------------------------------------------------------------------------------

void store_and_forward_state::died(const transaction_id& id, const std::string& target,
                                   std::string_view why, uint64_t count) {
  counts.dead_letters->add(count);
  dead += count;
  config.node->record(id, 20, false, "dead letter: " + std::string{why.substr(0, 256)});
  log::warning(component, "a dead letter; see rvi queue list --dead",
               {{"id", to_string(id)}, {"target", target}, {"why", why.substr(0, 256)}});
  if (dead > config.dead_letters_max) {
    auto over = dead - config.dead_letters_max;
    dead -= over;
    counts.dead_letters_dropped->add(over);
    commit_later(
      [over, now = clock->now_ms()](transaction& t) { return ledger::bury_oldest(t, over, now); });
  }
  counts.dead_letters_listed->set(double(dead));
}

void store_and_forward_state::service_refused(const flight& x, const std::string& why) {
  auto& header = x.item.content->header;
  if (header.kind != request_kind::message)
    return; // its reply or its timeout ends it
  auto key = x.item.id;
  if (x.item.in_memory) {
    counts.dead_letters->add();
    log::warning(component, "a message in memory was lost",
                 {{"id", to_string(header.id)}, {"target", header.target}, {"why", why}});
    if (!header.report)
      forget_in_memory(key, header.expires_ms);
    return;
  }
  commit_later([key, why, now = clock->now_ms()](transaction& t) {
    return ledger::dead_letter(t, key, why, now);
  });
  died(header.id, header.target, why);
}

void store_and_forward_state::try_again(flight x) {
  auto attempts = std::make_shared<uint32_t>(0);
  auto in_memory = x.item.in_memory;
  auto step = [attempts, key = x.item.id, ref = reference(x.queue),
               most = config.delivery_attempts_max](transaction& t) -> caf::error {
    auto n = ledger::refused_again(t, key);
    if (!n)
      return std::move(n.error());
    *attempts = *n;
    return *n < most ? ledger::hold_again(t, key, ref) : caf::error{};
  };
  commit_in(in_memory, std::move(step), [this, x = std::move(x), attempts] {
    if (*attempts < config.delivery_attempts_max) {
      entered(x.queue, x.item);
      pump(x.queue);
      return;
    }
    auto& header = x.item.content->header;
    auto why = "its service ended " + std::to_string(*attempts) + " times while it had it";
    log::warning(component, "given up", {{"id", to_string(header.id)}, {"why", why}});
    if (header.owes_outcome() && edge)
      self->send(edge, atom::reply_v, batch{x.item.content});
    service_refused(x, why);
  });
}

// -- administrators -----------------------------------------------------------------------------

caf::result<queue_answer> store_and_forward_state::administer(const queue_call& x) {
  if (!ready)
    return caf::make_error(ec::busy, std::string{"the store is being read"});
  switch (x.what) {
    case queue_call::action::list:
      return list_queue(x);
    case queue_call::action::show:
      return show_queued(*x.id);
    case queue_call::action::drop:
      return drop_queued(x);
    case queue_call::action::requeue:
      return requeue(*x.id);
  }
  return caf::make_error(ec::bad_request);
}

caf::result<queue_answer> store_and_forward_state::list_queue(const queue_call& x) {
  queue_listing::page asked;
  asked.dead = x.dead;
  asked.items_max = x.limit;
  asked.pattern = x.pattern;
  if (!asked.start_after(x.after))
    return caf::make_error(ec::bad_request, std::string{"after: no cursor of this list"});
  for (auto& [name, q] : queues)
    if (x.pattern.empty() || queue_listing::wanted(x.pattern, q->target))
      asked.queues[q->number] = name;
  auto promise = self->make_response_promise<queue_answer>();
  auto page = std::make_shared<queue_listing::page>(std::move(asked));
  auto deliver = [this, promise, page]() mutable {
    // What is in memory comes last.
    if (page->items.size() < page->items_max && !page->dead) {
      page->in_memory = true;
      (void)config.memory->run([&](transaction& t) { return queue_listing::read(t, *page); });
    }
    if (!page->in_memory && !page->more && !page->dead && config.memory->items() > 0) {
      page->in_memory = page->more = true; // the next page begins with them
      page->from.assign(4, '\0');
    }
    promise.deliver(queue_answer{page->to_json(), nullptr, {}});
  };
  if (page->in_memory) {
    deliver();
    return promise;
  }
  transaction_step step = [page, first = *page](transaction& t) {
    *page = first;
    return queue_listing::read(t, *page);
  };
  self->request(config.store, caf::infinite, atom::read_v, std::move(step))
    .then([deliver](atom::done) mutable { deliver(); },
          [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

caf::result<queue_answer> store_and_forward_state::show_queued(const transaction_id& id) {
  auto found = std::make_shared<std::vector<std::string>>();
  transaction_step step = [found, id](transaction& t) -> caf::error {
    found->clear();
    return queue_listing::show(t, id, *found);
  };
  if (auto err = config.memory->run(step); !err && !found->empty())
    return queue_answer{queue_listing::as_list(*found), nullptr, {}};
  auto promise = self->make_response_promise<queue_answer>();
  self->request(config.store, caf::infinite, atom::read_v, std::move(step))
    .then(
      [promise, found](atom::done) mutable {
        if (found->empty())
          promise.deliver(
            caf::make_error(ec::not_found, std::string{"no such transaction id here"}));
        else
          promise.deliver(queue_answer{queue_listing::as_list(*found), nullptr, {}});
      },
      [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

/// Requests that an administrator drops: first what there is, then, with places for the outcomes,
/// their ends.
struct store_and_forward_state::dropping {
  struct item {
    std::string key;
    queue_ptr source;
    ledger::queue_ref reference;
    uint64_t seq = 0;
    bool may_have_left = false;
    // Set by the step:
    bool ended = false;
    bool buried = false;
    bool told = false; // its sender hears of it
    uint8_t priority = 0;
    uint64_t expires_ms = 0;
    std::string target = {};
    ledger::queue_place left = {};
    envelope_ptr content = nullptr; // to be run here
    bool inbound() const { return key.back() == 'i'; }
  };
  caf::typed_response_promise<queue_answer> promise;
  queue_listing::page page;
  std::vector<due_request> found;
  std::vector<item> items;
  bool more = false;

  static caf::error end(transaction& t, item& x, uint64_t now);
};

caf::error store_and_forward_state::dropping::end(transaction& t, item& x, uint64_t now) {
  x.ended = x.buried = false;
  auto record = ledger::find(t, x.key);
  if (!record)
    return std::move(record.error());
  if (!*record)
    return {};
  if ((*record)->state() == storage::DEAD) {
    auto buried = ledger::bury(t, x.key, now);
    if (!buried)
      return std::move(buried.error());
    x.buried = *buried;
    return {};
  }
  x.left = ledger::place(t, **record);
  if (ledger::is_carried(x.key)) { // its originator has its own copy
    auto dropped = ledger::drop_carried(t, x.key);
    if (!dropped)
      return std::move(dropped.error());
    x.ended = *dropped;
    return {};
  }
  auto content = ledger::content(t, **record);
  x.content = content ? *content : nullptr;
  x.told = (*record)->kind() == static_cast<uint32_t>(request_kind::rpc) || (*record)->report();
  x.priority = static_cast<uint8_t>((*record)->priority());
  x.expires_ms = (*record)->expires_ms();
  x.target = (*record)->target();
  auto code = x.may_have_left || (*record)->dispatched() ? ec::outcome_unknown : ec::refused;
  auto ended = x.inbound() ? ledger::withdraw(t, x.key)
                           : ledger::end(t, x.key, to_string(code),
                                         error_object(code, dropped_by_hand), x.reference, x.seq);
  if (!ended)
    return std::move(ended.error());
  x.ended = *ended;
  return {};
}

caf::result<queue_answer> store_and_forward_state::drop_queued(const queue_call& x) {
  auto work = std::make_shared<dropping>();
  work->promise = self->make_response_promise<queue_answer>();
  work->page.items_max = x.limit;
  work->page.pattern = x.pattern;
  if (!x.id)
    for (auto& [name, q] : queues)
      if (type_of(q->target) && queue_listing::wanted(x.pattern, q->target))
        work->page.queues[q->number] = name;
  transaction_step look = [work, id = x.id, first = work->page](transaction& t) {
    work->found.clear();
    work->page = first;
    return queue_listing::find(t, id, work->page, work->found, work->more);
  };
  if (auto err = config.memory->run(look); !err && !work->found.empty()) {
    work->more = true; // there may be more on disk
    drop(work, true);
    return work->promise;
  }
  self->request(config.store, caf::infinite, atom::read_v, std::move(look))
    .then(
      [this, work, one = x.id.has_value()](atom::done) {
        if (work->found.empty() && one)
          work->promise.deliver(
            caf::make_error(ec::not_found, std::string{"no such transaction id here"}));
        else
          drop(work, false);
      },
      [work](caf::error& err) { work->promise.deliver(std::move(err)); });
  return work->promise;
}

void store_and_forward_state::drop(const std::shared_ptr<dropping>& work, bool in_memory) {
  for (auto& e : work->found) {
    auto q = queue_for(e.source);
    work->items.push_back({e.id, q, reference(q), next_seq++, may_have_left(e.id)});
  }
  auto step = [work, now = clock->now_ms()](transaction& t) -> caf::error {
    for (auto& e : work->items)
      if (auto err = dropping::end(t, e, now))
        return err;
    return {};
  };
  commit_in(
    in_memory, std::move(step), [this, work, in_memory] { dropped(*work, in_memory); },
    [work](const caf::error& err) { work->promise.deliver(err); });
}

void store_and_forward_state::dropped(dropping& x, bool in_memory) {
  uint64_t count = 0;
  batch refused;
  for (auto& e : x.items) {
    if (e.buried && dead > 0)
      counts.dead_letters_listed->set(double(--dead));
    count += e.ended || e.buried ? 1 : 0;
    if (!e.ended)
      continue;
    auto id = ledger::id_of(e.key);
    gone(id, e.left);
    config.node->record(id, 20, false, dropped_by_hand);
    if (ledger::is_carried(e.key)) {
      counts.carried_dropped->add();
      carried_forgotten(id);
      continue;
    }
    if (e.inbound() && e.told && e.content)
      refused.push_back(e.content);
    else if (in_memory && !e.told)
      forget_in_memory(e.key, e.inbound() ? e.expires_ms : 0);
    if (e.inbound() || !e.told)
      continue;
    ended(e.target, id);
    ledger::waiting_item outcome{{e.priority, e.seq}, e.key, nullptr, std::nullopt, 0, in_memory};
    entered(e.source, outcome);
    announce_outcome(e.source, std::move(outcome));
  }
  if (count == 0 && x.items.size() == 1) {
    x.promise.deliver(caf::make_error(ec::not_found, std::string{"it does not wait here"}));
    return;
  }
  json::writer out;
  out.begin_object().member("dropped", count).member("more", x.more).end_object();
  x.promise.deliver(queue_answer{out.take(), nullptr, std::move(refused)});
}

caf::result<queue_answer> store_and_forward_state::requeue(const transaction_id& id) {
  struct revival {
    envelope_ptr made_here;
    envelope_ptr content;
    ledger::position at;
  };
  auto found = std::make_shared<revival>();
  auto promise = self->make_response_promise<queue_answer>();
  transaction_step look = [found, id](transaction& t) -> caf::error {
    *found = {};
    for (auto& key : {ledger::originated_key(id), ledger::inbound_key(id)}) {
      auto x = ledger::find(t, key);
      if (!x)
        return std::move(x.error());
      if (!*x || (*x)->state() != storage::DEAD)
        continue;
      auto content = ledger::content(t, **x);
      if (content && key.back() == 'o') // the new request is made of it
        content = ledger::with_arguments(t, (*x)->record(), *content);
      if (!content)
        return std::move(content.error());
      (key.back() == 'o' ? found->made_here : found->content) = *content;
      found->at = {static_cast<uint8_t>((*x)->priority()), (*x)->record()};
      return {};
    }
    return caf::make_error(ec::not_found, std::string{"no dead letter has this id"});
  };
  auto revive = [this, found, promise, id]() mutable {
    if (found->made_here) {
      promise.deliver(queue_answer{{}, found->made_here, {}});
      return;
    }
    auto key = ledger::inbound_key(id);
    auto q = queue_for(found->content->header.target);
    auto revived = std::make_shared<envelope_ptr>();
    auto step = [key, ref = reference(q), revived, now = clock->now_ms()](transaction& t) {
      if (auto err = ledger::revive(t, key, ref, now))
        return err;
      auto x = ledger::find(t, key);
      auto content = x && *x ? ledger::content(t, **x) : expected<envelope_ptr>{ec::not_found};
      if (!content)
        return std::move(content.error());
      *revived = *content;
      return caf::error{};
    };
    auto done = [this, q, key, revived, found, promise, id]() mutable {
      if (dead > 0)
        counts.dead_letters_listed->set(double(--dead));
      note_due((*revived)->header.expires_ms);
      config.node->record(id, 6, false, "requeued by an administrator");
      entered(q, ledger::item_of(found->at, key, *revived));
      pump(q);
      json::writer out;
      out.begin_object().member("transaction_id", to_string(id)).end_object();
      promise.deliver(queue_answer{out.take(), nullptr, {}});
    };
    commit(step, std::move(done),
           [promise](const caf::error& err) mutable { promise.deliver(err); });
  };
  self->request(config.store, caf::infinite, atom::read_v, std::move(look))
    .then([revive](atom::done) mutable { revive(); },
          [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

} // namespace rvi
