// SPDX-License-Identifier: MPL-2.0

#include "actors/links/dial_budget.hpp"

#include <algorithm>

namespace rvi {

void dial_budget::add(candidates& to, found_node x) {
  for (auto& y : to.drawn)
    if (y.host == x.host && y.address == x.address)
      return;
  ++to.seen;
  if (to.drawn.size() < candidates_max) {
    to.drawn.push_back(std::move(x));
    return;
  }
  // Each of those seen is as likely to be among the few that are kept.
  auto place = std::uniform_int_distribution<uint64_t>{0, to.seen - 1}(random_);
  if (place < to.drawn.size())
    to.drawn[place] = std::move(x);
}

bool dial_budget::pauses(const ip_address& host, uint64_t now_ms) const {
  auto i = not_before_.find(host);
  return i != not_before_.end() && i->second > now_ms;
}

void dial_budget::offer(found_node x, bool known, uint64_t now_ms) {
  if (pauses(x.host, now_ms))
    return;
  auto& of_all = known ? known_ : strangers_;
  if (of_all.count(x.interface) == 0 && of_all.size() >= interfaces_max)
    return;
  add(of_all[x.interface], std::move(x));
}

void dial_budget::forget_old(std::deque<uint64_t>& pending, uint64_t now_ms) {
  while (!pending.empty() && pending.front() + pending_ms <= now_ms)
    pending.pop_front();
}

size_t dial_budget::pending(uint64_t now_ms) {
  forget_old(pending_strangers_, now_ms);
  forget_old(pending_known_, now_ms);
  return pending_strangers_.size() + pending_known_.size();
}

void dial_budget::take(candidates& from, std::deque<uint64_t>& pending, size_t& left,
                       uint64_t now_ms, std::vector<found_node>& out) {
  if (from.drawn.empty() || left == 0 || pending.size() >= pending_max)
    return;
  auto i = std::uniform_int_distribution<size_t>{0, from.drawn.size() - 1}(random_);
  auto x = std::move(from.drawn[i]);
  from.drawn.erase(from.drawn.begin() + static_cast<ptrdiff_t>(i));
  auto& pause = not_before_[x.host];
  if (pause > now_ms)
    return; // drawn a moment ago, under another port
  pause = now_ms + source_pause_ms;
  pending.push_back(now_ms);
  --left;
  out.push_back(std::move(x));
}

std::vector<found_node> dial_budget::draw(uint64_t now_ms) {
  std::vector<found_node> result;
  std::erase_if(not_before_, [now_ms](auto& x) { return x.second <= now_ms; });
  (void)pending(now_ms);
  auto draw_from = [&](auto& of_all, auto& pending) {
    size_t left = dials_per_s;
    // Interfaces take turns, so that one that is flooded leaves room for the others.
    for (size_t turn = 0; turn < candidates_max; ++turn)
      for (auto& [interface, from] : of_all)
        take(from, pending, left, now_ms, result);
    of_all.clear(); // whoever is still there says so again
  };
  draw_from(known_, pending_known_);
  draw_from(strangers_, pending_strangers_);
  return result;
}

} // namespace rvi
