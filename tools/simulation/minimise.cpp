// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/minimise.hpp"

#include <algorithm>
#include <functional>
#include <vector>

namespace rvi::simulation {

namespace {

using change = std::function<bool(scenario&)>; // false: nothing to change

template <class T>
void add_drops(std::vector<change>& out, const std::vector<T>& list,
               std::vector<T> scenario::*member) {
  for (size_t i = list.size(); i-- > 0;)
    out.push_back([i, member](scenario& x) {
      auto& left = x.*member;
      if (i >= left.size())
        return false;
      left.erase(left.begin() + static_cast<ptrdiff_t>(i));
      return true;
    });
}

void add_fault_drops(std::vector<change>& out) {
  using field = uint64_t fault_plan::*;
  for (auto x :
       {&fault_plan::loss_percent, &fault_plan::duplicate_percent, &fault_plan::reorder_percent,
        &fault_plan::corrupt_percent, &fault_plan::delay_percent, &fault_plan::cut_every_ms,
        &fault_plan::slow_percent, &fault_plan::crash_every_ms, &fault_plan::actor_crash_every_ms,
        &fault_plan::disk_error_every_ms, &fault_plan::disk_full_every_ms,
        &fault_plan::service_away_every_ms, &fault_plan::clock_jump_every_ms,
        &fault_plan::clock_drift_ppm_max})
    out.push_back([x = field{x}](scenario& plan) { return std::exchange(plan.faults.*x, 0) != 0; });
  out.push_back([](scenario& plan) { return std::exchange(plan.faults.interleave, false); });
}

/// Largest steps first.
std::vector<change> changes_of(const scenario& plan) {
  std::vector<change> result;
  add_fault_drops(result);
  add_drops(result, plan.events, &scenario::events);
  add_drops(result, plan.traffic, &scenario::traffic);
  add_drops(result, plan.links, &scenario::links);
  for (int i = 0; i < 4; ++i) {
    result.push_back([](scenario& x) { return std::exchange(x.nodes, x.nodes / 2) > 2; });
    result.push_back(
      [](scenario& x) { return std::exchange(x.duration_ms, x.duration_ms / 2) > 60'000; });
  }
  return result;
}

} // namespace

minimised minimise(const scenario& plan, const run_options& options, const std::string& invariant,
                   size_t runs_max) {
  minimised result{plan, {}, 0};
  auto breaks = [&](const scenario& x) {
    auto run = simulate(x, options);
    ++result.runs;
    return std::any_of(run.violations.begin(), run.violations.end(),
                       [&](auto& v) { return v.invariant == invariant; });
  };
  for (auto& change : changes_of(plan)) {
    auto smaller = result.plan;
    if (result.runs < runs_max && change(smaller) && breaks(smaller))
      result.plan = std::move(smaller);
  }
  auto last = options;
  last.sequence = true;
  auto found = simulate(result.plan, options);
  for (auto& v : found.violations)
    if (v.invariant == invariant && last.sequence_of.empty())
      last.sequence_of = v.id;
  result.result = simulate(result.plan, last);
  return result;
}

} // namespace rvi::simulation
