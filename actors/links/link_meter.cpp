// SPDX-License-Identifier: MPL-2.0

#include "actors/links/link_meter.hpp"

#include <algorithm>

namespace rvi {

void link_meter::sent(const batch& x, uint64_t now_us) {
  if (under_way_.empty()) {
    stretch_us_ = now_us;
    stretch_bytes_ = 0;
  }
  for (auto& item : x)
    under_way_[{item->header.id, item->header.is_reply()}] = item->size();
}

void link_meter::take(const key& x) {
  auto i = under_way_.find(x);
  if (i == under_way_.end())
    return;
  stretch_bytes_ += i->second;
  under_way_.erase(i);
}

bool link_meter::confirmed(const custody_report& x, uint64_t now_us) {
  for (auto& accepted : x.accepted)
    take({accepted.id, accepted.reply});
  for (auto& refused : x.refused)
    take({refused.id, refused.reply});
  if (stretch_bytes_ < stretch_bytes_min)
    return false;
  auto took_us = std::max<uint64_t>(now_us - stretch_us_, 1);
  auto rate = stretch_bytes_ * 1'000'000 / took_us;
  bytes_per_s_ = bytes_per_s_ == 0 ? rate : bytes_per_s_ - bytes_per_s_ / 4 + rate / 4;
  stretch_us_ = now_us;
  stretch_bytes_ = 0;
  return true;
}

} // namespace rvi
