// SPDX-License-Identifier: MPL-2.0
//
// What services may learn about what can be reached (HLD 4.6, 10.2): reports for their
// subscriptions, and the data channels of the node.

#include "actors/edge/service_edge.hpp"
#include "messages/name.hpp"
#include "runtime/json/json.hpp"

namespace rvi {

namespace {

/// A node to look at, together with what keeps it.
struct node_now {
  explicit node_now(const node_context& node)
    : table(node.routing->load()),
      rights(node.rights->load()),
      view{*table, *rights, node.time->wall_ms()} {}

  std::shared_ptr<const routing_table> table;
  std::shared_ptr<const rvi::rights> rights;
  availability_view view;
};

/// `#` alone stands for all, which is no pattern for a credential.
expected<std::string> pattern_or_all(const std::string& pattern) {
  if (pattern.empty() || pattern == "#")
    return std::string{"#"};
  return normalise_pattern(pattern);
}

} // namespace

void service_edge_state::report(availability::reports x) {
  if (!x.empty() && server)
    self->send(server, atom::available_v, std::move(x));
}

void service_edge_state::do_subscribe(const service_call& from,
                                      const subscribe_availability_call& x) {
  caller to{from.client, from.token};
  auto pattern = pattern_or_all(x.pattern);
  if (!pattern)
    return refuse(to, std::move(pattern.error()));
  if (!from.deliverable)
    return refuse(to, caf::make_error(ec::bad_request,
                                      std::string{"reports need a connection that lasts: use a "
                                                  "WebSocket"}));
  if (!x.requesting_service.empty()) {
    auto name = full_name(x.requesting_service);
    if (!name)
      return refuse(to, std::move(name.error()));
    auto held = registrations.find(*name);
    if (held == registrations.end() || held->second.principal != from.principal.name)
      return refuse(to, caf::make_error(ec::unauthorized, *name + " is not registered by you"));
  }
  availability::reports state;
  if (auto err = watched.subscribe(from.client, *pattern, node_now{*config.node}.view, state))
    return refuse(to, std::move(err));
  report(std::move(state));
  answer(to, done_result{});
}

void service_edge_state::do_unsubscribe(const service_call& from,
                                        const unsubscribe_availability_call& x) {
  caller to{from.client, from.token};
  auto pattern = pattern_or_all(x.pattern);
  if (!pattern)
    return refuse(to, std::move(pattern.error()));
  if (!watched.unsubscribe(from.client, *pattern))
    return refuse(
      to, caf::make_error(ec::not_found, "this connection has no subscription to " + *pattern));
  answer(to, done_result{});
}

void service_edge_state::availability_changed(const availability_event& x) {
  if (watched.size() == 0)
    return;
  node_now now{*config.node};
  availability::reports news;
  if (x.everything)
    watched.tell_anew(0, now.view, news);
  else
    watched.changed(x, now.view, news);
  report(std::move(news));
}

void service_edge_state::has_room(client_id client) {
  availability::reports state;
  watched.tell_anew(client, node_now{*config.node}.view, state);
  report(std::move(state));
}

void service_edge_state::do_get_channels(const service_call& from,
                                         const get_data_channels_call& x) {
  caller to{from.client, from.token};
  auto pattern = pattern_or_all(x.pattern);
  if (!pattern)
    return refuse(to, std::move(pattern.error()));
  if (!data_link)
    return answer(to, json_result{"[]"});
  self->request(data_link, caf::infinite, atom::status_v)
    .then([this, to, pattern = *pattern](const std::vector<link_status>& links) {
      node_now now{*config.node};
      json::writer out;
      out.begin_array();
      for (auto& link : links) {
        // Where nobody has been met yet there is only an address: that is the administrator's.
        if (!now.table->nodes.contains(link.node_address) || !takes_in(pattern, link.node_address)
            || !may_reach(*now.rights, link.node_address, now.view.now_ms))
          continue;
        out.begin_object()
          .member("node", link.node_address)
          .member("kind", link.kind)
          .member("up", link.state == "up")
          .member("state", link.state)
          .member("round_trip_us", link.round_trip_us)
          .end_object();
      }
      out.end_array();
      answer(to, json_result{out.take()});
      flush_answers();
    });
}

} // namespace rvi
