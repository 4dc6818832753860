// SPDX-License-Identifier: MPL-2.0
//
// The book of a run: every request that a simulated service made, and what became of it. It is the
// model the real nodes are held to (I1 to I6, I9 and I12 of the published promise).

#pragma once

#include "messages/service_api.hpp"
#include "tools/simulation/result.hpp"
#include "tools/simulation/timeline.hpp"

#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace rvi::simulation {

/// One request as its sender knows it. Times are the fleet's.
struct request {
  uint32_t from = 0; // node numbers
  uint32_t to = 0;
  uint32_t traffic = 0; // which plan of the scenario
  bool rpc = false;
  bool idempotent = false; // its service may be run again
  bool ordered = false;
  uint64_t order = 0; // its place among the ordered ones of its channel, from 1
  uint64_t digest = 0;
  uint64_t submitted_ms = 0;
  uint64_t expires_ms = 0;
  std::optional<transaction_id> id; // once seen
  // What became of it:
  bool accepted = false;
  bool refused = false; // not accepted
  bool replied = false;
  uint32_t dispatches = 0;
  uint32_t outcomes = 0;
  uint64_t dispatched_ms = 0;
  uint64_t ended_ms = 0;
  std::string_view status; // of its outcome
};

class request_book {
public:
  explicit request_book(std::shared_ptr<const timeline> time) : time_(std::move(time)) {}

  /// A service asks; the number is part of its arguments.
  uint64_t submit(request x);
  /// Null if nobody made it or if it has been over for so long that it is forgotten.
  request* find(uint64_t number);
  /// Calls `f` with what this node accepted and what is not over: no outcome, time left.
  void each_open(size_t node, const std::function<void(const request&)>& f);
  /// How many are remembered.
  size_t size() const { return requests_.size() + late_.size(); }
  uint64_t number_of(const transaction_id& id) const; // 0: not seen

  void accepted(uint64_t number, const transaction_id& id);
  void refused(uint64_t number, const caf::error& why);

  // What the services of a node see.
  void dispatched(size_t node, const envelope& x);
  void replied(const transaction_id& id);
  void ended(size_t node, const outcome_notice& x);

  /// The node's power went, one of its actors failed or its service ended without a receipt: what
  /// was under way may be unknown.
  void disturbed(size_t node) { disturbed_[node].push_back(time_->now_ms()); }
  /// Its clock is wrong by up to this: its times are only as good.
  void clock_wrong(size_t node, uint64_t ms);
  uint64_t clock_error(size_t node) const;
  /// The node's credential is revoked; requests under it may be refused from now on.
  void revoked(size_t node) { revoked_.emplace(node, time_->now_ms()); }
  bool is_revoked(size_t node) const { return revoked_.count(node) > 0; }

  /// Two nodes say they are this one: nothing they do can be promised, and their ids may be equal.
  void doubled(size_t node) { doubled_.insert(node); }
  bool is_doubled(size_t node) const { return doubled_.count(node) > 0; }

  /// The last word: what was promised and did not happen. `dead_letters`: the ids that nodes list
  /// as handed over without a receipt.
  void check_end(const std::unordered_set<std::string>& dead_letters);

  void broken(const std::string& invariant, const std::string& what, const std::string& id = {},
              const std::string& node = {});

  std::vector<violation> violations;
  totals total;
  std::map<std::string, latency_counts> latency;
  std::function<std::string(size_t)> name_of = [](size_t x) { return std::to_string(x); };
  std::function<std::string(size_t, size_t)> kind_of_link = [](size_t, size_t) { return "link"; };
  /// One node can bring up a link to the other, at the end of the run.
  std::function<bool(size_t, size_t)> can_be_reached = [](size_t, size_t) { return true; };
  std::function<void(const char* what, size_t node, const transaction_id& id)> on_event
    = [](const char*, size_t, const transaction_id&) {};

private:
  struct id_hash {
    size_t operator()(const transaction_id& x) const {
      uint64_t node = 0;
      std::memcpy(&node, x.origin.data(), sizeof node);
      return (node ^ x.seq ^ uint64_t{x.epoch} << 40) * 0x9e3779b97f4a7c15;
    }
  };
  /// Accepted requests of one node, some of them over by now.
  struct open_list {
    std::vector<uint64_t> numbers;
    size_t tidy_at = 16;
  };

  bool is_open(uint64_t number);
  bool is_over(const request& x) const;
  void forget_old();
  bool was_made(uint64_t number) const { return number != 0 && number < first_ + requests_.size(); }
  bool disturbed_between(size_t node, uint64_t from_ms, uint64_t to_ms) const;
  void check_outcome(const request& x, const outcome_notice& notice);
  void check_request(const request& x, const std::unordered_set<std::string>& dead_letters);
  void check_order(const request& x, const transaction_id& id);

  std::shared_ptr<const timeline> time_;
  std::deque<request> requests_; // by number, from `first_`
  uint64_t first_ = 1;           // number 0 is none
  std::map<uint64_t, request> late_; // before `first_`, but not over
  std::unordered_map<transaction_id, uint64_t, id_hash> numbers_;
  std::vector<open_list> open_; // by node
  std::map<std::tuple<uint32_t, uint32_t, uint32_t>, uint64_t> last_in_channel_;
  std::map<size_t, std::vector<uint64_t>> disturbed_;
  std::vector<uint64_t> clock_error_; // by node
  std::map<size_t, uint64_t> revoked_;
  std::set<size_t> doubled_;
};

/// `{"n":number,"pad":"..."}` of about this size.
std::string arguments_of(uint64_t number, size_t bytes);
/// FNV-1a, 64 bits.
uint64_t digest_of(std::string_view x);
/// What a simulated service answers; the caller knows it, too.
std::string reply_of(uint64_t number);
/// 0 if these are not the arguments of a simulated request, or not such a reply.
uint64_t number_in(std::string_view arguments);
uint64_t number_in_reply(std::string_view arguments);

} // namespace rvi::simulation
