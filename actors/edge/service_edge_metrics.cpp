// SPDX-License-Identifier: MPL-2.0
//
// Metrics (HLD 6.1.3): the edge knows who holds which name; the metric hub does the rest.

#include "actors/edge/service_edge.hpp"
#include "messages/name.hpp"

namespace rvi {

namespace {

/// A metric's name or pattern as the service gave it.
expected<std::string> metric_target(const std::string& target, bool pattern) {
  auto result = pattern ? normalise_pattern(target) : normalise_name(target);
  if (result && type_of(*result) != name_type::metric)
    return caf::make_error(ec::invalid_name, target + " needs the prefix metric:");
  return result;
}

} // namespace

expected<std::string>
service_edge_state::held_name(const service_call& from, const std::string& service,
                              client_id* at) const {
  auto name = full_name(service);
  if (!name)
    return name;
  auto held = registrations.find(*name);
  if (held == registrations.end() || held->second.principal != from.principal.name)
    return caf::make_error(ec::unauthorized, *name
                                               + " is not registered by you; register_service "
                                                 "comes first");
  if (at)
    *at = held->second.client;
  return name;
}

void service_edge_state::do_subscribe(const service_call& from, const subscribe_call& x) {
  caller to{from.client, from.token};
  client_id at = 0;
  auto service = held_name(from, x.requesting_service, &at);
  if (!service)
    return refuse(to, std::move(service.error()));
  if (at == 0)
    return refuse(
      to, caf::make_error(ec::bad_request, *service
                                             + " must be registered over a WebSocket: metrics are "
                                               "delivered over a connection that lasts"));
  auto pattern = metric_target(x.target, true);
  if (!pattern)
    return refuse(to, std::move(pattern.error()));
  auto rights = config.node->rights->load();
  if (rights->policy && !rights->policy->may_subscribe(from.principal, *pattern))
    return refuse(to, caf::make_error(ec::unauthorized, "no rule lets " + from.principal.name
                                                          + " subscribe to " + *pattern));
  metric_calls.emplace_back(
    subscribe_metric{std::move(*service), from.principal.name, {std::move(*pattern), x.filter}});
  metric_callers.push_back(to);
}

void service_edge_state::do_unsubscribe(const service_call& from, const unsubscribe_call& x) {
  caller to{from.client, from.token};
  auto service = held_name(from, x.requesting_service);
  if (!service)
    return refuse(to, std::move(service.error()));
  auto pattern = metric_target(x.target, true);
  if (!pattern)
    return refuse(to, std::move(pattern.error()));
  metric_calls.emplace_back(
    unsubscribe_metric{std::move(*service), from.principal.name, std::move(*pattern)});
  metric_callers.push_back(to);
}

void service_edge_state::do_publish(const service_call& from, publish_call& x) {
  caller to{from.client, from.token};
  auto service = held_name(from, x.source);
  if (!service)
    return refuse(to, std::move(service.error()));
  auto topic = metric_target(x.target, false);
  if (!topic)
    return refuse(to, std::move(topic.error()));
  if (auto err = check_invoke(from.principal, *topic))
    return refuse(to, std::move(err));
  auto now = config.node->time->wall_ms();
  if (x.timeout_ms != 0 && x.timeout_ms <= now)
    return refuse(to, caf::make_error(ec::timeout, std::string{"the timeout has passed"}));
  publish_metric call;
  call.content.topic = std::move(*topic);
  call.content.source = std::move(*service);
  call.content.epoch = epoch;
  call.content.published_ms = now;
  call.content.expires_ms = x.timeout_ms;
  call.content.value = std::move(x.value);
  call.retain = x.retain;
  metric_calls.emplace_back(std::move(call));
  metric_callers.push_back(to);
}

void service_edge_state::submit_metrics() {
  if (metric_calls.empty())
    return;
  self->request(config.metric_hub, caf::infinite, atom::call_v, std::exchange(metric_calls, {}))
    .then(
      [this, callers = metric_callers](std::vector<caf::error>& errors) {
        for (size_t i = 0; i < callers.size(); ++i)
          if (errors[i])
            refuse(callers[i], std::move(errors[i]));
          else
            answer(callers[i], done_result{});
        flush_answers();
      },
      [this, callers = metric_callers](const caf::error& err) {
        for (auto& to : callers)
          refuse(to, err);
        flush_answers();
      });
  metric_callers.clear();
}

void service_edge_state::tell_hub(const std::string& name, const std::string& principal,
                                  client_id at) {
  self->send(config.metric_hub, atom::available_v, name, principal, at);
}

} // namespace rvi
