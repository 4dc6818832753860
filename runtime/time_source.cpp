// SPDX-License-Identifier: MPL-2.0

#include "runtime/time_source.hpp"

#include <ctime>

namespace rvi {

namespace {

uint64_t now_us(clockid_t clock) {
  timespec x{};
  clock_gettime(clock, &x);
  return static_cast<uint64_t>(x.tv_sec) * 1'000'000 + static_cast<uint64_t>(x.tv_nsec) / 1'000;
}

class system_time_source : public time_source {
public:
  uint64_t wall_ms() const override { return now_us(CLOCK_REALTIME) / 1'000; }
  uint64_t boot_ms() const override { return now_us(CLOCK_BOOTTIME) / 1'000; }
  uint64_t boot_us() const override { return now_us(CLOCK_BOOTTIME); }
};

} // namespace

time_source_ptr system_time() {
  static const auto result = std::make_shared<const system_time_source>();
  return result;
}

} // namespace rvi
