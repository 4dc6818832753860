// SPDX-License-Identifier: MPL-2.0

#include "actors/storage/store.hpp"

#include "runtime/observe/log.hpp"

#include <caf/system_messages.hpp>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <exception>

namespace rvi {

namespace {

/// Stands between a step and the disk: notices failed changes that the step does not report.
class watched_transaction final : public transaction {
public:
  explicit watched_transaction(transaction& inner) : inner_(inner) {}

  const caf::error& failure() const { return failure_; }

  bool changed() const { return changed_; }

  expected<std::optional<std::string>> get(table t, std::string_view key) override {
    return inner_.get(t, key);
  }

  caf::error put(table t, std::string_view key, std::string_view value) override {
    return note(inner_.put(t, key, value));
  }

  caf::error append(table t, std::string_view key, std::string_view value) override {
    return note(inner_.append(t, key, value));
  }

  void use_reserve(bool allowed) override { inner_.use_reserve(allowed); }

  expected<bool> erase(table t, std::string_view key) override {
    auto result = inner_.erase(t, key);
    if (!result)
      note(result.error());
    else
      changed_ |= *result;
    return result;
  }

  caf::error
  scan(table t, std::string_view from_key, size_t limit, const record_visitor& visit) override {
    return inner_.scan(t, from_key, limit, visit);
  }

  expected<std::optional<std::string>> last_key(table t) override { return inner_.last_key(t); }

private:
  caf::error note(caf::error x) {
    changed_ = true;
    if (x && !failure_)
      failure_ = x;
    return x;
  }

  transaction& inner_;
  caf::error failure_;
  bool changed_ = false;
};

/// Runs a step; nothing it throws gets out.
caf::error run(const transaction_step& step, watched_transaction& changes) {
  assert(step != nullptr);
  caf::error result;
  try {
    result = step(changes);
  } catch (const std::exception& x) {
    result = caf::make_error(ec::internal, std::string{"a step threw: "} + x.what());
  } catch (...) {
    result = caf::make_error(ec::internal, std::string{"a step threw"});
  }
  return result;
}

const std::vector<double> commit_us_bounds
  = {50,     100,    200,     500,     1'000,   2'000,     5'000,    10'000,
     20'000, 50'000, 100'000, 200'000, 500'000, 1'000'000, 5'000'000};

} // namespace

store_state::counts::counts(metrics::registry& registry)
  : commits(registry.get_counter("rvi_store_commits_total", "Transactions that became durable.")),
    syncs(registry.get_counter("rvi_store_syncs_total", "Syncs asked of the disk.")),
    steps(registry.get_counter("rvi_store_steps_total", "Steps that became durable.")),
    step_errors(registry.get_counter("rvi_store_step_errors_total", "Steps that were refused.")),
    commit_us(registry.get_histogram("rvi_store_commit_microseconds",
                                     "Time a commit took until it was durable.", commit_us_bounds)),
    degraded(registry.get_gauge("rvi_store_degraded", "1 after the disk failed.")),
    bytes_used(registry.get_gauge("rvi_store_bytes_used", "Bytes the store takes on its disk.")) {}

void store_state::start(store_config x) {
  assert(x.disk && x.steps_per_commit_max > 0);
  config = std::move(x);
  count = std::make_unique<counts>(config.metrics ? *config.metrics : own_registry);
  count->degraded.set(0);
  count->bytes_used.set(static_cast<double>(config.disk->bytes_used()));
  if (config.disk->failed())
    degrade(caf::make_error(ec::store_failed, std::string{"the disk had failed before"}));
}

caf::typed_response_promise<atom::committed> store_state::commit(transaction_step step) {
  auto answer = self->make_response_promise<atom::committed>();
  waiting.push_back({std::move(step), answer});
  if (waiting.size() >= config.steps_per_commit_max) {
    flush();
  } else if (!flush_sent) {
    // Whatever is in the mailbox by now gets in before the marker.
    flush_sent = true;
    self->send(self, atom::flush_v);
  }
  return answer;
}

caf::result<atom::done> store_state::read(const transaction_step& step) {
  flush();
  auto reading = config.disk->begin_read();
  if (!reading)
    return reading.error();
  watched_transaction changes{**reading};
  auto failure = run(step, changes);
  if (changes.failure())
    return changes.failure();
  if (failure)
    return failure;
  return atom::done_v;
}

void store_state::flush() {
  auto taken = std::move(waiting);
  waiting.clear();
  std::span<waiting_step> steps{taken};
  while (!steps.empty()) {
    auto n = std::min(steps.size(), config.steps_per_commit_max);
    commit_steps(steps.first(n));
    steps = steps.subspan(n);
  }
}

void store_state::commit_steps(std::span<waiting_step> steps) {
  while (!steps.empty()) {
    if (degraded)
      return refuse(steps, caf::make_error(ec::store_failed, std::string{"the disk failed"}));
    auto [failure, failed_step, disk_failed] = try_together(steps);
    if (!failure)
      return accept(steps);
    if (disk_failed) {
      degrade(failure);
      continue;
    }
    if (failed_step == 0 || steps.size() == 1) {
      // Nothing else had run in that transaction: its own fault.
      refuse(steps.first(1), failure);
      steps = steps.subspan(1);
      continue;
    }
    // Those before the failed one are good together; if the commit failed, halves find who is at
    // fault.
    auto n = failed_step < steps.size() ? failed_step : steps.size() / 2;
    commit_steps(steps.first(n));
    steps = steps.subspan(n);
  }
}

store_state::attempt store_state::try_together(std::span<waiting_step> steps) {
  auto writing = config.disk->begin_write();
  if (!writing)
    return failed_on_disk(writing.error(), 0);
  watched_transaction changes{**writing};
  for (size_t i = 0; i < steps.size(); ++i) {
    changes.use_reserve(false);
    auto failure = run(steps[i].step, changes);
    if (changes.failure())
      return failed_on_disk(changes.failure(), i);
    if (failure)
      return {std::move(failure), i};
  }
  if (!changes.changed())
    return {};
  if (auto failure = commit_changes(**writing))
    return failed_on_disk(failure, steps.size());
  return {};
}

/// A step may answer `store_failed` for reasons of its own; from the disk it is the end.
store_state::attempt
store_state::failed_on_disk(const caf::error& error, size_t failed_step) const {
  return {error, failed_step, config.disk->failed() || error == ec::store_failed};
}

caf::error store_state::commit_changes(durable_transaction& changes) {
  auto start = self->clock().now();
  auto failure = changes.commit();
  count->syncs.add();
  if (failure)
    return failure;
  auto took = std::chrono::duration<double, std::micro>(self->clock().now() - start);
  count->commits.add();
  count->commit_us.observe(took.count());
  count->bytes_used.set(static_cast<double>(config.disk->bytes_used()));
  return {};
}

caf::typed_response_promise<atom::committed> store_state::defer(transaction_step step) {
  auto answer = self->make_response_promise<atom::committed>();
  waiting.push_back({std::move(step), answer});
  if (waiting.size() >= config.steps_per_commit_max) {
    flush();
  } else if (!flush_sent && !late_flush_sent) {
    late_flush_sent = true;
    self->delayed_send(self, config.defer_max, atom::flush_v);
  }
  return answer;
}

void store_state::accept(std::span<waiting_step> steps) {
  count->steps.add(steps.size());
  for (auto& x : steps)
    x.answer.deliver(atom::committed_v);
}

void store_state::refuse(std::span<waiting_step> steps, const caf::error& reason) {
  count->step_errors.add(steps.size());
  for (auto& x : steps)
    x.answer.deliver(reason);
}

void store_state::degrade(const caf::error& reason) {
  degraded = true;
  count->degraded.set(1);
  log::error("store", "the disk failed; nothing is accepted any more",
             {{"reason", describe(reason)}});
}

store_actor::behavior_type
store(store_actor::stateful_pointer<store_state> self, store_config config) {
  auto& state = self->state;
  state.start(std::move(config));
  // What waits when the node stops is still made durable.
  self->set_exit_handler([&state](caf::exit_msg& x) {
    state.flush();
    state.self->quit(std::move(x.reason));
  });
  return {
    [&state](atom::commit, transaction_step& step) { return state.commit(std::move(step)); },
    [&state](atom::defer, transaction_step& step) { return state.defer(std::move(step)); },
    [&state](atom::read, const transaction_step& step) { return state.read(step); },
    [&state](atom::flush) {
      state.flush_sent = false;
      state.late_flush_sent = false;
      state.flush();
    },
  };
}

} // namespace rvi
