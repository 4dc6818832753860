// SPDX-License-Identifier: MPL-2.0
//
// Metrics on a session (HLD 6.1.3): subscriptions and values to and fro. A peer that reads slowly
// gets the newest value of each topic, and nothing else waits for it.

#include "actors/links/link_session.hpp"

#include <caf/send.hpp>

namespace rvi {

namespace {

void note(std::set<std::string>& wanted, const metric_subscriptions& x) {
  if (x.full)
    wanted.clear();
  for (auto& pattern : x.ended)
    wanted.erase(pattern);
  for (auto& added : x.added)
    wanted.insert(added.pattern);
}

} // namespace

void link_session::may_tell_hub() {
  auto& hub = config_.services.metric_hub;
  if (!hub || hub_told_ || !credit_seen_ || !session_.is_up())
    return;
  hub_told_ = true;
  link_info info;
  info.link = config_.number;
  info.peer = peer_;
  info.kind = config_.kind;
  info.dialled = config_.dialled;
  caf::anon_send(hub, atom::link_up_v, self_, std::move(info));
}

void link_session::take(peer_subscriptions x) {
  if (!config_.services.metric_hub)
    return;
  traffic_ms_ = config_.services.node->time->boot_ms();
  note(wanted_here_, x.content);
  if (wanted_here_.size() > metric_subscriptions_per_peer_max)
    return fail(
      caf::make_error(ec::limit_exceeded, std::string{"too many subscriptions to metrics"}));
  caf::anon_send(config_.services.metric_hub, atom::subscribe_v, config_.number,
                 std::move(x.content));
}

void link_session::take(peer_values x) {
  if (!config_.services.metric_hub)
    return;
  traffic_ms_ = config_.services.node->time->boot_ms();
  caf::anon_send(config_.services.metric_hub, atom::publish_v, config_.number, std::move(x.values));
}

void link_session::subscribe(const metric_subscriptions& x) {
  if (ended_)
    return;
  note(wanted_there_, x);
  session_.subscribe(x);
}

void link_session::publish(const std::vector<metric_value_ptr>& values) {
  if (ended_)
    return;
  traffic_ms_ = config_.services.node->time->boot_ms();
  size_t given_up = 0;
  for (auto& x : values)
    given_up += metrics_.add(x);
  if (given_up == 0)
    return;
  if (!metrics_replaced_)
    metrics_replaced_ = &config_.services.node->metrics->get_counter(
      "rvi_metric_values_replaced_total", "Metrics a slow reader did not get: newer ones came.",
      {{"reader", "peer"}});
  metrics_replaced_->add(given_up);
}

void link_session::unsent(size_t bytes) {
  unsent_ = bytes;
  send_metrics();
}

void link_session::send_metrics() {
  auto room_bytes = metrics_.limits().backlog_bytes_max;
  while (!ended_ && !metrics_.empty() && unsent_ < room_bytes) {
    auto before = session_.output_bytes();
    session_.publish(metrics_, room_bytes - unsent_);
    unsent_ += session_.output_bytes() - before;
  }
}

} // namespace rvi
