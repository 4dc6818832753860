// SPDX-License-Identifier: MPL-2.0
//
// What goes wrong in a run. Each seed switches every class of faults on or off and draws how bad it
// is, so that rare combinations come up (swarm testing).

#include "tools/simulation/fleet.hpp"

#include <algorithm>

namespace rvi::simulation {

namespace {

constexpr uint64_t skew_ms = uint64_t{5} * 60 * 1'000;

} // namespace

void fleet::draw_faults() {
  faults_ = plan_.faults;
  // Always the same draws, so that a class that is taken out changes no other.
  auto share = [&](uint64_t& x) {
    auto on = fault_random_.below(2) == 1;
    auto draw = fault_random_.draw();
    x = on && x != 0 ? 1 + draw % x : 0;
  };
  // A rarer fault leaves more of the run to what follows it.
  auto gap = [&](uint64_t& x) {
    auto on = fault_random_.below(2) == 1;
    x = (on ? x : 0) * fault_random_.between(1, 4);
  };
  share(faults_.loss_percent);
  share(faults_.duplicate_percent);
  share(faults_.reorder_percent);
  share(faults_.corrupt_percent);
  share(faults_.delay_percent);
  share(faults_.slow_percent);
  gap(faults_.cut_every_ms);
  gap(faults_.crash_every_ms);
  gap(faults_.actor_crash_every_ms);
  gap(faults_.disk_error_every_ms);
  gap(faults_.disk_full_every_ms);
  gap(faults_.service_away_every_ms);
  gap(faults_.clock_jump_every_ms);
  share(faults_.clock_drift_ppm_max);
  faults_.interleave = fault_random_.below(2) == 1 && plan_.faults.interleave;
  auto& net = net_->faults;
  net.loss_percent = faults_.loss_percent;
  net.duplicate_percent = faults_.duplicate_percent;
  net.replay_percent = faults_.duplicate_percent / 2;
  net.reorder_percent = faults_.reorder_percent;
  net.corrupt_percent = faults_.corrupt_percent;
  net.delay_percent = faults_.delay_percent;
  net.delay_ms_max = faults_.delay_ms_max;
}

void fleet::plan_faults() {
  plan_for_each_node(faults_.crash_every_ms, "crash", &fleet::crash);
  plan_for_each_node(faults_.crash_every_ms, "crash in a commit", &fleet::crash_in_commit);
  plan_for_each_node(faults_.actor_crash_every_ms, "actor failed", &fleet::crash_actor);
  plan_for_each_node(faults_.disk_error_every_ms, "disk error", &fleet::disk_error);
  plan_for_each_node(faults_.disk_full_every_ms, "disk full", &fleet::disk_full);
  plan_for_each_node(faults_.service_away_every_ms, "service away", &fleet::service_away);
  plan_for_each_node(faults_.clock_jump_every_ms, "clock jump", &fleet::clock_jump);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    random_source random{options_.seed, "node", i};
    if (random.percent(faults_.slow_percent)) {
      net_->slow_down(i, random.between(100, faults_.slow_ms_max));
      count_fault("slow node");
    }
    if (faults_.clock_drift_ppm_max != 0) {
      auto ppm = static_cast<int64_t>(random.below(2 * faults_.clock_drift_ppm_max + 1))
                 - static_cast<int64_t>(faults_.clock_drift_ppm_max);
      nodes_[i]->time->drift(ppm);
      auto whole = plan_.duration_ms + plan_.heal_ms;
      book_.clock_wrong(i, 1 + whole * static_cast<uint64_t>(std::abs(ppm)) / 1'000'000);
      count_fault("clock drift");
    }
  }
  if (faults_.cut_every_ms != 0)
    for (size_t i = 0; i < net_->paths().size(); ++i)
      time_->after(path_random_[i].gap(faults_.cut_every_ms), [this, i] { cut_path(i); });
}

void fleet::plan_for_each_node(uint64_t every_ms, const char* name,
                               void (fleet::*what)(size_t, random_source&)) {
  if (every_ms == 0)
    return;
  for (size_t i = 0; i < nodes_.size(); ++i)
    next_fault({i, every_ms, name, what, random_source{options_.seed, name, i}});
}

void fleet::next_fault(recurring_fault x) {
  auto after_ms = x.random.gap(x.every_ms);
  time_->after(after_ms, [this, x]() mutable {
    if (healing_)
      return;
    if (nodes_[x.node]->is_up()) {
      ++book_.total.faults[x.name];
      write_down(nodes_[x.node]->address + ": FAULT " + x.name);
      (this->*x.what)(x.node, x.random);
    }
    next_fault(std::move(x));
  });
}

// -- power and processes --------------------------------------------------------------------------

void fleet::power_cycle(size_t node, uint64_t down_ms) {
  auto& x = *nodes_[node];
  book_.disturbed(node);
  x.power_off();
  check_recovery(x);
  time_->after(down_ms, [this, node] {
    auto& again = *nodes_[node];
    if (again.is_up())
      return;
    book_.disturbed(node);
    write_down(again.address + ": starts");
    again.start();
  });
}

/// At any message: some of what waits to be run is run first.
void fleet::crash(size_t node, random_source& random) {
  for (auto n = random.below(40); n > 0 && !scheduler_->jobs.empty(); --n)
    run_one_actor();
  if (nodes_[node]->is_up())
    power_cycle(node, random.between(100, faults_.down_ms_max));
}

/// The next commit is the last thing the node does; it is on disk or it is not.
void fleet::crash_in_commit(size_t node, random_source& random) {
  auto down_ms = random.between(100, faults_.down_ms_max);
  auto generation = nodes_[node]->generation();
  nodes_[node]->disk->fail_commits(1'000, ec::store_failed, random.below(2) == 0);
  nodes_[node]->disk->on_failure([this, node, generation, down_ms] {
    if (!is_now(node, generation))
      return;
    net_->power_off(node); // not one more byte leaves
    time_->after(0, [this, node, generation, down_ms] {
      if (is_now(node, generation))
        power_cycle(node, down_ms);
    });
  });
}

void fleet::crash_actor(size_t node, random_source& random) {
  book_.disturbed(node);
  nodes_[node]->fail_actor(random.below(1'000));
}

// -- disks ----------------------------------------------------------------------------------------

/// Commits fail until somebody restarts the node.
void fleet::disk_error(size_t node, random_source& random) {
  auto generation = nodes_[node]->generation();
  book_.disturbed(node);
  nodes_[node]->disk->fail_commits(1 + random.below(3), ec::store_failed, random.below(2) == 0);
  time_->after(random.between(1'000, faults_.down_ms_max), [this, node, generation] {
    if (is_now(node, generation) && !healing_)
      power_cycle(node, 1'000);
  });
}

void fleet::disk_full(size_t node, random_source& random) {
  auto& x = *nodes_[node];
  book_.disturbed(node);
  x.disk->set_capacity(x.disk->bytes_used() + random.below(20'000));
  time_->after(random.between(1'000, faults_.down_ms_max), [this, node] {
    book_.disturbed(node);
    nodes_[node]->disk->set_capacity(nodes_[node]->group.store_bytes_max);
  });
}

// -- services and clocks --------------------------------------------------------------------------

void fleet::service_away(size_t node, random_source& random) {
  auto& services = nodes_[node]->group.services;
  if (services.empty())
    return;
  auto service = services[random.below(services.size())];
  if (!away_.insert({node, service}).second)
    return;
  nodes_[node]->call(unregister_service_call{nodes_[node]->service_name(service)}, 0);
  time_->after(random.between(1'000, faults_.down_ms_max), [this, node, service] {
    if (away_.erase({node, service}) > 0 && nodes_[node]->is_up())
      register_service(node, service);
  });
}

void fleet::clock_jump(size_t node, random_source& random) {
  auto& time = *nodes_[node]->time;
  auto ms
    = static_cast<int64_t>(random.between(1, std::max<uint64_t>(faults_.clock_jump_ms_max, 2)));
  time.jump(random.below(2) == 0 ? ms : -ms);
  book_.clock_wrong(node, static_cast<uint64_t>(std::abs(time.error_ms())));
}

// -- the network ----------------------------------------------------------------------------------

void fleet::cut_path(size_t number) {
  if (healing_)
    return;
  auto which = path_random_[number].below(3);
  net_->cut(number, which != 0, which != 1);
  count_fault(which == 2 ? "cut" : "one-way cut");
  time_->after(path_random_[number].between(1'000, faults_.cut_ms_max), [this, number] {
    net_->cut(number, false, false);
    if (!healing_)
      time_->after(path_random_[number].gap(faults_.cut_every_ms),
                   [this, number] { cut_path(number); });
  });
}

// -- what the scenario plans ----------------------------------------------------------------------

void fleet::plan_events() {
  for (auto& x : plan_.events)
    time_->at(x.at_ms, [this, x] { happen(x); });
}

void fleet::happen(const event_plan& x) {
  write_down("EVENT " + x.what + " " + x.group);
  if (x.what == "part" || x.what == "join") {
    part(x, x.what == "join");
    return;
  }
  auto all = members(x.group);
  for (size_t i = 0; i < all.size(); ++i) {
    if (x.number != 0 && x.number != i + 1)
      continue;
    auto node = all[i];
    if (x.what == "restart") {
      if (nodes_[node]->is_up())
        power_cycle(node, 1'000);
    } else if (x.what == "stop") {
      book_.disturbed(node);
      nodes_[node]->power_off();
    } else if (x.what == "start") {
      if (!nodes_[node]->is_up())
        nodes_[node]->start();
    } else if (x.what == "revoke") {
      revoke(node);
    } else if (x.what == "clone") {
      clone(node);
    }
  }
}

void fleet::part(const event_plan& x, bool together) {
  for (size_t i = 0; i < net_->paths().size(); ++i) {
    auto& plan = plan_.links[net_->paths()[i].plan];
    bool between = (plan.from == x.group && plan.to == x.other)
                   || (plan.from == x.other && plan.to == x.group);
    if (between)
      net_->set_reach(i, together);
  }
}

void fleet::heal() {
  healing_ = true;
  write_down("HEAL: all faults end");
  net_->forget_faults();
  faults_ = {};
  for (size_t i = 0; i < nodes_.size(); ++i) {
    auto& x = *nodes_[i];
    x.disk->set_capacity(x.group.store_bytes_max);
    bool wrong = book_.clock_error(i) > skew_ms; // a node keeps the time it started with
    x.time->correct();
    if (clones_.count(i))
      continue;
    // A node whose disk failed, or whose clock was far off, is restarted by its keeper.
    if (x.is_up() && (x.disk->is_failed() || wrong)) {
      book_.disturbed(i);
      x.power_off();
    }
    x.disk->fail_commits(0, ec::store_failed);
    x.disk->on_failure(nullptr);
    if (!x.is_up()) {
      book_.disturbed(i);
      x.start();
    }
  }
  auto away = std::exchange(away_, {});
  for (auto& [node, service] : away)
    register_service(node, service);
  for (size_t i = 0; i < net_->paths().size(); ++i)
    if (!clones_.count(net_->paths()[i].from) && !clones_.count(net_->paths()[i].to))
      net_->set_reach(i, true);
  // Half of the seeds help nobody: what waits must wake by itself.
  bool patient = plan_.backoff_ms_max <= plan_.heal_ms / 4;
  bool help = !patient || options_.seed % 2 == 0;
  for (auto& x : nodes_)
    if (help && x->is_up())
      for (auto& kind : plan_.kinds())
        x->network_is_up(kind);
  // Then only those who can dial can be sure to reach the other.
  if (!help)
    book_.can_be_reached = [this](size_t from, size_t to) { return net_->can_dial(from, to); };
  time_->after(60'000, [this, help] { ask_once(help ? 1 : 2); });
}

} // namespace rvi::simulation
