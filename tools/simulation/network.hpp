// SPDX-License-Identifier: MPL-2.0
//
// The network between simulated nodes: who is within reach of whom, how long bytes take, and what
// happens to them on the way. Node code runs its real sessions over it.

#pragma once

#include "actors/links/loopback_link.hpp"
#include "tools/simulation/random.hpp"
#include "tools/simulation/scenario.hpp"
#include "tools/simulation/timeline.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace rvi::simulation {

/// What a seed makes of the network's faults.
struct network_faults {
  uint64_t loss_percent = 0;
  uint64_t duplicate_percent = 0;
  uint64_t replay_percent = 0;
  uint64_t reorder_percent = 0;
  uint64_t corrupt_percent = 0;
  uint64_t delay_percent = 0;
  uint64_t delay_ms_max = 0;
};

/// One pair of nodes that can be within reach of each other.
struct path {
  size_t plan = 0; // of the scenario's links
  size_t from = 0; // node numbers; `from` dials
  size_t to = 0;
  bool in_reach = true;
  bool cut_forth = false; // nothing passes from `from` to `to`
  bool cut_back = false;
};

/// Counts for the report.
struct network_counts {
  uint64_t messages = 0;
  uint64_t bytes = 0;
  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t replayed = 0;
  uint64_t reordered = 0;
  uint64_t corrupted = 0;
  uint64_t delayed = 0;
  uint64_t resets = 0;
  uint64_t sessions = 0; // answered
};

class network : public loopback_hub {
public:
  /// What passes the network, for the trace and for message sequences.
  struct observer {
    virtual ~observer() = default;
    virtual void carried(size_t from, size_t to, const std::string& kind, const std::string& bytes,
                         const char* fate)
      = 0;
  };

  network(std::shared_ptr<timeline> time, const scenario& plan, uint64_t seed);

  static std::string address_of(size_t node) { return "loopback:node-" + std::to_string(node); }

  void add_path(path x);
  /// The paths of a node, as numbers into `paths`.
  const std::vector<size_t>& paths_of(size_t node) const;
  const std::vector<path>& paths() const { return paths_; }
  /// How many sessions of this node were answered so far.
  uint64_t answered(size_t node) const {
    return node < places_.size() ? places_[node].answered : 0;
  }
  /// Brings a pair within reach of each other or out of it. Sessions on it end: one side may notice
  /// at once, or neither.
  void set_reach(size_t path, bool in_reach);
  bool can_dial(size_t from, size_t to) const {
    return find_path(from, to, true, {}) != ~size_t{0};
  }
  /// Some node may dial this one.
  bool can_be_dialled(size_t node) const;
  void cut(size_t path, bool forth, bool back);
  /// All messages of this node take up to this long more; 0: as usual.
  void slow_down(size_t node, uint64_t ms_max) { place_of(node).slow_ms_max = ms_max; }
  void forget_faults();
  /// The node lost its power: its sessions end without a word.
  void power_off(size_t node);

  void observe(observer* x) { observer_ = x; }
  /// How a node hears that it can be within reach of others again, over which kind of link.
  void on_network_up(std::function<void(size_t node, const std::string& kind)> x) {
    network_up_ = std::move(x);
  }

  std::map<std::string, uint64_t> sessions_by_kind() const;

  // loopback_hub
  bool
  answers(const std::string& from, const std::string& to, const std::string& kind) const override;
  void
  call(const std::string& from, const std::string& to, const std::string& kind,
       const caf::actor& dialling, const std::string& spki, const std::string& exporter) override;
  void
  answer(const caf::actor& dialling, const caf::actor& answering, const std::string& spki) override;
  void carry(const caf::actor& from, const caf::actor& to, std::string bytes) override;
  void watch(caf::event_based_actor* session, const caf::actor& peer) override;
  void ended(const caf::actor_addr& session) override;

  network_faults faults;
  network_counts counts;

private:
  /// One end of a session.
  struct end {
    size_t node = 0;
    size_t peer_node = 0;
    size_t path = 0;
    caf::actor_addr self;
    caf::actor_addr peer; // none until it has answered
    uint64_t free_ms = 0; // when the line is free again for what this end sends
    uint64_t last_ms = 0; // when the last message sent in order arrives
    bool broken = false;  // a stream with a gap: nothing more arrives
  };

  /// Sessions, ascending. A path or a node has a few of them.
  using id_list = std::vector<caf::actor_id>;

  /// What belongs to one node.
  struct place {
    std::vector<size_t> paths;
    id_list ends;
    uint64_t slow_ms_max = 0;
    uint64_t answered = 0;
  };

  place& place_of(size_t node);
  void add_end(end x);
  const link_plan& plan_of(const path& x) const { return plan_.links[x.plan]; }
  /// The path of this kind (empty: of any) between these two that is in reach; with `dials`, one
  /// that `from` can dial.
  size_t find_path(size_t from, size_t to, bool dials, const std::string& kind) const;
  bool passes(const path& x, size_t from) const;
  void break_sessions(size_t path);
  void end_broken(size_t path);
  void reset(caf::actor_id session, uint64_t after_ms);
  uint64_t latency(const link_plan& plan, size_t from, size_t to);
  void carry_stream(end& x, const caf::actor& to, std::string bytes);
  void carry_datagram(end& x, const caf::actor& to, std::string bytes);
  void deliver(uint64_t after_ms, const end& from, const caf::actor& to, std::string bytes);
  void note(const end& x, const std::string& bytes, const char* fate);

  std::shared_ptr<timeline> time_;
  const scenario& plan_;
  random_source random_;
  std::vector<path> paths_;
  std::vector<place> places_; // by node
  std::vector<id_list> ends_by_path_;
  std::unordered_map<caf::actor_id, end> ends_;                        // by session
  std::map<std::pair<size_t, size_t>, std::deque<std::string>> heard_; // for replay
  observer* observer_ = nullptr;
  std::function<void(size_t, const std::string&)> network_up_;
};

} // namespace rvi::simulation
