// SPDX-License-Identifier: MPL-2.0
//
// Children are monitored. A link would tell of their ends, too, but CAF takes it away from a child
// that is asked to end. What remains of it is one way: children end with a supervisor that is
// killed.

#include "actors/supervisor.hpp"

#include "runtime/observe/log.hpp"

#include <caf/default_attachable.hpp>
#include <caf/exit_reason.hpp>
#include <caf/system_messages.hpp>

#include <algorithm>
#include <cassert>
#include <exception>

namespace rvi {

namespace {

bool is_abnormal(const caf::error& reason) {
  return reason && reason != caf::exit_reason::normal && reason != caf::exit_reason::user_shutdown;
}

using attachment = caf::default_attachable;

/// Calls a child's start function; nothing it throws gets out.
expected<caf::actor>
spawn_child(caf::event_based_actor* self, const child_spec& spec, const children& running) {
  try {
    if (auto result = spec.start(self, running))
      return result;
    return caf::make_error(ec::internal, spec.id + " did not start");
  } catch (const std::exception& x) {
    return caf::make_error(ec::internal, spec.id + " did not start: " + x.what());
  } catch (...) {
    return caf::make_error(ec::internal, spec.id + " did not start");
  }
}

} // namespace

bool restart_budget::spend(caf::actor_clock::time_point now) {
  while (!spent_.empty() && spent_.front() + period_ <= now)
    spent_.pop_front();
  spent_.push_back(now);
  return spent_.size() <= restarts_max_;
}

caf::timespan
restart_backoff::next(caf::actor_clock::time_point now, const supervisor_config& config) {
  bool quiet = !last_failure_ || *last_failure_ + config.quiet <= now;
  delay_ = quiet ? config.backoff_min : std::min(delay_ * 2, config.backoff_max);
  last_failure_ = now;
  return delay_;
}

void supervisor_state::start(supervisor_config x) {
  assert(x.backoff_min.count() > 0 && x.backoff_min <= x.backoff_max);
  config = std::move(x);
  budget.emplace(config.restarts_max, config.period);
  auto now = self->clock().now();
  for (auto& spec : config.specs)
    slots.push_back({std::move(spec), {}, nullptr, now, std::nullopt});
  config.specs.clear();
  if (config.strategy == restart_strategy::rest_for_one)
    rest_from = 0;
  advance();
}

caf::result<caf::actor> supervisor_state::add(child_spec spec) {
  if (ending)
    return caf::make_error(ec::shutting_down, spec.id);
  if (rest_from || slots.size() >= config.children_max)
    return caf::make_error(ec::busy, spec.id);
  if (std::any_of(slots.begin(), slots.end(), [&](auto& x) { return x.spec.id == spec.id; }))
    return caf::make_error(ec::bad_request, spec.id + " exists");
  slots.push_back({std::move(spec), {}, nullptr, std::nullopt, std::nullopt});
  if (start_child(slots.size() - 1))
    return slots.back().handle;
  auto id = std::move(slots.back().spec.id);
  slots.pop_back();
  return caf::make_error(ec::internal, id + " did not start");
}

caf::result<atom::done> supervisor_state::observe(const caf::actor& observer) {
  if (observers.size() >= config.observers_max)
    return caf::make_error(ec::busy, std::string{"too many observers"});
  observers.push_back(observer);
  for (auto& x : slots)
    if (x.handle)
      self->send(observer, atom::available_v, x.spec.id, x.handle);
  return atom::done_v;
}

caf::result<caf::actor> supervisor_state::find(const std::string& id) const {
  auto i = running.find(id);
  if (i == running.end())
    return caf::make_error(ec::not_found, id);
  return i->second;
}

caf::typed_response_promise<atom::stopped> supervisor_state::stop() {
  auto answer = self->make_response_promise<atom::stopped>();
  stop_answers.push_back(answer);
  end({});
  return answer;
}

void supervisor_state::ended(const caf::down_msg& x) {
  auto i = index_of(x.source);
  if (i < slots.size())
    child_ended(i, x.reason);
}

void supervisor_state::advance() {
  kill_overdue();
  if (stop_next())
    return;
  if (ending)
    finish();
  else if (config.strategy == restart_strategy::one_for_one)
    start_due();
  else
    start_rest();
}

void supervisor_state::kill_overdue() {
  auto now = self->clock().now();
  for (auto& x : slots)
    if (x.handle && x.kill_at && *x.kill_at <= now) {
      log::warning("supervisor", "killed a child that did not end", {{"child", x.spec.id}});
      self->send_exit(x.handle, caf::exit_reason::kill);
      x.kill_at = time_point::max();
    }
}

/// Asks the youngest child that must end, one at a time; false if there is none.
bool supervisor_state::stop_next() {
  if (!ending && !rest_from)
    return false;
  size_t first = ending ? 0 : *rest_from;
  for (size_t i = slots.size(); i > first; --i) {
    auto& x = slots[i - 1];
    if (!x.handle)
      continue;
    if (!x.kill_at) {
      self->send_exit(x.handle, caf::exit_reason::user_shutdown);
      x.kill_at = self->clock().now() + x.spec.grace;
      wake_after(x.spec.grace);
    }
    return true;
  }
  return false;
}

void supervisor_state::start_due() {
  auto now = self->clock().now();
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].handle || !slots[i].start_at || *slots[i].start_at > now)
      continue;
    if (!start_child(i))
      return failed(i, {}); // goes on with the others
  }
}

/// Starts all from `rest_from` on once each of them is due.
void supervisor_state::start_rest() {
  if (!rest_from)
    return;
  auto now = self->clock().now();
  for (size_t i = *rest_from; i < slots.size(); ++i)
    if (slots[i].start_at && *slots[i].start_at > now)
      return;
  for (size_t i = *rest_from; i < slots.size(); ++i)
    if (!start_child(i)) {
      rest_from = i;
      return failed(i, {});
    }
  rest_from.reset();
}

bool supervisor_state::start_child(size_t i) {
  auto& x = slots[i];
  assert(!x.handle);
  x.start_at.reset();
  x.kill_at.reset();
  auto spawned = spawn_child(self, x.spec, running);
  if (!spawned) {
    log::error("supervisor", "a child did not start",
               {{"child", x.spec.id}, {"reason", describe(spawned.error())}});
    return false;
  }
  x.handle = std::move(*spawned);
  self->monitor(x.handle);
  self->attach(attachment::make_link(self->address(), x.handle.address()));
  running[x.spec.id] = x.handle;
  for (auto& observer : observers)
    self->send(observer, atom::available_v, x.spec.id, x.handle);
  return true;
}

void supervisor_state::child_ended(size_t i, const caf::error& reason) {
  auto& x = slots[i];
  self->detach(attachment::observe_token{x.handle.address(), attachment::link});
  x.handle = nullptr;
  x.kill_at.reset();
  running.erase(x.spec.id);
  for (auto& observer : observers)
    self->send(observer, atom::closed_v, x.spec.id);
  if (ending)
    return advance();
  if (x.spec.kind == restart_kind::temporary)
    return remove(i);
  if (rest_from && i >= *rest_from)
    return advance(); // starts with the rest
  if (x.spec.kind == restart_kind::permanent || is_abnormal(reason))
    failed(i, reason);
}

/// A child must start again. Without a reason, it did not even start.
void supervisor_state::failed(size_t i, const caf::error& reason) {
  auto& x = slots[i];
  if (x.spec.kind == restart_kind::temporary)
    return remove(i);
  auto now = self->clock().now();
  if (!budget->spend(now)) {
    log::error("supervisor", "children fail too often; giving up", {{"child", x.spec.id}});
    return end(caf::make_error(ec::internal, x.spec.id + " failed too often"));
  }
  auto delay = x.backoff.next(now, config);
  log::warning(
    "supervisor", "a child failed and starts anew",
    {{"child", x.spec.id},
     {"reason", self->system().render(reason)},
     {"delay_ms", std::chrono::duration_cast<std::chrono::milliseconds>(delay).count()}});
  x.start_at = now + delay;
  wake_after(delay);
  if (config.strategy == restart_strategy::rest_for_one)
    rest_from = std::min(rest_from.value_or(i), i);
  advance();
}

void supervisor_state::remove(size_t i) {
  slots.erase(slots.begin() + static_cast<ptrdiff_t>(i));
  if (rest_from && i < *rest_from)
    --*rest_from;
  advance();
}

void supervisor_state::end(const caf::error& reason) {
  if (!ending)
    end_reason = reason;
  ending = true;
  advance();
}

void supervisor_state::finish() {
  for (auto& x : stop_answers)
    x.deliver(atom::stopped_v);
  stop_answers.clear();
  self->quit(end_reason);
}

void supervisor_state::wake_after(caf::timespan delay) {
  self->delayed_send(self, delay, atom::tick_v);
}

/// The slot of a running child, or the number of slots.
size_t supervisor_state::index_of(const caf::actor_addr& address) const {
  auto i = std::find_if(slots.begin(), slots.end(),
                        [&](auto& x) { return x.handle && x.handle.address() == address; });
  return static_cast<size_t>(i - slots.begin());
}

caf::behavior supervisor(caf::stateful_actor<supervisor_state>* self, supervisor_config config) {
  auto& state = self->state;
  self->set_down_handler([&state](const caf::down_msg& x) { state.ended(x); });
  self->set_exit_handler([&state](const caf::exit_msg& x) {
    if (x.reason)
      state.end(x.reason);
  });
  state.start(std::move(config));
  return {
    [&state](atom::stop) { return state.stop(); },
    [&state](atom::status) { return state.running; },
    [&state](atom::status, const std::string& id) { return state.find(id); },
    [&state](atom::attach, child_spec& spec) { return state.add(std::move(spec)); },
    [&state](atom::attach, const caf::actor& observer) { return state.observe(observer); },
    [&state](atom::tick) { state.advance(); },
  };
}

} // namespace rvi
