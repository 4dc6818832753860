// SPDX-License-Identifier: MPL-2.0
//
// One run: builds the nodes of a scenario in one actor system, lets virtual time pass, draws
// mobility, traffic and faults from the seed, holds what happens to what was promised. No thread,
// no socket, no clock of the machine: the same seed gives the same run.

#pragma once

#include "tools/simulation/reference_verifier.hpp"
#include "tools/simulation/requests.hpp"
#include "tools/simulation/simulated_node.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace rvi::simulation {

struct run_options {
  uint64_t seed = 1;
  bool real_signatures = false; // else a hash stands for Ed25519
  bool sequence = false;        // write down what happens, for `run_result::sequence`
  std::string sequence_of;      // a transaction id in hex; empty: everything
};

/// One provisioning server for each organization.
struct organization {
  std::string name;
  crypto::private_key key;
  uint64_t revocation_serial = 0;
  std::vector<revocation_entry> revoked;
};

class fleet : private service_observer, private network::observer {
public:
  fleet(const scenario& plan, run_options options);
  ~fleet() override;

  run_result run();

private:
  struct system_config : caf::actor_system_config {
    system_config();
  };

  /// One traffic plan at one node.
  struct talker {
    size_t traffic = 0;
    size_t from = 0;
    std::vector<size_t> to; // drawn from, each time
    uint64_t ordered = 0;   // so many ordered requests were made
    random_source random;
  };

  /// A call of a service that its node has not answered yet.
  struct open_call {
    uint64_t request = 0; // number in the book; 0: a reply
    transaction_id reply_to;
  };

  // -- construction -------------------------------------------------------------------------------
  void make_organizations();
  void make_nodes();
  void make_paths();
  void make_routes();
  void make_talkers();
  void give_credentials(simulated_node& x);
  bool can_be_relayed(size_t from, size_t to) const;
  std::vector<size_t>
  partners(const std::string& from_group, size_t index, const std::string& to_group, pairing how);
  const std::vector<size_t>& members(const std::string& group) const { return groups_.at(group); }
  organization& organization_of(const simulated_node& x);

  // -- the loop -----------------------------------------------------------------------------------
  /// Runs until this time; everything that is due has happened then.
  void run_until(uint64_t ms);
  /// Runs actors until none has work.
  void settle();
  void run_one_actor();
  uint64_t next_timeout_ms() const;

  // -- fleet_traffic.cpp --------------------------------------------------------------------------
  void plan_mobility();
  void toggle_reach(size_t path);
  void follow_the_day(size_t path);
  void plan_traffic();
  void next_request(size_t talker);
  void ask(size_t talker, uint64_t timeout_ms);
  /// Everybody, or one in so many, asks once more, with time enough: this must arrive.
  void ask_once(size_t one_in);
  void register_service(size_t node, const std::string& service);
  void answer(size_t node, uint64_t generation, const transaction_id& id);

  // service_observer
  void edge_ready(size_t node, uint64_t generation, const service_edge_actor& edge) override;
  void answered(size_t node, uint64_t generation, const call_result& x) override;
  receipt invoked(size_t node, uint64_t generation, const invocation& x) override;
  receipt ended(size_t node, uint64_t generation, const outcome_delivery& x) override;
  bool is_now(size_t node, uint64_t generation) const;

  // network::observer
  void carried(size_t from, size_t to, const std::string& kind, const std::string& bytes,
               const char* fate) override;

  // -- fleet_faults.cpp ---------------------------------------------------------------------------
  void draw_faults();
  void plan_faults();
  struct recurring_fault {
    size_t node = 0;
    uint64_t every_ms = 0;
    const char* name = "";
    void (fleet::*what)(size_t, random_source&) = nullptr;
    random_source random;
  };
  void plan_for_each_node(uint64_t every_ms, const char* name,
                          void (fleet::*what)(size_t, random_source&));
  void next_fault(recurring_fault x);
  void crash(size_t node, random_source& random);
  void crash_in_commit(size_t node, random_source& random);
  void crash_actor(size_t node, random_source& random);
  void disk_error(size_t node, random_source& random);
  void disk_full(size_t node, random_source& random);
  void service_away(size_t node, random_source& random);
  void clock_jump(size_t node, random_source& random);
  void cut_path(size_t path);
  void power_cycle(size_t node, uint64_t down_ms);
  void count_fault(const char* name) { ++book_.total.faults[name]; }
  void plan_events();
  void happen(const event_plan& x);
  void revoke(size_t node);
  void clone(size_t node);
  void part(const event_plan& x, bool together);
  /// All faults end: nodes run, clocks are right, everybody is within reach of whom they may be.
  void heal();

  // -- fleet_checks.cpp ---------------------------------------------------------------------------
  void judge(size_t node, const envelope& x);
  void remember(std::pair<std::string, reference::raw_request> x);
  /// What the node's disk says is revoked.
  std::vector<std::string> revocations_of(const simulated_node& x) const;
  void check_revocation(size_t node, const envelope& x);
  void take_sample();
  /// Copies found out and lists received, as the nodes know them.
  void look_into_nodes(sample& x);
  void check_recovery(const simulated_node& x);
  void check_end();
  void trace(uint64_t x);
  void write_down(const std::string& line);

  scenario plan_;
  run_options options_;
  std::shared_ptr<timeline> time_ = std::make_shared<timeline>();
  std::shared_ptr<network> net_;
  std::unique_ptr<system_config> config_;
  std::unique_ptr<caf::actor_system> system_;
  caf::scheduler::test_coordinator* scheduler_ = nullptr;
  caf::actor_clock::time_point clock_start_;
  fleet_services services_;
  random_source interleave_;
  random_source mobility_;
  random_source fault_random_;
  std::vector<random_source> path_random_;
  fault_plan faults_; // as drawn
  bool healing_ = false;
  std::map<std::string, organization> organizations_;
  std::vector<std::unique_ptr<simulated_node>> nodes_;
  std::map<std::string, std::vector<size_t>> groups_;
  std::vector<talker> talkers_;
  std::map<std::pair<size_t, size_t>, std::string> link_kinds_;
  reference::belief belief_; // of the node that judges; anchors and texts are the same for all
  std::unordered_map<std::string, std::string> credential_texts_;        // by hash
  std::vector<std::string> relay_texts_;                                 // with the claim
  std::unordered_map<std::string, reference::raw_request> raw_requests_; // on their way, by id
  std::deque<std::string> raw_order_;
  std::unordered_map<uint64_t, open_call> calls_; // by token
  uint64_t next_token_ = 1;
  std::set<std::pair<size_t, std::string>> away_; // services that are not registered now
  std::map<size_t, uint64_t> epochs_;
  std::map<size_t, uint64_t> list_known_ms_; // since when a node holds the newest list
  std::set<size_t> clones_;
  /// By copy: whose it is, and how many sessions that had when it was made.
  std::map<size_t, std::pair<size_t, uint64_t>> clone_of_;
  bool clone_noticed_ = false;
  request_book book_;
  std::vector<sample> samples_;
  uint64_t sample_every_ms_ = 0;
  uint64_t messages_ = 0;
  uint64_t trace_ = 0xcbf29ce484222325;
  std::vector<std::string> sequence_;
};

/// One run of a scenario.
run_result simulate(const scenario& plan, const run_options& options);

} // namespace rvi::simulation
