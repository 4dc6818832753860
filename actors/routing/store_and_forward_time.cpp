// SPDX-License-Identifier: MPL-2.0
//
// What store and forward does when time passes (HLD 13.1). It sleeps until the earliest of its
// deadlines; with nothing due it is never woken.

#include "actors/routing/store_and_forward.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>
#include <utility>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";
constexpr size_t expire_items_max = 1'024;
constexpr uint64_t forget_after_ms = 1'000;
constexpr uint64_t clock_moved_ms = 1'000; // further than that and deadlines are looked at again

} // namespace

void store_and_forward_state::wake() {
  timer.fired();
  auto before = clock->now_ms();
  if (clock->follow_wall())
    log::warning(component, "the wall clock jumped; requests keep their own time");
  if (!ready)
    return;
  auto after = clock->now_ms();
  auto now = boot_ms();
  while (!blocked.empty() && blocked.begin()->first <= now) {
    auto [until, name] = *blocked.begin();
    blocked.erase(blocked.begin());
    auto q = queues.find(name);
    if (q == queues.end())
      continue;
    bool all = q->second->blocked_until_ms == until;
    if (!all && q->second->large_blocked_until_ms != until)
      continue;
    (all ? q->second->blocked_until_ms : q->second->large_blocked_until_ms) = 0;
    pump(queue_ptr{q->second});
  }
  check_custody();
  expire_incoming();
  if (forget_ms != 0 && forget_ms <= now)
    forget_idle();
  if (next_due_ms != 0 && next_due_ms <= after && expire_again_ms <= now)
    expire_due();
  if (memory_due_ms != 0 && memory_due_ms <= after)
    expire_in_memory();
  if (std::max(before, after) - std::min(before, after) >= clock_moved_ms)
    routes_changed(); // what waits may need its links for longer
  arm();
}

void store_and_forward_state::arm() {
  auto now = boot_ms();
  auto next = UINT64_MAX;
  if (next_due_ms != 0 && !expiring && ready) {
    auto own = clock->now_ms();
    auto left = next_due_ms > own ? next_due_ms - own : 0;
    next = std::max(now + left, expire_again_ms);
  }
  if (memory_due_ms != 0 && ready) {
    auto own = clock->now_ms();
    next = std::min(next, now + (memory_due_ms > own ? memory_due_ms - own : 0));
  }
  if (!incoming_due.empty() && ready) {
    auto own = clock->now_ms();
    auto due = incoming_due.begin()->first;
    next = std::min(next, now + (due > own ? due - own : 0));
  }
  if (!blocked.empty())
    next = std::min(next, blocked.begin()->first);
  if (!custody_due.empty())
    next = std::min(next, custody_due.begin()->first);
  if (forget_ms != 0)
    next = std::min(next, forget_ms);
  if (next != UINT64_MAX)
    timer.arm(self, now, next);
}

void store_and_forward_state::note_due(uint64_t expires_ms, bool in_memory) {
  auto sooner = [expires_ms](uint64_t x) { return x == 0 ? expires_ms : std::min(x, expires_ms); };
  if (in_memory) {
    if (auto before = std::exchange(memory_due_ms, sooner(memory_due_ms)); memory_due_ms != before)
      arm();
    return;
  }
  if (expiring)
    due_while_expiring_ms = sooner(due_while_expiring_ms);
  auto before = std::exchange(next_due_ms, sooner(next_due_ms));
  if (next_due_ms != before || next_due_ms <= clock->now_ms())
    arm(); // the latter after the machine has slept
}

void store_and_forward_state::block(const queue_ptr& q, uint64_t until_ms) {
  blocked.erase({q->blocked_until_ms, q->name});
  q->blocked_until_ms = until_ms;
  blocked.emplace(until_ms, q->name);
  arm();
}

// -- queues nobody needs ------------------------------------------------------------------------

void store_and_forward_state::may_forget(const waiting_queue& q) {
  emptied.insert(q.name);
  if (forget_ms != 0)
    return;
  forget_ms = boot_ms() + forget_after_ms;
  arm();
}

void store_and_forward_state::forget_idle() {
  forget_ms = 0;
  std::vector<uint32_t> numbers;
  std::erase_if(emptied, [&](auto& name) {
    auto i = queues.find(name);
    if (i == queues.end() || i->second->items > 0 || i->second->handed_over > 0)
      return true; // it comes here again when it is empty
    auto& q = *i->second;
    if (!q.in_flight.empty() || q.loading || i->second.use_count() > 1)
      return false; // the store is still at it
    if (q.named)
      numbers.push_back(q.number);
    blocked.erase({q.blocked_until_ms, name});
    queues.erase(i);
    return true;
  });
  if (!numbers.empty())
    commit_later([numbers](transaction& t) { return ledger::forget_queues(t, numbers); });
  if (!emptied.empty())
    forget_ms = boot_ms() + forget_after_ms;
}

// -- requests whose time is up ------------------------------------------------------------------

void store_and_forward_state::expire_due() {
  if (expiring)
    return;
  expiring = true;
  due_while_expiring_ms = 0;
  auto found = std::make_shared<std::vector<due_request>>();
  auto next = std::make_shared<std::optional<uint64_t>>();
  transaction_step step = [found, next, now = clock->now_ms()](transaction& t) -> caf::error {
    found->clear();
    auto ids = ledger::due(t, now, expire_items_max);
    if (!ids)
      return std::move(ids.error());
    for (auto& id : *ids) {
      auto x = ledger::find(t, id);
      if (!x)
        return std::move(x.error());
      if (*x)
        found->push_back({id, (*x)->source()});
    }
    auto first = ledger::next_due(t);
    if (!first)
      return std::move(first.error());
    *next = *first;
    return {};
  };
  self->request(config.store, caf::infinite, atom::read_v, std::move(step))
    .then(
      [this, found, next](atom::done) {
        if (!found->empty())
          return expire(*found);
        expire_again_ms = boot_ms() + config.retry_ms; // what is due then has no record
        expired(next->value_or(0));
      },
      [this](const caf::error&) { expiry_failed(); });
}

void store_and_forward_state::expired(uint64_t next_ms) {
  expiring = false;
  next_due_ms = next_ms;
  if (due_while_expiring_ms != 0)
    note_due(due_while_expiring_ms);
  arm();
}

void store_and_forward_state::expiry_failed() {
  expiring = false;
  expire_again_ms = boot_ms() + config.retry_ms;
  arm();
}

void store_and_forward_state::expire(const std::vector<due_request>& xs, bool in_memory) {
  struct work {
    std::string id;
    queue_ptr source;
    ledger::queue_ref reference;
    uint64_t seq = 0;
    uint64_t unsent_from = 0;
    ledger::expired_item result;
  };
  auto items = std::make_shared<std::vector<work>>();
  for (auto& x : xs) {
    auto q = queue_for(x.source);
    auto unsent_from = may_have_left(x.id) ? UINT64_MAX : first_seq;
    items->push_back({x.id, q, reference(q), next_seq++, unsent_from, {}});
  }
  auto next = std::make_shared<std::optional<uint64_t>>();
  auto step = [items, next, now = clock->now_ms()](transaction& t) -> caf::error {
    for (auto& x : *items) {
      auto result = ledger::expire(t, x.id, now, x.reference, x.seq, x.unsent_from);
      if (!result && code_of(result.error()) != ec::not_found)
        return std::move(result.error());
      if (result)
        x.result = std::move(*result);
    }
    auto first = ledger::next_due(t);
    if (!first)
      return std::move(first.error());
    *next = *first;
    return {};
  };
  auto done = [this, items, next, in_memory] {
    for (auto& x : *items) {
      auto id = ledger::id_of(x.id);
      if (x.result.forgotten)
        carried_forgotten(id);
      ways_back.erase(id);
      gone(id, x.result.left);
      ended(x.result.target, id);
      if (auto late = take_handed_over(x.id); late && late->item.content)
        pump(late->queue);
      if (x.result.buried && dead > 0)
        counts.dead_letters_listed->set(double(--dead));
      if (x.result.died && !in_memory)
        died(id, x.result.target, "handed over, never confirmed");
      if (in_memory && !x.result.notify)
        forget_in_memory(x.id, 0);
      if (x.result.notify) {
        counts.expired->add();
        config.node->record(id, 20, true, "timeout");
        ledger::waiting_item outcome{
          {x.result.priority, x.seq}, x.id, nullptr, std::nullopt, 0, in_memory};
        entered(x.source, outcome);
        announce_outcome(x.source, std::move(outcome));
      }
    }
    pump_waiting_for_room();
    if (in_memory)
      memory_due_ms = next->value_or(0);
    else
      expired(next->value_or(0));
  };
  commit_in(in_memory, std::move(step), std::move(done), [this, in_memory](const caf::error&) {
    if (in_memory)
      memory_due_ms = clock->now_ms() + config.retry_ms;
    else
      expiry_failed();
  });
}

} // namespace rvi
