// SPDX-License-Identifier: MPL-2.0
//
// Holds one node's disk to its bounds at every commit (I8: memory and disk are bounded).

#pragma once

#include "actors/storage/memory_store.hpp"
#include "runtime/observe/metrics.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

namespace rvi::simulation {

/// What samples of the fleet need of a node; all of them lie side by side.
struct node_figures {
  bool up = false;
  uint32_t group = 0;
  uint64_t queued = 0;       // records in its queues
  uint64_t stored_bytes = 0; // on its disk
};

struct disk_bounds {
  uint64_t bytes = 0;       // a quarter more is kept for ending what was accepted
  uint64_t queue_items = 0; // of one queue
};

class disk_watch final : public commit_watch {
public:
  /// Counts what is there. Both outlive the watch; `excess` is called with what is over its bound.
  disk_watch(memory_disk& disk, disk_bounds bounds, node_figures& figures,
             std::function<void(const std::string&)> excess);
  ~disk_watch() override { disk_.watch(nullptr); }
  disk_watch(const disk_watch&) = delete;
  disk_watch& operator=(const disk_watch&) = delete;

  void changed(table t, std::string_view key, int came) override;
  void committed() override;

  /// What the node itself says that it has queued; null: nothing yet.
  const metrics::gauge* queued_gauge = nullptr;

private:
  uint64_t count(table t) const { return counts_[static_cast<size_t>(t)]; }

  memory_disk& disk_;
  const disk_bounds bounds_;
  node_figures& figures_;
  std::function<void(const std::string&)> excess_;
  std::array<uint64_t, table_names.size()> counts_{};
  std::unordered_map<uint32_t, uint64_t> queues_;
  std::vector<uint32_t> suspects_; // queues over their bound in this commit
};

} // namespace rvi::simulation
