// SPDX-License-Identifier: MPL-2.0
//
// What goes right in a run: nodes meet and part, services register, ask and answer.

#include "tools/simulation/fleet.hpp"

#include <algorithm>

namespace rvi::simulation {

namespace {

constexpr uint64_t day_ms = 86'400'000;
constexpr uint64_t retry_ms = 30'000; // a service that could not reply tries again
constexpr const char* asking_service = "client";

/// True if this time of day lies in the plan's hours.
bool in_hours(const link_plan& x, uint64_t now_ms) {
  auto time = now_ms % day_ms;
  if (x.daily_from_ms < x.daily_until_ms)
    return x.daily_from_ms <= time && time < x.daily_until_ms;
  return time >= x.daily_from_ms || time < x.daily_until_ms;
}

} // namespace

// -- mobility -------------------------------------------------------------------------------------

void fleet::plan_mobility() {
  for (size_t i = 0; i < net_->paths().size(); ++i) {
    auto& plan = plan_.links[net_->paths()[i].plan];
    if (plan.daily_from_ms != plan.daily_until_ms) {
      net_->set_reach(i, in_hours(plan, 0));
      follow_the_day(i);
    } else if (plan.up_ms != 0) {
      net_->set_reach(i, path_random_[i].below(plan.up_ms + plan.down_ms) < plan.up_ms);
      toggle_reach(i);
    }
  }
}

void fleet::toggle_reach(size_t number) {
  auto& x = net_->paths()[number];
  auto& plan = plan_.links[x.plan];
  time_->after(path_random_[number].gap(x.in_reach ? plan.up_ms : plan.down_ms), [this, number] {
    if (healing_)
      return;
    net_->set_reach(number, !net_->paths()[number].in_reach);
    toggle_reach(number);
  });
}

/// Comes and goes at its hours, everybody up to half an hour early or late.
void fleet::follow_the_day(size_t number) {
  auto& plan = plan_.links[net_->paths()[number].plan];
  auto now = time_->now_ms();
  auto today = now - now % day_ms;
  uint64_t next = ~uint64_t{0};
  for (auto at : {plan.daily_from_ms, plan.daily_until_ms})
    next = std::min(next, today + at > now ? today + at : today + day_ms + at);
  auto until = next - now + path_random_[number].below(1'800'000);
  bool there = next % day_ms == plan.daily_from_ms % day_ms;
  time_->after(until, [this, number, there] {
    if (healing_)
      return;
    net_->set_reach(number, there);
    follow_the_day(number);
  });
}

// -- requests -------------------------------------------------------------------------------------

void fleet::plan_traffic() {
  for (size_t i = 0; i < talkers_.size(); ++i)
    next_request(i);
}

void fleet::next_request(size_t number) {
  auto& plan = plan_.traffic[talkers_[number].traffic];
  auto first = std::max(plan.first_ms, time_->now_ms()) - time_->now_ms();
  time_->after(first + talkers_[number].random.gap(plan.every_ms), [this, number] {
    auto& talker = talkers_[number];
    auto& now = plan_.traffic[talker.traffic];
    if (healing_ || (now.last_ms != 0 && time_->now_ms() > now.last_ms))
      return;
    ask(number, talker.random.between(now.timeout_ms_min, now.timeout_ms_max));
    next_request(number);
  });
}

void fleet::ask(size_t number, uint64_t timeout_ms) {
  auto& talker = talkers_[number];
  auto& plan = plan_.traffic[talker.traffic];
  auto& from = *nodes_[talker.from];
  auto to = talker.to[talker.random.below(talker.to.size())];
  auto bytes = talker.random.between(plan.bytes_min, plan.bytes_max);
  if (!from.is_up() || !from.edge)
    return;
  request x;
  x.from = static_cast<uint32_t>(talker.from);
  x.to = static_cast<uint32_t>(to);
  x.traffic = static_cast<uint32_t>(talker.traffic);
  x.rpc = plan.rpc;
  x.idempotent = nodes_[to]->group.idempotent;
  x.ordered = plan.ordered && talker.to.size() == 1;
  x.order = x.ordered ? ++talker.ordered : 0;
  x.expires_ms = time_->now_ms() + timeout_ms;
  auto entry = book_.submit(x);
  invoke_call call;
  call.timeout_ms = from.time->wall_ms() + timeout_ms;
  call.requesting_service = from.service_name(asking_service);
  call.target = (plan.rpc ? "rpc:" : "message:") + nodes_[to]->service_name(plan.service);
  call.arguments = arguments_of(entry, bytes);
  call.priority = static_cast<uint32_t>(plan.priority);
  if (x.ordered)
    call.channel = "traffic-" + std::to_string(talker.traffic);
  book_.find(entry)->digest = digest_of(call.arguments);
  calls_[next_token_] = {entry, {}};
  from.call(std::move(call), next_token_++);
}

void fleet::ask_once(size_t one_in) {
  for (size_t i = 0; i < talkers_.size(); i += one_in)
    if (!clones_.count(talkers_[i].from))
      ask(i, 2 * plan_.heal_ms);
}

// -- services -------------------------------------------------------------------------------------

bool fleet::is_now(size_t node, uint64_t generation) const {
  return nodes_[node]->is_up() && nodes_[node]->generation() == generation;
}

void fleet::register_service(size_t node, const std::string& service) {
  register_service_call x;
  x.service = service;
  x.idempotent = nodes_[node]->group.idempotent;
  nodes_[node]->call(std::move(x), 0);
}

void fleet::edge_ready(size_t node, uint64_t generation, const service_edge_actor&) {
  if (!is_now(node, generation))
    return;
  register_service(node, asking_service);
  for (auto& service : nodes_[node]->group.services)
    if (!away_.count({node, service}))
      register_service(node, service);
}

void fleet::answered(size_t node, uint64_t generation, const call_result& x) {
  auto i = calls_.find(x.token);
  if (i == calls_.end() || !is_now(node, generation))
    return;
  auto call = i->second;
  calls_.erase(i);
  if (call.request == 0) {
    auto code = code_of(x.error);
    if (x.error)
      write_down(nodes_[node]->address + ": cannot reply to " + to_string(call.reply_to) + ": "
                 + describe(x.error));
    bool again = code == ec::busy || code == ec::store_full || code == ec::store_failed;
    if (again)
      time_->after(retry_ms, [this, node, generation, call] {
        answer(node, generation, call.reply_to);
      });
    return;
  }
  if (auto accepted = std::get_if<accepted_result>(&x.answer); accepted && !x.error)
    book_.accepted(call.request, accepted->id);
  else
    book_.refused(call.request, x.error);
}

receipt fleet::invoked(size_t node, uint64_t generation, const invocation& x) {
  auto& id = x.content->header.id;
  receipt result{id, false, receipt::status::taken, false, {}};
  if (!is_now(node, generation))
    return result;
  judge(node, *x.content);
  book_.dispatched(node, *x.content);
  auto number = number_in(x.content->arguments);
  auto asked = book_.find(number);
  if (x.content->header.kind == request_kind::rpc && asked) {
    auto& plan = plan_.traffic[asked->traffic];
    auto think_ms = random_source{options_.seed, "reply", number}.below(plan.reply_ms_max + 1);
    time_->after(1 + think_ms, [this, node, generation, id] { answer(node, generation, id); });
  }
  return result;
}

void fleet::answer(size_t node, uint64_t generation, const transaction_id& id) {
  if (!is_now(node, generation) || !nodes_[node]->edge)
    return;
  book_.replied(id);
  calls_[next_token_] = {0, id};
  nodes_[node]->call(reply_call{id, reply_of(book_.number_of(id))}, next_token_++);
}

receipt fleet::ended(size_t node, uint64_t generation, const outcome_delivery& x) {
  if (is_now(node, generation))
    book_.ended(node, x.notice);
  return {x.notice.id, true, receipt::status::taken, false, {}};
}

} // namespace rvi::simulation
