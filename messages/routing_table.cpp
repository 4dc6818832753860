// SPDX-License-Identifier: MPL-2.0

#include "messages/routing_table.hpp"

#include "messages/name.hpp"

#include <algorithm>

namespace rvi {

namespace {

/// Looks a name up, then each of its prefixes on level boundaries, longest first.
template <class Map>
auto longest_prefix(const Map& map, std::string_view name) {
  for (auto rest = without_type(name); !rest.empty();) {
    auto i = map.find(rest);
    if (i != map.end())
      return i;
    auto slash = rest.rfind('/');
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(0, slash);
  }
  return map.end();
}

/// Where the node can be dialled; a node that would be refused is not.
std::vector<std::string> addresses_of(const known_node& x) {
  return x.fallen == ec::none ? x.network_addresses : std::vector<std::string>{};
}

} // namespace

std::string_view routing_table::find_local(std::string_view target) const {
  auto i = longest_prefix(local, target);
  return i == local.end() ? std::string_view{} : std::string_view{i->first};
}

route routing_table::resolve(std::string_view target) const {
  route result;
  auto i = longest_prefix(nodes, target);
  // The longest prefix owned by a node wins, our own address among them.
  bool ours = is_below(target, node_address)
              && (i == nodes.end() || i->first.size() <= node_address.size());
  if (ours) {
    result.to = route::where::local;
    result.service = find_local(target);
    return result;
  }
  if (i != nodes.end()) {
    result.to = route::where::remote;
    result.node = i->second;
    result.network_addresses = addresses_of(*i->second);
  }
  for (auto& x : provisioned)
    if (covers(x.pattern, target)) {
      result.to = route::where::remote;
      auto& known = result.network_addresses;
      for (auto& address : x.network_addresses)
        if (std::find(known.begin(), known.end(), address) == known.end())
          known.push_back(address);
      break;
    }
  return result;
}

std::vector<relay_way> routing_table::ways_to(std::string_view target) const {
  auto i = longest_prefix(relayed, target);
  return i == relayed.end() ? std::vector<relay_way>{} : *i->second;
}

route routing_table::resolve_node(const node_uid& uid, std::string_view target) const {
  auto i = nodes_by_uid.find(uid);
  if (auto next = successors.find(uid); i == nodes_by_uid.end() && next != successors.end())
    i = nodes_by_uid.find(next->second);
  if (i == nodes_by_uid.end())
    return resolve(target);
  route result;
  result.to = route::where::remote;
  result.node = i->second;
  result.network_addresses = addresses_of(*i->second);
  return result;
}

} // namespace rvi
