// SPDX-License-Identifier: MPL-2.0
//
// Restarts, budgets and orderly ends of supervised children, on virtual time.

#include "actors/supervisor.hpp"
#include "test/support/deterministic_system.hpp"

#include <doctest/doctest.h>

#include <set>
#include <stdexcept>

using namespace rvi;
using namespace std::chrono_literals;
using strings = std::vector<std::string>;

namespace {

enum class failure { crash = 0, normal_end = 1, error_end = 2 };

struct worker_config {
  std::function<void()> on_end;
  bool stubborn = false; // does not end when asked
};

caf::behavior worker(caf::event_based_actor* self, const worker_config& config) {
  self->set_exit_handler([self, config](const caf::exit_msg& x) {
    if (!config.stubborn)
      self->quit(x.reason);
  });
  self->set_exception_handler(
    [](std::exception_ptr&) -> caf::error { return caf::exit_reason::unhandled_exception; });
  self->attach_functor(config.on_end);
  return {[self](int what) {
    if (what == int(failure::crash))
      throw std::runtime_error("crash");
    self->quit(what == int(failure::normal_end) ? caf::error{} : caf::make_error(ec::link_down));
  }};
}

struct log_holder { // a base, so that it outlives the actors
  strings log;
  std::map<std::string, caf::actor> last;
  std::set<std::string> refuse_to_start;
  std::set<std::string> stubborn;
};

struct fixture : log_holder, test::deterministic_system {
  ~fixture() { last.clear(); }

  child_spec spec(std::string id, restart_kind kind = restart_kind::permanent) {
    auto start = [this, id](caf::event_based_actor* parent, const children& earlier) {
      std::string known;
      for (auto& x : earlier)
        known += x.first;
      log.push_back("+" + id + (known.empty() ? "" : "(" + known + ")"));
      if (refuse_to_start.count(id + "!"))
        throw std::runtime_error("no");
      if (refuse_to_start.count(id))
        return caf::actor{};
      worker_config config{[this, id] { log.push_back("-" + id); }, stubborn.count(id) != 0};
      auto result = parent->spawn(worker, std::move(config));
      last[id] = result;
      spawned.push_back(caf::actor_cast<caf::strong_actor_ptr>(result));
      return caf::actor{result};
    };
    return {id, start, kind, 5s};
  }

  void supervise(supervisor_config config) {
    top = spawn(supervisor, std::move(config));
    self->monitor(top);
    settle();
  }

  void supervise(std::vector<child_spec> specs,
                 restart_strategy strategy = restart_strategy::rest_for_one) {
    supervisor_config config;
    config.specs = std::move(specs);
    config.strategy = strategy;
    supervise(std::move(config));
  }

  void fail(const std::string& id, failure how = failure::crash) {
    self->send(last.at(id), int(how));
    settle();
  }

  strings take_log() { return std::exchange(log, {}); }

  /// Why the supervisor ended, or nothing if it runs.
  std::optional<caf::error> ended() {
    std::optional<caf::error> result;
    self->receive([&](const caf::down_msg& x) { result = x.reason; }, caf::after(0s) >> [] {});
    return result;
  }

  strings running() {
    strings result;
    auto found = ask<children>(top, atom::status_v);
    REQUIRE(found);
    for (auto& x : *found)
      result.push_back(x.first);
    return result;
  }

  caf::actor top;
};

} // namespace

TEST_SUITE_BEGIN("supervisor");

TEST_CASE_FIXTURE(fixture, "starts children in order, each with the handles before it") {
  supervise({spec("a"), spec("b"), spec("c")});
  CHECK(take_log() == strings{"+a", "+b(a)", "+c(ab)"});
  CHECK(running() == strings{"a", "b", "c"});
  auto found = ask<caf::actor>(top, atom::status_v, std::string{"b"});
  REQUIRE(found);
  CHECK(*found == last["b"]);
  auto missing = ask<caf::actor>(top, atom::status_v, std::string{"x"});
  REQUIRE_FALSE(missing);
  CHECK(missing.error() == ec::not_found);
}

TEST_CASE_FIXTURE(fixture, "rest_for_one: a failed child and those after it start anew") {
  supervise({spec("a"), spec("b"), spec("c"), spec("d")});
  take_log();
  fail("b");
  CHECK(take_log() == strings{"-b", "-d", "-c"}); // the youngest first
  CHECK(running() == strings{"a"});
  elapse(10ms, 1ms);
  CHECK(take_log() == strings{"+b(a)", "+c(ab)", "+d(abc)"});
}

TEST_CASE_FIXTURE(fixture, "rest_for_one: an earlier failure while stopping widens the restart") {
  stubborn = {"d"};
  supervise({spec("a"), spec("b"), spec("c"), spec("d")});
  take_log();
  fail("c");
  fail("b");
  CHECK(take_log() == strings{"-c", "-b"});
  stubborn = {};
  elapse(5s);
  CHECK(take_log() == strings{"-d", "+b(a)", "+c(ab)", "+d(abc)"});
}

TEST_CASE_FIXTURE(fixture, "one_for_one: a failed child starts anew alone") {
  supervise({spec("a"), spec("b"), spec("c")}, restart_strategy::one_for_one);
  take_log();
  fail("a");
  fail("b");
  elapse(10ms, 1ms);
  CHECK(take_log() == strings{"-a", "-b", "+a(c)", "+b(ac)"});
}

TEST_CASE_FIXTURE(fixture, "restart kinds say which end counts") {
  using enum restart_kind;
  for (auto strategy : {restart_strategy::one_for_one, restart_strategy::rest_for_one}) {
    supervise({spec("p", permanent), spec("r", transient), spec("t", temporary)}, strategy);
    take_log();
    fail("t");
    elapse(1s);
    CHECK(take_log() == strings{"-t"});
    fail("r", failure::normal_end);
    elapse(1s);
    CHECK(take_log() == strings{"-r"});
    CHECK(running() == strings{"p"});
    fail("p", failure::normal_end);
    elapse(1s);
    auto rest = strategy == restart_strategy::rest_for_one;
    // What was done anew by the earlier child may be wanted by the later one; temporary ones are
    // gone.
    CHECK(take_log() == (rest ? strings{"-p", "+p", "+r(p)"} : strings{"-p", "+p"}));
  }
}

TEST_CASE_FIXTURE(fixture, "a transient child that ends with an error starts anew") {
  supervise({spec("r", restart_kind::transient)});
  fail("r", failure::error_end);
  elapse(1s);
  CHECK(take_log() == strings{"+r", "-r", "+r"});
}

TEST_CASE_FIXTURE(fixture, "gives up after too many restarts, stopping the others in reverse") {
  supervise({spec("a"), spec("b"), spec("c")}, restart_strategy::one_for_one);
  for (int i = 0; i < 3; ++i) {
    fail("b");
    elapse(1s);
  }
  CHECK(running() == strings{"a", "b", "c"});
  take_log();
  fail("b");
  CHECK(take_log() == strings{"-b", "-c", "-a"});
  auto reason = ended();
  REQUIRE(reason);
  CHECK(*reason == ec::internal);
}

TEST_CASE_FIXTURE(fixture, "failures far apart are forgiven") {
  supervise({spec("a")});
  for (int i = 0; i < 12; ++i) {
    fail("a");
    elapse(11s, 1s);
  }
  CHECK_FALSE(ended());
  CHECK(running() == strings{"a"});
}

TEST_CASE_FIXTURE(fixture, "a failure goes up to the supervisor above") {
  child_spec inner{"inner", [this](caf::event_based_actor* parent, const children&) {
                     supervisor_config config;
                     config.specs = {spec("x")};
                     config.restarts_max = 0;
                     auto result = parent->spawn(supervisor, std::move(config));
                     spawned.push_back(caf::actor_cast<caf::strong_actor_ptr>(result));
                     return caf::actor{result};
                   }};
  supervise({spec("a"), inner, spec("b")});
  take_log();
  fail("x");
  elapse(1s);
  CHECK(take_log() == strings{"-x", "-b", "+b(ainner)", "+x"});
  self->send(top, atom::stop_v);
  settle();
  CHECK(take_log() == strings{"-b", "-x", "-a"});
}

TEST_CASE_FIXTURE(fixture, "waits longer after each failure, until a quiet period") {
  supervisor_config config;
  config.specs = {spec("a")};
  config.restarts_max = 1'000;
  supervise(std::move(config));
  caf::timespan delay = 10ms;
  for (int i = 0; i < 15; ++i) {
    fail("a");
    take_log();
    elapse(delay - 1ms, 1ms * (delay > 1s ? 99 : 1));
    CHECK(log.empty());
    elapse(1ms, 1ms);
    CHECK(take_log() == strings{"+a"});
    delay = std::min<caf::timespan>(delay * 2, 10s);
  }
  elapse(60s, 1s);
  fail("a");
  take_log();
  elapse(10ms, 1ms);
  CHECK(take_log() == strings{"+a"});
}

TEST_CASE_FIXTURE(fixture, "a child that does not start has failed") {
  for (std::string how : {"b", "b!"}) { // a null handle, an exception
    refuse_to_start = {how};
    supervise({spec("a"), spec("b"), spec("c")});
    CHECK(take_log() == strings{"+a", "+b(a)"});
    elapse(10ms, 1ms);
    CHECK(take_log() == strings{"+b(a)"});
    refuse_to_start = {};
    elapse(20ms, 1ms);
    CHECK(take_log() == strings{"+b(a)", "+c(ab)"});
    refuse_to_start = {how};
    fail("b"); // the third failure; the fourth ends it
    elapse(40ms, 1ms);
    CHECK(take_log() == strings{"-b", "-c", "+b(a)", "-a"});
    CHECK(ended());
  }
}

TEST_CASE_FIXTURE(fixture, "one_for_one: one that does not start keeps no other from starting") {
  refuse_to_start = {"a"};
  supervise({spec("a"), spec("b")}, restart_strategy::one_for_one);
  CHECK(running() == strings{"b"});
  refuse_to_start = {};
  elapse(10ms, 1ms);
  CHECK(running() == strings{"a", "b"});
}

TEST_CASE_FIXTURE(fixture, "stops children one after another in reverse order") {
  stubborn = {"b"};
  supervise({spec("a"), spec("b"), spec("c")});
  take_log();
  auto pending = self->request(top, caf::infinite, atom::stop_v);
  settle();
  CHECK(take_log() == strings{"-c"}); // b has its grace
  elapse(4'900ms);
  CHECK(log.empty());
  auto late = ask<caf::actor>(top, atom::attach_v, spec("d"));
  REQUIRE_FALSE(late);
  CHECK(late.error() == ec::shutting_down);
  elapse(100ms);
  CHECK(take_log() == strings{"-b", "-a"});
  bool stopped = false;
  pending.receive([&](atom::stopped) { stopped = true; }, [](const caf::error&) {});
  CHECK(stopped);
  auto reason = ended();
  REQUIRE(reason);
  CHECK_FALSE(*reason);
}

TEST_CASE_FIXTURE(fixture, "an exit message from outside stops in order, too") {
  supervise({spec("a"), spec("b")});
  take_log();
  caf::anon_send_exit(top, caf::exit_reason::user_shutdown);
  settle();
  CHECK(take_log() == strings{"-b", "-a"});
  CHECK(ended() == caf::error{caf::exit_reason::user_shutdown});
}

TEST_CASE_FIXTURE(fixture, "children end with a supervisor that is killed") {
  stubborn = {"a"};
  supervise({spec("a"), spec("b")});
  take_log();
  caf::anon_send_exit(top, caf::exit_reason::kill);
  settle();
  CHECK(log.size() == 2);
}

TEST_CASE_FIXTURE(fixture, "stopping during a restart starts nothing more") {
  supervise({spec("a"), spec("b")});
  fail("b");
  take_log();
  self->send(top, atom::stop_v);
  elapse(1s);
  CHECK(take_log() == strings{"-a"});
  CHECK(ended());
}

TEST_CASE_FIXTURE(fixture, "dynamic children come by message; temporary ones are never counted") {
  supervisor_config config;
  config.strategy = restart_strategy::one_for_one;
  config.children_max = 3;
  supervise(std::move(config));
  for (int i = 0; i < 20; ++i) {
    CHECK(ask<caf::actor>(top, atom::attach_v, spec("link", restart_kind::temporary)));
    fail("link");
  }
  CHECK_FALSE(ended());
  CHECK(running().empty());
  take_log();
  for (auto id : {"x", "y", "z"})
    CHECK(ask<caf::actor>(top, atom::attach_v, spec(id, restart_kind::temporary)));
  auto fourth = ask<caf::actor>(top, atom::attach_v, spec("w"));
  REQUIRE_FALSE(fourth);
  CHECK(fourth.error() == ec::busy);
  fail("y");
  auto again = ask<caf::actor>(top, atom::attach_v, spec("x"));
  REQUIRE_FALSE(again);
  CHECK(again.error() == ec::bad_request);
  take_log();
  self->send(top, atom::stop_v);
  settle();
  CHECK(take_log() == strings{"-z", "-x"});
}

TEST_CASE_FIXTURE(fixture,
                  "a dynamic child may be restarted; one that does not start is not kept") {
  supervise(supervisor_config{});
  refuse_to_start = {"x"};
  auto refused = ask<caf::actor>(top, atom::attach_v, spec("x"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error() == ec::internal);
  refuse_to_start = {};
  CHECK(ask<caf::actor>(top, atom::attach_v, spec("x")));
  fail("x");
  auto during = ask<caf::actor>(top, atom::attach_v, spec("y"));
  REQUIRE_FALSE(during);
  CHECK(during.error() == ec::busy);
  elapse(1s);
  CHECK(running() == strings{"x"});
}

TEST_CASE_FIXTURE(fixture, "observers hear of every start and end") {
  supervise({spec("a")});
  strings heard;
  std::vector<caf::actor> handles;
  auto observer = spawn(
    [&](caf::event_based_actor*, int) -> caf::behavior {
      return {[&](atom::available, const std::string& id, const caf::actor& x) {
                heard.push_back("+" + id);
                handles.push_back(x);
              },
              [&](atom::closed, const std::string& id) { heard.push_back("-" + id); }};
    },
    0);
  CHECK(ask<atom::done>(top, atom::attach_v, caf::actor{observer}));
  CHECK(heard == strings{"+a"});
  CHECK(handles.back() == last["a"]);
  fail("a");
  elapse(1s);
  CHECK(heard == strings{"+a", "-a", "+a"});
  CHECK(handles.back() == last["a"]);
  self->send(top, atom::stop_v);
  settle();
  CHECK(heard == strings{"+a", "-a", "+a", "-a"});
}

TEST_SUITE_END();
