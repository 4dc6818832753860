// SPDX-License-Identifier: MPL-2.0

#include "actors/metric_queue.hpp"

namespace rvi {

namespace {
constexpr size_t overhead_bytes = 128; // of one value, besides its texts
} // namespace

size_t metric_queue::size_of(const metric_value& x) {
  return x.topic.size() + x.source.size() + x.value.size() + overhead_bytes;
}

size_t metric_queue::add(metric_value_ptr x) {
  size_t given_up = 0;
  auto known = places_.extract(key_of(*x));
  if (known) {
    auto& old = waiting_[known.mapped()];
    ++given_up;
    if (!is_newer(*x, *old))
      x = old;
    bytes_ -= size_of(*old);
    bytes_ += size_of(*x);
    known.key() = key_of(*x); // the old texts go
    old = std::move(x);
    places_.insert(std::move(known));
  } else {
    bytes_ += size_of(*x);
    places_.emplace(key_of(*x), ++last_place_);
    waiting_.emplace(last_place_, std::move(x));
  }
  while (waiting_.size() > 1
         && (waiting_.size() > limits_.topics_max || bytes_ > limits_.bytes_max)) {
    take();
    ++given_up;
  }
  return given_up;
}

metric_value_ptr metric_queue::take() {
  if (waiting_.empty())
    return nullptr;
  auto first = waiting_.begin();
  auto result = std::move(first->second);
  places_.erase(key_of(*result));
  bytes_ -= size_of(*result);
  waiting_.erase(first);
  return result;
}

} // namespace rvi
