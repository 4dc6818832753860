// SPDX-License-Identifier: MPL-2.0
//
// The only owner of the disk. All steps that wait are committed together, with one sync; a step
// that fails takes no other with it. After the disk failed, nothing is accepted any more.

#pragma once

#include "actors/storage/disk.hpp"
#include "messages/actors.hpp"
#include "runtime/observe/metrics.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <chrono>
#include <memory>
#include <span>
#include <vector>

namespace rvi {

struct store_config {
  std::shared_ptr<durable_disk> disk; // opened before the actor system starts
  size_t steps_per_commit_max = 4'096;
  std::chrono::milliseconds defer_max{5}; // how long a deferred step may wait for company
  metrics::registry* metrics = nullptr;   // outlives the actor; may be null
};

struct store_state {
  static constexpr const char* name = "store";

  struct waiting_step {
    transaction_step step;
    caf::typed_response_promise<atom::committed> answer;
  };

  /// How one transaction went.
  struct attempt {
    caf::error error;
    size_t failed_step = 0;   // past the last step if the commit failed
    bool disk_failed = false; // for good
  };

  /// References into the registry.
  struct counts {
    explicit counts(metrics::registry& registry);
    metrics::counter& commits;
    metrics::counter& syncs;
    metrics::counter& steps;
    metrics::counter& step_errors;
    metrics::histogram& commit_us;
    metrics::gauge& degraded;
    metrics::gauge& bytes_used;
  };

  explicit store_state(store_actor::pointer self) : self(self) {}

  void start(store_config x);
  caf::typed_response_promise<atom::committed> commit(transaction_step step);
  caf::typed_response_promise<atom::committed> defer(transaction_step step);
  caf::result<atom::done> read(const transaction_step& step);

  /// Commits and answers all that waits.
  void flush();

  /// Commits steps together if possible, else so that only those that fail are refused.
  void commit_steps(std::span<waiting_step> steps);
  attempt try_together(std::span<waiting_step> steps);
  caf::error commit_changes(durable_transaction& changes);
  attempt failed_on_disk(const caf::error& error, size_t failed_step) const;
  void accept(std::span<waiting_step> steps);
  void refuse(std::span<waiting_step> steps, const caf::error& reason);
  void degrade(const caf::error& reason);

  store_actor::pointer self;
  store_config config;
  metrics::registry own_registry; // if the config has none
  std::unique_ptr<counts> count;
  std::vector<waiting_step> waiting;
  bool flush_sent = false;
  bool late_flush_sent = false;
  bool degraded = false;
};

/// Spawn it detached in a node: commits block.
store_actor::behavior_type
store(store_actor::stateful_pointer<store_state> self, store_config config);

} // namespace rvi
