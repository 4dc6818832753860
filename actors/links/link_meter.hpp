// SPDX-License-Identifier: MPL-2.0
//
// How fast a link is: bytes the peer has confirmed, over the time in which something was under way.
// Pauses do not count, and stretches that carry little say more about the round trip than about the
// link, so they are left out.

#pragma once

#include "messages/batches.hpp"

#include <cstdint>
#include <map>
#include <utility>

namespace rvi {

class link_meter {
public:
  /// A stretch counts once this much of it is confirmed.
  static constexpr uint64_t stretch_bytes_min = uint64_t{64} << 10;

  /// Content went out. Times are boot time in us.
  void sent(const batch& x, uint64_t now_us);
  /// The peer has it, or refused it: it has come over the link either way. True: the rate is new.
  bool confirmed(const custody_report& x, uint64_t now_us);
  /// 0: nothing large enough has passed yet. Each new stretch weighs a quarter.
  uint64_t bytes_per_s() const { return bytes_per_s_; }

private:
  using key = std::pair<transaction_id, bool>;
  void take(const key& x);

  std::map<key, uint64_t> under_way_; // bytes; bounded by the peer's credit
  uint64_t stretch_us_ = 0;           // when it began
  uint64_t stretch_bytes_ = 0;
  uint64_t bytes_per_s_ = 0;
};

} // namespace rvi
