// SPDX-License-Identifier: MPL-2.0
//
// Store and forward and requests with durability `none`: the same ledger and the same queues, but
// their records are in memory and nothing of theirs waits for the disk.

#include "actors/routing/store_and_forward.hpp"
#include "runtime/observe/log.hpp"

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";
constexpr size_t expire_items_max = 1'024;

} // namespace

void store_and_forward_state::commit_in(bool in_memory, transaction_step step,
                                        std::function<void()> done,
                                        std::function<void(const caf::error&)> failed) {
  if (!in_memory) {
    commit(std::move(step), std::move(done), std::move(failed));
    return;
  }
  auto err = config.memory->run(step);
  counts.memory_items->set(double(config.memory->items()));
  counts.memory_bytes->set(double(config.memory->bytes()));
  if (!err)
    done();
  else if (failed)
    failed(err);
}

void store_and_forward_state::after_commits(std::function<void()> work) {
  self
    ->request(config.store, caf::infinite, atom::read_v,
              transaction_step{[](transaction&) { return caf::error{}; }})
    .then([work](atom::done) { work(); }, [work](const caf::error&) { work(); });
}

void store_and_forward_state::forget_in_memory(const std::string& key, uint64_t expires_ms) {
  (void)config.memory->run([key](transaction& t) { return ledger::forget(t, key); });
  if (expires_ms != 0)
    config.memory->settle(ledger::id_of(key), expires_ms);
}

// -- what peers send ----------------------------------------------------------------------------

bool store_and_forward_state::keep_apart(const link_actor& link, uint64_t number, batch& x,
                                         custody_report& refused) {
  batch in_memory;
  batch durable;
  for (auto& content : x)
    (content->header.in_memory() ? in_memory : durable).push_back(content);
  if (in_memory.empty() || durable.empty())
    return false;
  received(link, number, std::move(in_memory), std::move(refused));
  received(link, number, std::move(durable), {});
  return true;
}

bool store_and_forward_state::settled_in_memory(const request_header& x, custody_report& answer) {
  config.memory->forget(clock->now_ms());
  if (!x.is_reply()) {
    if (!config.memory->settled(x.id))
      return false;
    counts.duplicates->add();
    answer.accepted.push_back({x.id, false});
    return true;
  }
  bool open = false;
  (void)config.memory->run([&](transaction& t) -> caf::error {
    auto found = ledger::find(t, ledger::originated_key(x.id));
    open = found && *found;
    return {};
  });
  if (open)
    return false;
  counts.late_replies->add();
  answer.accepted.push_back({x.id, true});
  return true;
}

caf::error store_and_forward_state::check_in_memory(const request_header& x) const {
  auto refuse = [](std::string why) { return caf::make_error(ec::refused, std::move(why)); };
  if (x.expires_ms - x.created_ms > memory_ttl_ms_max)
    return refuse("durability none lives " + std::to_string(memory_ttl_ms_max / 1'000)
                  + " s at most");
  if (x.arguments_length > fragment_bytes_max)
    return caf::make_error(ec::too_large, "durability none has arguments of at most "
                                            + std::to_string(fragment_bytes_max) + " bytes");
  if (x.expires_ms <= config.memory->forgotten_until_ms())
    return caf::make_error(ec::timeout, std::string{"its time was up"});
  if (x.created_ms < config.memory->started_ms())
    return refuse("made before this node's start, and may have run then (durability none)");
  auto table = config.node->routing->load();
  auto service = table->local.find(table->find_local(x.target));
  if (service != table->local.end() && service->second.durability_min == durability::full)
    return refuse(service->first + " takes durable requests only (durability_min full)");
  return {};
}

// -- custody and time -----------------------------------------------------------------------------

void store_and_forward_state::settle_custody_in_memory(const settled_item& item) {
  bool owed = false;
  auto err = config.memory->run([&](transaction& t) -> caf::error {
    auto x = ledger::custody(t, item.id);
    if (!x)
      return std::move(x.error());
    owed = *x;
    return owed ? caf::error{} : ledger::forget(t, item.id);
  });
  if (owed && !err)
    await_outcome(item);
  else if (item.id.back() == 'i') // its reply has arrived
    config.memory->settle(ledger::id_of(item.id), item.expires_ms);
}

void store_and_forward_state::expire_in_memory() {
  std::vector<due_request> found;
  auto now = clock->now_ms();
  (void)config.memory->run([&](transaction& t) -> caf::error {
    auto ids = ledger::due(t, now, expire_items_max);
    if (!ids)
      return std::move(ids.error());
    for (auto& id : *ids)
      if (auto x = ledger::find(t, id); x && *x)
        found.push_back({id, (*x)->source()});
    auto next = ledger::next_due(t);
    if (!next)
      return std::move(next.error());
    memory_due_ms = next->value_or(0);
    return {};
  });
  config.memory->forget(now);
  if (!found.empty())
    expire(found, true);
}

// -- start ----------------------------------------------------------------------------------------

std::vector<std::string> store_and_forward_state::dispatched_in_memory() {
  std::vector<std::string> result;
  if (config.memory->unused())
    return result;
  (void)config.memory->run([&](transaction& t) {
    return t.scan(table::dispatched, {}, transaction::no_limit,
                  [&](std::string_view key, std::string_view) {
                    result.emplace_back(key);
                    return true;
                  });
  });
  return result;
}

void store_and_forward_state::recover_in_memory() {
  if (config.memory->unused())
    return;
  ledger::recovered found;
  std::map<uint32_t, std::vector<ledger::waiting_item>> items;
  std::optional<uint64_t> due;
  auto err = config.memory->run([&](transaction& t) -> caf::error {
    auto x = ledger::recover(t);
    if (!x)
      return std::move(x.error());
    found = std::move(*x);
    for (auto& q : found.queues) {
      auto waiting = ledger::load(t, q.number, {}, transaction::no_limit, SIZE_MAX);
      if (!waiting)
        return std::move(waiting.error());
      items[q.number] = std::move(*waiting);
    }
    auto next = ledger::next_due(t);
    if (!next)
      return std::move(next.error());
    due = *next;
    return {};
  });
  if (err) {
    log::error(component, "requests in memory cannot be read", {{"error", describe(err)}});
    return;
  }
  next_seq = first_seq = std::max(next_seq, found.next_seq);
  next_queue = std::max(next_queue, found.next_queue);
  memory_due_ms = due.value_or(0);
  for (auto& x : found.queues) {
    auto q = queue_for(x.name);
    if (!q->named)
      q->number = x.number;
    for (auto& item : items[x.number]) {
      item.in_memory = true;
      entered(q, std::move(item));
    }
  }
  for (auto& [id, target] : found.awaiting) {
    awaiting[target].ids.insert(id);
    awaiting[target].latest_ms = clock->now_ms() + memory_ttl_ms_max;
  }
}

} // namespace rvi
