// SPDX-License-Identifier: MPL-2.0
//
// Requests with `durability: none`: the same ledger on tables in memory. They belong to the node's
// start, not to the actor that uses them, so that an actor may fail and nothing of theirs is
// forgotten. Not thread-safe: one store and forward at a time has them.

#pragma once

#include "actors/storage/memory_store.hpp"
#include "messages/batches.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace rvi {

/// How long a request that is kept in memory only may live.
inline constexpr uint64_t memory_ttl_ms_max = 60'000;

struct memory_limits {
  uint64_t items_max = 100'000;            // requests and replies that are open
  uint64_t bytes_max = uint64_t{64} << 20; // of them
  uint64_t ids_max = 1'000'000;            // remembered until they expire, so that none runs twice
};

class memory_requests {
public:
  /// `started_ms` is the time of the node's start: what was created before may have run then.
  memory_requests(uint64_t started_ms, const memory_limits& limits);

  uint64_t started_ms() const { return started_ms_; }

  /// Runs a step; nothing of it stays if it fails. Error: the step's own, or `busy` at the bound.
  caf::error run(const transaction_step& step);

  /// Nothing was ever kept: no step would find anything.
  bool unused() const { return !tables_; }

  /// There is room for one more.
  bool has_room() const;

  /// It has run or will not run here: it is forgotten but for its id, which is refused or answered
  /// as a duplicate until it expires.
  void settle(const transaction_id& id, uint64_t expires_ms);
  bool settled(const transaction_id& id) const { return settled_.count(id) != 0; }
  /// Forgets the ids that have expired; what expired earlier is never taken again.
  void forget(uint64_t now_ms);
  uint64_t forgotten_until_ms() const { return forgotten_until_ms_; }

  uint64_t items() const;
  uint64_t bytes() const { return tables_ ? tables_->bytes_used() : 0; }
  uint64_t ids() const { return settled_.size(); }

private:
  uint64_t started_ms_;
  memory_limits limits_;
  std::shared_ptr<memory_disk> tables_; // null until something is kept
  std::shared_ptr<durable_disk> opened_;
  std::set<transaction_id> settled_;
  std::map<uint64_t, std::vector<transaction_id>> expiring_; // by time, in whole seconds
  uint64_t forgotten_until_ms_ = 0;
};

using memory_requests_ptr = std::shared_ptr<memory_requests>;

} // namespace rvi
