// SPDX-License-Identifier: MPL-2.0

#include "actors/links/beacon.hpp"

#include "messages/transaction_id.hpp"
#include "runtime/crypto/crypto.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr std::string_view magic = "RVI1";
constexpr uint8_t version = 1;
constexpr uint64_t ephemeral_ms = 900'000;
constexpr uint64_t jitter_ms = 1'000;
constexpr uint32_t first_ones = 3;
constexpr uint64_t gap_ms_min = 10'000;
constexpr uint64_t gap_ms_max = 60'000;

/// CRC-16/CCITT-FALSE.
uint16_t crc16(std::string_view x) {
  uint16_t result = 0xffff;
  for (unsigned char c : x) {
    result = static_cast<uint16_t>(result ^ (c << 8));
    for (int bit = 0; bit < 8; ++bit)
      result = static_cast<uint16_t>((result & 0x8000) != 0 ? (result << 1) ^ 0x1021 : result << 1);
  }
  return result;
}

void append_u16(std::string& out, uint16_t x) {
  out.push_back(static_cast<char>(x >> 8));
  out.push_back(static_cast<char>(x & 0xff));
}

uint16_t u16_at(std::string_view x, size_t at) {
  return static_cast<uint16_t>((static_cast<unsigned char>(x[at]) << 8)
                               | static_cast<unsigned char>(x[at + 1]));
}

} // namespace

std::string encode_beacon(const beacon& x) {
  std::string result{magic};
  result.push_back(static_cast<char>(version));
  result.push_back(static_cast<char>(x.flags));
  append_u16(result, x.tcp_port);
  result.append(x.instance.begin(), x.instance.end());
  result.append(x.ephemeral.begin(), x.ephemeral.end());
  append_u16(result, crc16(result));
  return result;
}

std::optional<beacon> decode_beacon(std::string_view x) {
  if (x.size() < beacon_bytes || x.size() > beacon_bytes_max || !x.starts_with(magic)
      || static_cast<uint8_t>(x[4]) != version)
    return std::nullopt;
  if (u16_at(x, beacon_bytes - 2) != crc16(x.substr(0, beacon_bytes - 2)))
    return std::nullopt;
  beacon result;
  result.flags = static_cast<uint8_t>(x[5]);
  result.tcp_port = u16_at(x, 6);
  std::copy_n(x.begin() + 8, result.instance.size(), result.instance.begin());
  std::copy_n(x.begin() + 24, result.ephemeral.size(), result.ephemeral.begin());
  if (result.tcp_port == 0)
    return std::nullopt;
  return result;
}

std::array<uint8_t, 8> ephemeral_id(std::string_view key, uint64_t wall_ms) {
  std::string quarter;
  append_u64(quarter, wall_ms / ephemeral_ms);
  auto digest = crypto::hmac_sha256(key, quarter);
  std::array<uint8_t, 8> result;
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = static_cast<uint8_t>(digest[i]);
  return result;
}

uint64_t beacon_schedule::draw() {
  return std::uniform_int_distribution<uint64_t>{0, jitter_ms}(jitter_);
}

void beacon_schedule::start(uint64_t now_ms) {
  sent_ = 0;
  due_ms_ = now_ms + draw();
}

void beacon_schedule::sent(uint64_t now_ms) {
  ++sent_;
  uint64_t gap = 0;
  if (sent_ >= first_ones)
    gap = std::min(gap_ms_min << std::min(sent_ - first_ones, 8U), gap_ms_max);
  due_ms_ = now_ms + gap + draw();
}

} // namespace rvi
