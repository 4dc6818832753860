// SPDX-License-Identifier: MPL-2.0
//
// Who may subscribe and publish. A right to a pattern is a right to every topic it matches, so what
// was found holds until the rights of the node change or a credential ends: that is how each value
// is judged again without walking patterns for each.

#include "actors/routing/metric_hub.hpp"
#include "messages/name.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr uint64_t ask_again_ms = 1'000; // what is refused now may begin or be renewed

bool reaches(const credential& x, const std::string& pattern) {
  return x.covers_user({})
         && std::any_of(x.destinations.begin(), x.destinations.end(),
                        [&](auto& y) { return contains(y, pattern); });
}

} // namespace

caf::error
metric_hub_state::check_subscriber(const metric_subscriber& x, uint64_t& until_ms) const {
  auto rights = config.node->rights->load();
  auto now = wall_ms();
  auto& pattern = x.what.pattern;
  auto who = x.link == 0 ? x.service : std::string{"the peer"};
  caf::error reason
    = caf::make_error(ec::unauthorized, who + " has no right to subscribe to " + pattern);
  until_ms = now + ask_again_ms;
  if (is_reserved(pattern))
    return reason;
  auto link = links.find(x.link);
  auto& shown = link == links.end() ? rights->own : link->second.credentials;
  for (auto& credential : shown) {
    if ((x.link == 0 && !credential->covers_source(x.service)) || !reaches(*credential, pattern))
      continue;
    if (auto err = rights->check_standing(*credential, now)) {
      reason = std::move(err);
      continue;
    }
    until_ms = credential->expires_s * 1'000;
    return {};
  }
  return reason;
}

bool metric_hub_state::is_allowed(metric_subscriber& x) const {
  auto rights = config.node->rights->load();
  if (x.checked != rights || wall_ms() >= x.checked_until_ms) {
    x.allowed = !check_subscriber(x, x.checked_until_ms);
    x.checked = std::move(rights);
  }
  return x.allowed;
}

caf::error metric_hub_state::check_publisher(const metric_value& x) const {
  auto& node = *config.node;
  if (!is_below(x.topic, node.node_address))
    return caf::make_error(ec::unauthorized, x.topic + " is not below " + node.node_address
                                               + "; a node publishes its own topics");
  if (is_reserved(x.topic))
    return caf::make_error(ec::unauthorized, x.topic + " is reserved for the node");
  if (x.value.size() > metric_value_bytes_max)
    return caf::make_error(ec::too_large, "a metric of " + std::to_string(x.value.size())
                                            + " bytes, at most "
                                            + std::to_string(metric_value_bytes_max));
  if (!node.rights->load()->may_receive(x.topic, wall_ms()))
    return caf::make_error(ec::unauthorized,
                           "no valid credential of this node has " + x.topic + " in its sources");
  return {};
}

bool metric_hub_state::may_publish(const std::vector<credential_ptr>& by,
                                   const std::string& topic) const {
  auto rights = config.node->rights->load();
  auto now = wall_ms();
  return std::any_of(by.begin(), by.end(), [&](auto& x) {
    return x->covers_source(topic) && !rights->check_standing(*x, now);
  });
}

} // namespace rvi
