// SPDX-License-Identifier: MPL-2.0
//
// Store and forward after a start of the node, of its own actor or of the edge: what was kept goes
// on, what was in a service's hands is reported.

#include "actors/routing/store_and_forward.hpp"
#include "runtime/observe/log.hpp"

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";
constexpr const char* ended_before_receipt = "the node ended between hand-over and receipt";

} // namespace

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
    x.queue->handed_over_bytes -= bytes_in_hand(x.item);
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

} // namespace rvi
