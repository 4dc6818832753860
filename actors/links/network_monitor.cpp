// SPDX-License-Identifier: MPL-2.0

#include "actors/links/network_monitor.hpp"

#include "actors/links/link_policy.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {
constexpr const char* component = "network-monitor";
constexpr size_t netlink_bytes_max = 64 * 1'024;
} // namespace

// -- what it means -------------------------------------------------------------------------------

std::string network_kinds::kind_of(const network_interface& x) const {
  if (names_.empty())
    return x.loopback ? std::string{} : std::string{unnamed_link_kind};
  for (auto& name : names_)
    if (name.device == x.name)
      return name.kind;
  return {};
}

std::set<std::string> network_kinds::kinds_of(const interface_map& x) const {
  std::set<std::string> result;
  for (auto& [index, interface] : x)
    if (auto kind = kind_of(interface); !kind.empty() && interface.usable())
      result.insert(kind);
  return result;
}

network_kinds::change network_kinds::look(const interface_map& now) {
  change result;
  auto usable_before = kinds_of(before_);
  auto usable_now = kinds_of(now);
  if (first_)
    for (auto& name : names_)
      usable_before.insert(name.kind); // so that what is missing is said
  for (auto& kind : usable_before)
    if (usable_now.count(kind) == 0 && !names_.empty())
      result.down.push_back(kind);
  for (auto& [index, interface] : now) {
    auto kind = kind_of(interface);
    auto known = before_.find(index);
    bool more = known == before_.end() || !known->second.usable()
                || interface.addresses.size() > known->second.addresses.size();
    if (!first_ && !kind.empty() && interface.usable() && more)
      result.up.push_back(kind);
  }
  before_ = now;
  first_ = false;
  return result;
}

// -- the actor -----------------------------------------------------------------------------------

void network_monitor_state::start() {
  auto opened = open_netlink();
  if (!opened) {
    log::warning(component, "networks that come up are not noticed",
                 {{"reason", describe(opened.error())}});
    return;
  }
  socket = *opened;
  reader = datagram_reader{self->system(), socket, netlink_bytes_max, false, self->address()};
  list_all();
}

void network_monitor_state::list_all() {
  table.clear();
  listing = true;
  listing_addresses = false;
  if (auto err = send_netlink(*socket, listing_request(interface_listing::links, ++sequence)))
    log::warning(component, "interfaces cannot be listed", {{"reason", describe(err)}});
}

void network_monitor_state::take(const datagram_batch& x) {
  bool changed = false;
  for (auto& each : x.items) {
    auto brought = table.take(each.bytes);
    changed = changed || brought.changed;
    if (brought.malformed || brought.failed)
      log::warning(component, "the kernel's message is not understood",
                   {{"bytes", each.bytes.size()}});
    if (!brought.done || !listing)
      continue;
    if (std::exchange(listing_addresses, true)) {
      listing = false;
      changed = true;
    } else if (auto err
               = send_netlink(*socket, listing_request(interface_listing::addresses, ++sequence))) {
      log::warning(component, "addresses cannot be listed", {{"reason", describe(err)}});
    }
  }
  if (x.overrun)
    return list_all(); // some news were lost
  if (changed && !listing)
    publish();
}

void network_monitor_state::publish() {
  auto now = std::make_shared<const interface_map>(table.interfaces());
  for (auto& receiver : config.receivers)
    self->send(receiver, atom::available_v, interface_map_ptr{now});
  auto change = kinds.look(*now);
  for (auto& kind : change.down) {
    log::info(component, "network down", {{"kind", kind}});
    self->send(config.data_link, atom::link_down_v, kind);
  }
  for (auto& kind : change.up) {
    log::info(component, "network up", {{"kind", kind}});
    self->send(config.data_link, atom::available_v, kind);
  }
}

caf::behavior
network_monitor(caf::stateful_actor<network_monitor_state>* self, network_monitor_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  st.kinds = network_kinds{st.config.interfaces};
  st.start();
  return {
    [&st](const datagram_batch_ptr& x) { st.take(*x); },
  };
}

} // namespace rvi
