// SPDX-License-Identifier: MPL-2.0
//
// Events in the order they came; small and free of allocations while it is empty.

#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rvi::http {

template <class T>
class event_queue {
public:
  void push(T x) { events_.push_back(std::move(x)); }

  std::optional<T> pop() {
    if (taken_ == events_.size())
      return std::nullopt;
    std::optional<T> result{std::move(events_[taken_++])};
    if (taken_ == events_.size()) {
      events_.clear();
      taken_ = 0;
    }
    return result;
  }

private:
  std::vector<T> events_;
  size_t taken_ = 0;
};

/// Moves text from a connection's buffer into a broker's, and gives a large buffer back.
inline void drain(std::string& from, std::vector<char>& to) {
  constexpr size_t kept_capacity_max = 32 << 10;
  to.insert(to.end(), from.begin(), from.end());
  if (from.capacity() > kept_capacity_max)
    from = {};
  else
    from.clear();
}

} // namespace rvi::http
