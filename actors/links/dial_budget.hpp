// SPDX-License-Identifier: MPL-2.0
//
// How many of those that beacons and pings tell of are dialled: anybody on the network can send as
// many as they like, and each dial costs a handshake. Nodes we know have a budget of their own, so
// that a flood of strangers cannot keep them away; strangers are drawn at random on each interface.

#pragma once

#include "actors/sockets/ip.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace rvi {

struct found_node {
  ip_address host;
  std::string address; // to dial
  uint32_t interface = 0;
  std::string kind; // of link; empty: no name
};

class dial_budget {
public:
  static constexpr size_t dials_per_s = 5; // of known ones, and of strangers
  static constexpr uint64_t source_pause_ms = 30'000;
  static constexpr size_t pending_max = 64; // of known ones, and of strangers
  /// A dial counts as pending this long: the time to connect and to authorize.
  static constexpr uint64_t pending_ms = 20'000;
  static constexpr size_t candidates_max = 16; // of one interface
  static constexpr size_t interfaces_max = 64;

  explicit dial_budget(uint64_t seed) : random_(seed) {}

  /// Nobody from this source is taken now.
  bool pauses(const ip_address& host, uint64_t now_ms) const;
  /// Somebody is there. It waits for the next draw, or is dropped.
  void offer(found_node x, bool known, uint64_t now_ms);
  /// Those to dial now. Call it once a second while `waiting`.
  std::vector<found_node> draw(uint64_t now_ms);
  bool waiting() const { return !strangers_.empty() || !known_.empty(); }
  size_t pending(uint64_t now_ms);

private:
  struct candidates {
    std::vector<found_node> drawn;
    uint64_t seen = 0;
  };

  void add(candidates& to, found_node x);
  void take(candidates& from, std::deque<uint64_t>& pending, size_t& left, uint64_t now_ms,
            std::vector<found_node>& out);
  static void forget_old(std::deque<uint64_t>& pending, uint64_t now_ms);

  std::mt19937_64 random_;
  std::map<uint32_t, candidates> strangers_; // by interface
  std::map<uint32_t, candidates> known_;
  std::map<ip_address, uint64_t> not_before_; // sources dialled lately
  std::deque<uint64_t> pending_strangers_;    // when each was dialled
  std::deque<uint64_t> pending_known_;
};

} // namespace rvi
