// SPDX-License-Identifier: MPL-2.0
//
// The beacon by which nodes on one network find each other (HLD 7.4.2): its bytes and when it is
// sent. It is a hint and nothing more: it names neither node nor organization, and who is there is
// proved by the TLS session that it leads to.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace rvi {

inline constexpr size_t beacon_bytes = 34;
inline constexpr size_t beacon_bytes_max = 64; // longer ones are not looked at
inline constexpr uint16_t beacon_port = 8810;
inline constexpr const char* beacon_group_v4 = "239.255.86.73";
inline constexpr const char* beacon_group_v6 = "ff02::5256:4931";

struct beacon {
  uint8_t flags = 0;                  // none is defined yet; ignored
  uint16_t tcp_port = 0;              // where the node takes links
  std::array<uint8_t, 16> instance{}; // random, new at each start: whoever sent it knows its own
  std::array<uint8_t, 8> ephemeral{}; // changes every 15 minutes
};

/// "RVI1" | version u8 | flags u8 | tcp_port u16 | instance 16 | ephemeral 8 | CRC-16 u16; integers
/// big-endian.
std::string encode_beacon(const beacon& x);

/// Nothing for anything else; what follows the 34 bytes is for later versions.
std::optional<beacon> decode_beacon(std::string_view x);

/// HMAC-SHA-256(key, quarter of an hour u64)[:8]: nobody without the key can tell that two of them
/// are of one node.
std::array<uint8_t, 8> ephemeral_id(std::string_view key, uint64_t wall_ms);

/// When a beacon is due: three within seconds after a network came up, then after 10 s, doubling to
/// a minute, each with up to a second of jitter.
class beacon_schedule {
public:
  static constexpr uint64_t never_ms = UINT64_MAX;

  explicit beacon_schedule(uint64_t seed) : jitter_(seed) {}

  /// The network came up.
  void start(uint64_t now_ms);
  void stop() { due_ms_ = never_ms; }
  void sent(uint64_t now_ms);
  uint64_t due_ms() const { return due_ms_; }

private:
  uint64_t draw();

  std::mt19937_64 jitter_;
  uint32_t sent_ = 0; // since the start, as far as it matters
  uint64_t due_ms_ = never_ms;
};

} // namespace rvi
