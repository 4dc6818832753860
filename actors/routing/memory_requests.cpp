// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/memory_requests.hpp"

#include <cassert>

namespace rvi {

namespace {

constexpr uint64_t second_ms = 1'000;

caf::error busy() {
  return caf::make_error(ec::busy, std::string{"too much is kept in memory (durability none)"});
}

} // namespace

memory_requests::memory_requests(uint64_t started_ms, const memory_limits& limits)
  : started_ms_(started_ms),
    limits_(limits) {}

caf::error memory_requests::run(const transaction_step& step) {
  if (!tables_) {
    tables_ = memory_disk::make();
    auto opened = tables_->open();
    assert(opened);
    opened_ = std::move(*opened);
    tables_->set_capacity(limits_.bytes_max);
  }
  auto changes = opened_->begin_write();
  if (!changes)
    return std::move(changes.error());
  auto failure = step(**changes);
  if (!failure)
    failure = (*changes)->commit();
  return code_of(failure) == ec::store_full && failure ? busy() : failure;
}

bool memory_requests::has_room() const {
  return items() < limits_.items_max && bytes() < limits_.bytes_max && ids() < limits_.ids_max;
}

uint64_t memory_requests::items() const {
  return tables_ ? tables_->content(table::ids).size() : 0;
}

void memory_requests::settle(const transaction_id& id, uint64_t expires_ms) {
  if (expires_ms > forgotten_until_ms_ && settled_.insert(id).second)
    expiring_[expires_ms / second_ms].push_back(id);
}

void memory_requests::forget(uint64_t now_ms) {
  // A whole second at a time; its last millisecond must be over.
  auto end = expiring_.lower_bound(now_ms / second_ms);
  for (auto i = expiring_.begin(); i != end; i = expiring_.erase(i)) {
    for (auto& id : i->second)
      settled_.erase(id);
    forgotten_until_ms_ = (i->first + 1) * second_ms - 1;
  }
}

} // namespace rvi
