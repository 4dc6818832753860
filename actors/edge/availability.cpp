// SPDX-License-Identifier: MPL-2.0

#include "actors/edge/availability.hpp"

#include "actors/routing/known_nodes.hpp"
#include "messages/name.hpp"

#include <algorithm>
#include <string_view>

namespace rvi {

namespace {

/// Takes the first level off.
std::string_view next_level(std::string_view& rest) {
  auto slash = rest.find('/');
  auto level = rest.substr(0, slash);
  rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
  return level;
}

/// True if the pattern covers some name at or below this one (credential semantics).
bool reaches_below(std::string_view pattern, std::string_view name) {
  pattern = without_type(pattern);
  name = without_type(name);
  while (!pattern.empty() && !name.empty()) {
    auto wanted = next_level(pattern);
    if (wanted == "#")
      return true;
    auto level = next_level(name);
    if (wanted != "+" && wanted != level)
      return false;
  }
  return true;
}

/// Those of the services that the pattern takes in.
std::vector<std::string>
taken_in(const std::string& pattern, const std::vector<std::string>& services) {
  std::vector<std::string> result;
  for (auto& x : services)
    if (takes_in(pattern, x))
      result.push_back(x);
  return result;
}

/// Those of the services that this node may reach.
std::vector<std::string>
reachable(const std::vector<std::string>& services, const availability_view& at) {
  std::vector<std::string> result;
  for (auto& x : services)
    if (may_reach(at.own, x, at.now_ms))
      result.push_back(x);
  return result;
}

} // namespace

bool takes_in(const std::string& pattern, const std::string& name) {
  auto wanted = std::string{without_type(pattern)};
  return wanted == "#" || matches(wanted, name) || covers(wanted, name);
}

bool may_reach(const rights& x, const std::string& name, uint64_t now_ms) {
  if (x.grants)
    for (auto& grant : x.grants->held)
      if (!check_validity(*grant, now_ms)
          && std::any_of(grant->destinations.begin(), grant->destinations.end(),
                         [&](auto& pattern) { return reaches_below(pattern, name); }))
        return true;
  return std::any_of(x.own.begin(), x.own.end(), [&](auto& credential) {
    return !x.check_standing(*credential, now_ms)
           && (!is_reserved(name) || credential->administers(name))
           && std::any_of(credential->destinations.begin(), credential->destinations.end(),
                          [&](auto& pattern) { return reaches_below(pattern, name); });
  });
}

caf::error availability::subscribe(client_id client, const std::string& pattern,
                                   const availability_view& at, reports& out) {
  auto i = clients_.find(client);
  bool known = i != clients_.end() && i->second.count(pattern) != 0;
  if (!known && i != clients_.end() && i->second.size() >= limits_.patterns_per_client_max)
    return caf::make_error(ec::limit_exceeded, "a connection may subscribe to "
                                                 + std::to_string(limits_.patterns_per_client_max)
                                                 + " patterns");
  if (!known && size_ >= limits_.subscriptions_max)
    return caf::make_error(ec::busy, std::string{"too many subscriptions"});
  size_ += known ? 0 : 1;
  clients_[client][pattern] = at.table.version;
  availability_report mould;
  mould.client = client;
  mould.pattern = pattern;
  mould.reason = "subscribed";
  current(mould, at, out);
  return {};
}

bool availability::unsubscribe(client_id client, const std::string& pattern) {
  auto i = clients_.find(client);
  if (i == clients_.end() || i->second.erase(pattern) == 0)
    return false;
  --size_;
  if (i->second.empty())
    clients_.erase(i);
  return true;
}

void availability::closed(client_id client) {
  auto i = clients_.find(client);
  if (i == clients_.end())
    return;
  size_ -= i->second.size();
  clients_.erase(i);
}

void availability::changed(const availability_event& x, const availability_view& at,
                           reports& out) const {
  if (clients_.empty())
    return;
  bool remote = x.what.node != at.table.node_address;
  auto services = remote ? reachable(x.what.services, at) : x.what.services;
  // Changes of the link concern also who watches the node; of services, only who watches them.
  bool of_link = remote && x.what.state != "gone" && x.what.reason != "announced"
                 && may_reach(at.own, x.what.node, at.now_ms);
  if (services.empty() && !of_link)
    return;
  for (auto& [client, patterns] : clients_)
    for (auto& [pattern, told] : patterns) {
      if (x.version <= told)
        continue;
      auto wanted = taken_in(pattern, services);
      if (wanted.empty() && !(of_link && takes_in(pattern, x.what.node)))
        continue;
      auto& report = out.emplace_back(x.what);
      report.client = client;
      report.pattern = pattern;
      report.services = std::move(wanted);
    }
}

void availability::current(const availability_report& mould, const availability_view& at,
                           reports& out) {
  auto add = [&](availability_report x, std::vector<std::string> services) {
    x.client = mould.client;
    x.pattern = mould.pattern;
    x.reason = mould.reason;
    x.current = true;
    x.time_ms = at.now_ms;
    x.services = std::move(services);
    out.push_back(std::move(x));
  };
  std::vector<std::string> local;
  for (auto& [service, entry] : at.table.local)
    if (takes_in(mould.pattern, service))
      local.push_back(service);
  if (!local.empty()) {
    availability_report ours;
    ours.available = true;
    ours.node = at.table.node_address;
    ours.state = "local";
    add(std::move(ours), std::move(local));
  }
  for (auto& [address, node] : at.table.nodes) {
    auto services = reachable(taken_in(mould.pattern, node->services), at);
    if (!services.empty()
        || (takes_in(mould.pattern, address) && may_reach(at.own, address, at.now_ms)))
      add(report_of(*node), std::move(services));
  }
}

void availability::tell_anew(client_id client, patterns& of, const availability_view& at,
                             reports& out) {
  for (auto& [pattern, told] : of) {
    told = at.table.version;
    availability_report void_now;
    void_now.client = client;
    void_now.pattern = pattern;
    void_now.current = true;
    void_now.all = true;
    void_now.reason = "current";
    void_now.time_ms = at.now_ms;
    out.push_back(void_now);
    current(void_now, at, out);
  }
}

void availability::tell_anew(client_id client, const availability_view& at, reports& out) {
  if (client == 0) {
    for (auto& [number, patterns] : clients_)
      tell_anew(number, patterns, at, out);
  } else if (auto i = clients_.find(client); i != clients_.end()) {
    tell_anew(client, i->second, at, out);
  }
}

} // namespace rvi
