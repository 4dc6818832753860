// SPDX-License-Identifier: MPL-2.0
//
// A scenario is data: which nodes there are, who can reach whom and when, what they ask of each
// other, what goes wrong. Everything else of a run is drawn from its seed.

#pragma once

#include "runtime/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::simulation {

/// Nodes of one kind. Their addresses are `address` with `{n}` replaced by a number from 1.
struct node_group {
  std::string name;
  std::string role = "vehicle"; // vehicle, mobile, cloud
  std::string organization = "jlr.com";
  std::string address;                // "jlr.com/vin/{n}"
  uint64_t count = 0;                 // 0: by share
  uint64_t share = 0;                 // of the nodes that are not counted
  std::vector<std::string> services;  // below the address: "lock"
  std::vector<std::string> may_reach; // destinations of its credential, `{n}` as in the address
  std::vector<std::string> relay;     // whom it may carry for, the claim of its credential
  bool idempotent = false;            // its services may be run again
  uint64_t store_bytes_max = uint64_t{64} << 20;
};

/// How the nodes of two groups belong together.
enum class pairing {
  own,    // the i-th with the i-th
  spread, // the i-th of the first with the i-th of the second, round and round
  drawn,  // each of the first with one of the second, drawn by the seed
  all,    // every one with every one
};

/// Which nodes can reach each other, how, and when. Nodes of the first group dial; those of the
/// second can be dialled.
struct link_plan {
  std::string from;
  std::string to;
  simulation::pairing pairing = pairing::spread;
  std::string kind = "lte"; // nodes with several choose by it; also a name for reports
  bool mutual = false;      // both can be dialled
  bool always = false;      // the dialling side wants it up at all times
  bool stream = true;       // like TLS over TCP: in order, nothing lost or changed
  uint64_t latency_ms_min = 20;
  uint64_t latency_ms_max = 80;
  uint64_t bytes_per_s = 1'000'000;
  uint64_t up_ms = 0;          // mean time within reach; 0: always
  uint64_t down_ms = 0;        // mean time out of reach between
  uint64_t daily_from_ms = 0;  // within reach only in these hours, if they differ
  uint64_t daily_until_ms = 0; // may lie before `from`: over midnight
};

/// What services ask: each node of `from` asks its partner (as a link plan pairs them, or as
/// `pairing` says) again and again.
struct traffic_plan {
  std::string from;
  std::string to;
  simulation::pairing pairing = pairing::spread;
  bool rpc = true;
  std::string service;
  uint64_t every_ms = 3'600'000; // mean gap for each node of `from`
  uint64_t bytes_min = 16;
  uint64_t bytes_max = 256;
  uint64_t timeout_ms_min = 60'000;
  uint64_t timeout_ms_max = 86'400'000;
  uint64_t reply_ms_max = 2'000; // the service thinks up to this long
  bool ordered = false;          // one channel for each pair: order is checked
  uint64_t first_ms = 0;         // nothing before
  uint64_t last_ms = 0;          // nothing after, if not 0
  uint64_t priority = 4;
};

/// One thing that happens at one time.
struct event_plan {
  uint64_t at_ms = 0;
  std::string what; // restart, stop, start, revoke, clone, part, join
  std::string group;
  std::string other;   // part, join: the second group
  uint64_t number = 0; // of the node in its group; 0: all of them
};

/// The worst a seed may draw of each class of faults; 0 switches a class off. Percentages are of
/// messages, times are means for each node (or each link) between two of them.
struct fault_plan {
  // links without TLS
  uint64_t loss_percent = 0;
  uint64_t duplicate_percent = 0; // and replay of older messages
  uint64_t reorder_percent = 0;
  uint64_t corrupt_percent = 0;
  // all links
  uint64_t delay_percent = 0;
  uint64_t delay_ms_max = 5'000;
  uint64_t cut_every_ms = 0; // one-way and both ways, noticed or not
  uint64_t cut_ms_max = 600'000;
  uint64_t slow_percent = 0; // of nodes: each message waits up to slow_ms_max
  uint64_t slow_ms_max = 10'000;
  // nodes
  uint64_t crash_every_ms = 0; // power cut, also in the middle of a commit
  uint64_t down_ms_max = 600'000;
  uint64_t actor_crash_every_ms = 0; // one actor fails; its supervisor restarts it
  uint64_t disk_error_every_ms = 0;  // commits fail, some land all the same
  uint64_t disk_full_every_ms = 0;
  uint64_t service_away_every_ms = 0; // services end and come back, also without a receipt
  uint64_t clock_jump_every_ms = 0;
  uint64_t clock_jump_ms_max = 0; // forth or back
  uint64_t clock_drift_ppm_max = 0;
  bool interleave = false; // waiting actors run in any order
};

struct scenario {
  std::string name; // of the file
  std::string title;
  uint64_t nodes = 20;
  uint64_t duration_ms = 12 * 3'600'000ULL;
  uint64_t heal_ms = 1'800'000; // at the end without faults: what can arrive must arrive
  uint64_t keepalive_ms = 60'000;
  uint64_t idle_ms = 300'000;        // links without traffic end
  uint64_t backoff_ms_max = 300'000; // between dials
  uint64_t queue_items_max = 10'000;
  std::vector<node_group> groups;
  std::vector<link_plan> links;
  std::vector<traffic_plan> traffic;
  std::vector<event_plan> events;
  fault_plan faults;

  const node_group* find(std::string_view group) const;
  /// The kinds of its links, in the order of their plans: that of preference.
  std::vector<std::string> kinds() const;
};

/// `text` with the number of a node in its group for `{n}`.
std::string numbered(std::string text, size_t number);

/// Reads a scenario file. Errors: `io_failed`, `config_invalid` (file, line and key).
expected<scenario> load_scenario(const std::string& path);
expected<scenario> parse_scenario(std::string_view text, const std::string& name);

/// One of those that come with the program. Error: `not_found`, with the names there are.
expected<scenario> built_in_scenario(const std::string& name);
std::vector<std::string> built_in_scenarios();

/// The file that `parse_scenario` reads back to an equal scenario.
std::string to_toml(const scenario& x);

} // namespace rvi::simulation
