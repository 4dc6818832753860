// SPDX-License-Identifier: MPL-2.0
//
// An actor system without threads: nothing happens until a test says so, and
// time moves only when a test moves it.

#pragma once

#include "messages/actors.hpp"

#include <caf/actor_cast.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>
#include <vector>

namespace test {

struct config : caf::actor_system_config {
  config() {
    add_message_types<caf::id_block::rvi>();
    add_error_category(caf::atom("rvi"), rvi::render);
    set("scheduler.policy", caf::atom("testing"));
    set("logger.verbosity", caf::atom("quiet"));
  }
};

class deterministic_system {
public:
  deterministic_system()
    : sys(cfg),
      self(sys, true),
      sched(dynamic_cast<caf::scheduler::test_coordinator&>(sys.scheduler())) {
    sched.advance_time(std::chrono::minutes{60}); // zero is special to the clock
  }

  // Actors that wake themselves would keep the system alive for ever.
  ~deterministic_system() {
    for (auto& x : spawned)
      caf::anon_send_exit(x, caf::exit_reason::kill);
    spawned.clear();
    sched.run();
    sched.clock().cancel_all();
  }

  template <class... Ts>
  auto spawn(Ts&&... xs) {
    auto result = sys.spawn(std::forward<Ts>(xs)...);
    spawned.push_back(caf::actor_cast<caf::strong_actor_ptr>(result));
    return result;
  }

  /// Runs until no actor has work left; no time passes.
  void settle() { sched.run(); }

  /// Lets time pass in steps, so that timers fire in order.
  void elapse(caf::timespan span, caf::timespan step = std::chrono::milliseconds{100}) {
    for (; span.count() > 0; span -= step) {
      sched.advance_time(std::min(span, step));
      settle();
    }
  }

  /// Runs one waiting job, drawn at random: a legal but unusual order.
  bool run_any(std::mt19937_64& rng) {
    if (sched.jobs.empty())
      return false;
    auto i = sched.jobs.begin() + static_cast<ptrdiff_t>(rng() % sched.jobs.size());
    std::rotate(sched.jobs.begin(), i, i + 1);
    return sched.try_run_once();
  }

  /// Sends a request and returns the answer, or the error.
  template <class T, class Handle, class... Ts>
  caf::expected<T> ask(const Handle& receiver, Ts&&... xs) {
    caf::expected<T> result{caf::sec::request_timeout};
    auto pending = self->request(receiver, caf::infinite, std::forward<Ts>(xs)...);
    settle();
    pending.receive([&](T& x) { result = std::move(x); },
                    [&](caf::error& x) { result = std::move(x); });
    return result;
  }

  config cfg;
  caf::actor_system sys;
  caf::scoped_actor self;
  caf::scheduler::test_coordinator& sched;
  std::vector<caf::strong_actor_ptr> spawned;
};

} // namespace test
