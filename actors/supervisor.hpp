// SPDX-License-Identifier: MPL-2.0
//
// Starts children in order, restarts those that fail, gives up when they fail too often, and stops
// them in reverse order. With `rest_for_one`, a child that fails takes all later ones with it, so
// that no child keeps a dead handle.

#pragma once

#include "messages/actors.hpp"

#include <caf/actor_clock.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/system_messages.hpp>
#include <caf/timespan.hpp>
#include <caf/typed_response_promise.hpp>

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rvi {

enum class restart_kind {
  permanent, // whenever it ends
  transient, // unless it ends with `normal` or `user_shutdown`
  temporary, // never; its end is forgotten and not counted
};

enum class restart_strategy {
  one_for_one,  // the failed child alone
  rest_for_one, // it and all after it
};

/// The children that run, by id.
using children = std::map<std::string, caf::actor>;

struct child_spec {
  std::string id; // unique within the supervisor
  /// Spawns the child. With `rest_for_one`, `children` are exactly the earlier ones. Throwing or a
  /// null handle is a failure like any other.
  std::function<caf::actor(caf::event_based_actor* self, const children&)> start;
  restart_kind kind = restart_kind::permanent;
  caf::timespan grace = std::chrono::seconds{5}; // between being asked to end and being killed
};

struct supervisor_config {
  std::vector<child_spec> specs; // none for a supervisor of dynamic children
  restart_strategy strategy = restart_strategy::rest_for_one;
  size_t restarts_max = 3; // within `period`; one more and the supervisor itself fails
  caf::timespan period = std::chrono::seconds{30};
  caf::timespan backoff_min = std::chrono::milliseconds{10}; // above zero; doubles up to
  caf::timespan backoff_max = std::chrono::seconds{10};
  caf::timespan quiet
    = std::chrono::seconds{60}; // without failure, until it is `backoff_min` again
  size_t children_max = 10'000;
  size_t observers_max = 16;
};

/// Counts failures within a sliding period.
class restart_budget {
public:
  restart_budget(size_t restarts_max, caf::timespan period)
    : restarts_max_(restarts_max),
      period_(period) {}

  /// Records a failure; false once there were too many.
  [[nodiscard]] bool spend(caf::actor_clock::time_point now);

private:
  size_t restarts_max_;
  caf::timespan period_;
  std::list<caf::actor_clock::time_point> spent_; // an empty deque takes half a KiB
};

/// The delay before each restart of one child.
class restart_backoff {
public:
  /// Records a failure; how long to wait before starting again.
  caf::timespan next(caf::actor_clock::time_point now, const supervisor_config& config);

private:
  caf::timespan delay_{0};
  std::optional<caf::actor_clock::time_point> last_failure_;
};

struct supervisor_state {
  static constexpr const char* name = "supervisor";
  using time_point = caf::actor_clock::time_point;

  struct child {
    child_spec spec;
    restart_backoff backoff;
    caf::actor handle = nullptr;        // null while it does not run
    std::optional<time_point> start_at; // due to start
    std::optional<time_point> kill_at;  // asked to end
  };

  explicit supervisor_state(caf::event_based_actor* self) : self(self) {}

  void start(supervisor_config x);
  caf::result<caf::actor> add(child_spec spec);
  caf::result<atom::done> observe(const caf::actor& observer);
  caf::result<caf::actor> find(const std::string& id) const;
  caf::typed_response_promise<atom::stopped> stop();
  void ended(const caf::down_msg& x);

  /// Does all that is due: kills, stops, starts.
  void advance();

  void kill_overdue();
  bool stop_next();
  void start_due();
  void start_rest();
  bool start_child(size_t i);
  void child_ended(size_t i, const caf::error& reason);
  void failed(size_t i, const caf::error& reason);
  void remove(size_t i);
  void end(const caf::error& reason);
  void finish();
  void wake_after(caf::timespan delay);
  size_t index_of(const caf::actor_addr& address) const;

  caf::event_based_actor* self;
  supervisor_config config;
  std::optional<restart_budget> budget;
  std::vector<child> slots; // in the order of starting
  children running;
  std::vector<caf::actor> observers;
  std::optional<size_t> rest_from; // children from here on must end, then start anew
  bool ending = false;             // for good
  caf::error end_reason;
  std::vector<caf::typed_response_promise<atom::stopped>> stop_answers;
};

/// Takes these messages:
///   (stop) -> stopped               stops the children one after another, the youngest first,
///   answers
///                                   and ends normally
///   (status) -> children            those that run
///   (status, id) -> actor           one of them, or `not_found`
///   (attach, child_spec) -> actor   starts one more child, the youngest; errors: `bad_request`
///   (the id
///                                   is taken), `busy` (too many, or a restart is under way),
///                                   `shutting_down`, `internal` (its start failed; it is not kept)
///   (attach, actor) -> done         tells this actor of every start (available, id, actor), those
///   that
///                                   run at once, and of every end (closed, id)
/// An exit message from outside stops the children in order, too; then the supervisor ends with its
/// reason. When children fail too often, it stops all and ends with `internal`.
caf::behavior supervisor(caf::stateful_actor<supervisor_state>* self, supervisor_config config);

} // namespace rvi

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::child_spec)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::children)
