// SPDX-License-Identifier: MPL-2.0
//
// Wakes an actor with `atom::tick` at the earliest of its deadlines, and not at all while it has
// none. A deadline that moves further away costs no message: the tick under way comes, finds
// nothing due and is armed for the rest.

#pragma once

#include "messages/actors.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace rvi {

class wake_timer {
public:
  /// A tick under way keeps its actor's memory, also when the actor has ended, so none is sent
  /// further ahead than this; a later deadline takes several.
  static constexpr uint64_t span_ms_max = 3'600'000;

  /// Delays stand still while the machine sleeps. Whoever must notice that sets `look_ms_min`: it
  /// is woken after an eighth of the way to its deadline, but not sooner than this.
  explicit wake_timer(uint64_t look_ms_min = span_ms_max) : look_ms_min_(look_ms_min) {}

  /// Sees to it that a tick comes at `deadline_ms` (boot time), or earlier. Never earlier than the
  /// earliest deadline given, but for the span: `now_ms` is rounded down, so the delay is not too
  /// short.
  template <class Self>
  void arm(Self* self, uint64_t now_ms, std::optional<uint64_t> deadline_ms) {
    if (!deadline_ms)
      return;
    auto left = *deadline_ms > now_ms ? *deadline_ms - now_ms : 0;
    auto at = now_ms + std::min(left, std::clamp(left / 8, look_ms_min_, span_ms_max));
    if (!under_way_.empty() && under_way_.back() <= at && under_way_.back() + late_ms_max >= now_ms)
      return;
    under_way_.push_back(at);
    self->delayed_send(self, std::chrono::milliseconds{at - now_ms}, atom::tick_v);
  }

  /// A tick has come: do what is due, then arm anew.
  void fired() {
    if (!under_way_.empty())
      under_way_.pop_back();
  }

private:
  // Boot time goes on while the machine sleeps, delays do not: a tick this late is not waited for.
  static constexpr uint64_t late_ms_max = 1'000;

  uint64_t look_ms_min_;
  std::vector<uint64_t> under_way_; // ticks sent, the next to come last
};

} // namespace rvi
