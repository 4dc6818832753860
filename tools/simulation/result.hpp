// SPDX-License-Identifier: MPL-2.0
//
// What one run of a scenario gave: the verdict, totals, and samples over time for the picture.

#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace rvi::simulation {

/// A broken promise. `invariant` is one of I1 to I13.
struct violation {
  std::string invariant;
  uint64_t at_ms = 0; // since the start of the run
  std::string id;     // transaction id in hex, or empty
  std::string node;   // its address, or empty
  std::string what;
};

/// How long requests took from acceptance to their service, over one kind of link: counts by
/// powers of two of milliseconds; slot i holds [2^i, 2^(i+1)), slot 0 also everything below.
struct latency_counts {
  static constexpr size_t slots = 40;
  std::array<uint64_t, slots> counts{};
  uint64_t total = 0;

  void add(uint64_t ms) {
    size_t slot = 0;
    while (slot + 1 < slots && (uint64_t{1} << (slot + 1)) <= ms)
      ++slot;
    ++counts[slot];
    ++total;
  }
};

/// The fleet at one moment, by group where that tells more.
struct sample {
  uint64_t at_ms = 0;
  std::map<std::string, uint64_t> up;       // nodes of each group that run
  std::map<std::string, uint64_t> links_up; // sessions by kind of link
  uint64_t queued = 0;                      // items waiting in all stores
  uint64_t queued_max = 0;                  // in the fullest store
  uint64_t stored_bytes = 0;                // on all disks
  // Totals since the start:
  uint64_t accepted = 0;
  uint64_t dispatched = 0;
  uint64_t ended = 0;            // outcomes that requesting services have
  uint64_t revocation_known = 0; // nodes that hold the newest revocation list
};

struct totals {
  uint64_t nodes = 0;
  double node_hours = 0;
  uint64_t submitted = 0;
  uint64_t accepted = 0;
  uint64_t refused = 0; // at submission
  uint64_t dispatched = 0;
  uint64_t replies = 0;
  std::map<std::string, uint64_t> outcomes; // ok, timeout, refused, outcome_unknown, error
  uint64_t duplicates_offered = 0;          // by the network
  uint64_t links = 0;                       // sessions that came up
  std::map<std::string, uint64_t> faults;   // injected, by class
  uint64_t actor_messages = 0;
  uint64_t verified = 0; // dispatches judged by the reference verifier
  uint64_t relayed = 0;  // of these, brought by a relay
};

struct run_result {
  std::string scenario;
  std::string title;
  uint64_t seed = 0;
  bool real_signatures = false;
  uint64_t simulated_ms = 0;
  uint64_t cpu_ms = 0;
  uint64_t rss_bytes_max = 0;
  std::string trace_hash; // 16 hex digits
  std::vector<violation> violations;
  totals total;
  std::vector<sample> samples;                   // about 300, evenly spaced
  std::map<std::string, latency_counts> latency; // by kind of link the request was sent over last
  std::vector<std::string> sequence;             // lines, only after a violation

  bool sound() const { return violations.empty(); }
};

/// As one JSON object, for `--format json`.
std::string to_json(const run_result& x);

/// As one self-contained HTML page (no script or style from elsewhere).
std::string to_html(const run_result& x);

} // namespace rvi::simulation
