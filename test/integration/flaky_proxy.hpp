// SPDX-License-Identifier: MPL-2.0
//
// A TCP proxy that misbehaves as radio links do: it cuts, closes, loses bytes, delays, and goes
// silent while its connections stay open. What happens to which connection is drawn from a seed,
// and comes after so many bytes rather than after a time, so that a slow machine sees the same
// faults.

#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <random>
#include <string>
#include <thread>

namespace rvi::test {

class flaky_proxy {
public:
  /// What it has done to connections so far; each counted once.
  struct counts {
    std::atomic<uint64_t> connections{0};
    std::atomic<uint64_t> cut{0};       // reset at a random time
    std::atomic<uint64_t> closed{0};    // ended in order
    std::atomic<uint64_t> lost{0};      // some bytes never forwarded
    std::atomic<uint64_t> delayed{0};   // each piece late, then cut
    std::atomic<uint64_t> half_open{0}; // nothing forwarded any more in one or both directions

    uint64_t flaps() const { return cut + closed + lost + delayed + half_open; }
  };

  /// Listens on a free port of 127.0.0.1 and forwards to `port` there.
  flaky_proxy(uint16_t port, uint64_t seed);
  ~flaky_proxy();
  flaky_proxy(const flaky_proxy&) = delete;
  flaky_proxy& operator=(const flaky_proxy&) = delete;

  uint16_t port() const { return own_port_; }
  /// From now on connections are forwarded as they should be; those with a fault end.
  void heal() { healed_ = true; }
  const counts& done() const { return counts_; }

private:
  enum class fault { none, cut, closed, lost, delayed, half_open };

  struct direction {
    int from = -1;
    int to = -1;
    std::string waiting;
    uint64_t due_us = 0;   // not forwarded before
    bool silent = false;   // nothing is forwarded any more
    size_t to_be_lost = 0; // bytes
  };

  struct connection {
    direction there;
    direction back;
    fault what = fault::none;
    uint64_t bytes = 0;       // forwarded so far
    uint64_t fault_bytes = 0; // its fault comes after so many
    uint64_t fault_us = 0;    // or at this time; 0: it has come
    uint64_t delay_us = 0;
    bool ended = false;
    bool reset = false;
  };

  void run();
  void take_one(uint64_t now_us);
  void draw_fault(connection& x, uint64_t now_us);
  void misbehave(connection& x, uint64_t now_us);
  void receive(connection& x, direction& d, uint64_t now_us);
  void forward(connection& x, direction& d, uint64_t now_us);
  static void end(connection& x);
  uint64_t random(uint64_t below) { return below == 0 ? 0 : engine_() % below; }

  uint16_t to_port_;
  uint16_t own_port_ = 0;
  int listener_ = -1;
  std::mt19937_64 engine_;
  std::atomic<bool> healed_{false};
  std::atomic<bool> stopped_{false};
  counts counts_;
  std::list<connection> connections_;
  std::thread thread_;
};

} // namespace rvi::test
