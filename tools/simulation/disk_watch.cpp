// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/disk_watch.hpp"

#include "messages/transaction_id.hpp"

namespace rvi::simulation {

disk_watch::disk_watch(memory_disk& disk, disk_bounds bounds, node_figures& figures,
                       std::function<void(const std::string&)> excess)
  : disk_(disk),
    bounds_(bounds),
    figures_(figures),
    excess_(std::move(excess)) {
  for (size_t i = 0; i < table_names.size(); ++i)
    for (auto& [key, value] : disk.content(static_cast<table>(i)))
      changed(static_cast<table>(i), key, 1);
  committed();
  disk.watch(this);
}

void disk_watch::changed(table t, std::string_view key, int came) {
  counts_[static_cast<size_t>(t)] += static_cast<uint64_t>(came);
  if (t != table::queue || came == 0)
    return;
  auto queue = read_u32(key); // the head of its keys
  auto& items = queues_[queue];
  items += static_cast<uint64_t>(came);
  if (items > bounds_.queue_items)
    suspects_.push_back(queue);
  else if (items == 0)
    queues_.erase(queue);
}

void disk_watch::committed() {
  figures_.queued = count(table::queue);
  figures_.stored_bytes = disk_.bytes_used();
  if (disk_.bytes_used() > bounds_.bytes + bounds_.bytes / 4)
    excess_(std::to_string(disk_.bytes_used()) + " bytes stored");
  for (auto queue : suspects_)
    if (auto i = queues_.find(queue); i != queues_.end() && i->second > bounds_.queue_items)
      excess_("a queue holds " + std::to_string(i->second) + " requests, more than its bound");
  suspects_.clear();
  // What no time is set for stays for ever: ids in the dedupe table, and what hangs on them.
  if (count(table::ids) > count(table::due))
    excess_("an id that will never be forgotten");
  if (count(table::records) > 2 * count(table::ids) || count(table::dispatched) > count(table::ids))
    excess_("requests are stored that no id refers to");
  if (queued_gauge && !(queued_gauge->value() >= 0))
    excess_("the count of what waits is below nothing");
}

} // namespace rvi::simulation
