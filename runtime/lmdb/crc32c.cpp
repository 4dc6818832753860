// SPDX-License-Identifier: MPL-2.0
//
// Both ways give the same sums; a store may move between machines.

#include "runtime/lmdb/crc32c.hpp"

#include <array>
#include <cstring>

namespace rvi::lmdb {

namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> result{};
  for (uint32_t i = 0; i < 256; ++i) {
    auto x = i;
    for (int bit = 0; bit < 8; ++bit)
      x = x & 1 ? x >> 1 ^ 0x82F63B78 : x >> 1;
    result[i] = x;
  }
  return result;
}

constexpr auto table = make_table();

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) uint32_t
crc32c_by_instruction(std::string_view bytes, uint32_t before) {
  uint64_t sum = ~before;
  auto p = bytes.data();
  auto n = bytes.size();
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    sum = __builtin_ia32_crc32di(sum, word);
  }
  for (; n > 0; ++p, --n)
    sum = __builtin_ia32_crc32qi(uint32_t(sum), uint8_t(*p));
  return ~uint32_t(sum);
}

const bool has_instruction = __builtin_cpu_supports("sse4.2");

#endif

} // namespace

uint32_t detail::crc32c_by_table(std::string_view bytes, uint32_t before) {
  auto sum = ~before;
  for (auto c : bytes)
    sum = sum >> 8 ^ table[(sum ^ uint8_t(c)) & 0xFF];
  return ~sum;
}

uint32_t crc32c(std::string_view bytes, uint32_t before) {
#if defined(__x86_64__)
  if (has_instruction)
    return crc32c_by_instruction(bytes, before);
#endif
  return detail::crc32c_by_table(bytes, before);
}

} // namespace rvi::lmdb
