// SPDX-License-Identifier: MPL-2.0

#include "actors/sockets/interfaces.hpp"

#include <algorithm>
#include <cstring>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <optional>

namespace rvi {

namespace {

static_assert(sizeof(ifinfomsg) % 4 == 0
              && sizeof(ifaddrmsg) % 4 == 0); // attributes follow at once

/// A structure at the front of some bytes, copied out: they need not be aligned.
template <class T>
std::optional<T> front(std::string_view x) {
  if (x.size() < sizeof(T))
    return std::nullopt;
  T result;
  std::memcpy(&result, x.data(), sizeof result);
  return result;
}

size_t aligned(size_t x) {
  return (x + 3) & ~size_t{3};
}

/// Calls `f(type, content)` for each attribute; false if one is cut off.
template <class F>
bool for_each_attribute(std::string_view x, F&& f) {
  while (x.size() >= sizeof(rtattr)) {
    auto head = *front<rtattr>(x);
    if (head.rta_len < sizeof(rtattr) || head.rta_len > x.size())
      return false;
    f(head.rta_type, x.substr(sizeof(rtattr), head.rta_len - sizeof(rtattr)));
    x.remove_prefix(std::min(aligned(head.rta_len), x.size()));
  }
  return true;
}

std::optional<ip_network> network_of(const ifaddrmsg& head, std::string_view bytes) {
  ip_network result;
  result.address.v6 = head.ifa_family == AF_INET6;
  size_t size = result.address.v6 ? 16 : 4;
  if (bytes.size() != size || head.ifa_prefixlen > size * 8)
    return std::nullopt;
  std::memcpy(result.address.bytes.data(), bytes.data(), size);
  result.bits = head.ifa_prefixlen;
  return result;
}

} // namespace

bool network_interface::has(const ip_address& x) const {
  return std::any_of(addresses.begin(), addresses.end(), [&](auto& y) { return y.address == x; });
}

bool network_interface::is_near(const ip_address& x) const {
  return x.link_local_v6()
         || std::any_of(addresses.begin(), addresses.end(), [&](auto& y) { return y.contains(x); });
}

bool interface_table::take_link(uint16_t type, std::string_view body) {
  auto head = front<ifinfomsg>(body);
  if (!head || head->ifi_index <= 0)
    return false;
  auto index = static_cast<uint32_t>(head->ifi_index);
  if (type == RTM_DELLINK)
    return interfaces_.erase(index) > 0;
  std::string name;
  bool whole = for_each_attribute(body.substr(sizeof *head), [&](auto kind, auto content) {
    if (kind == IFLA_IFNAME)
      name = std::string{content.substr(0, content.find('\0'))};
  });
  if (!whole || (interfaces_.count(index) == 0 && interfaces_.size() >= interfaces_max))
    return false;
  auto& x = interfaces_[index];
  bool up = (head->ifi_flags & IFF_UP) != 0 && (head->ifi_flags & IFF_RUNNING) != 0;
  bool changed = x.up != up || (!name.empty() && x.name != name);
  x.up = up;
  x.loopback = (head->ifi_flags & IFF_LOOPBACK) != 0;
  x.multicast = (head->ifi_flags & IFF_MULTICAST) != 0;
  if (!name.empty() && name.size() < IFNAMSIZ)
    x.name = std::move(name);
  return changed;
}

bool interface_table::take_address(uint16_t type, std::string_view body) {
  auto head = front<ifaddrmsg>(body);
  if (!head || (head->ifa_family != AF_INET && head->ifa_family != AF_INET6))
    return false;
  std::optional<ip_network> address;
  std::optional<ip_network> local; // on a point-to-point link the other one is the peer's
  bool whole = for_each_attribute(body.substr(sizeof *head), [&](auto kind, auto content) {
    if (kind == IFA_ADDRESS)
      address = network_of(*head, content);
    else if (kind == IFA_LOCAL)
      local = network_of(*head, content);
  });
  auto& own = local ? local : address;
  auto i = interfaces_.find(head->ifa_index);
  if (!whole || !own || i == interfaces_.end())
    return false;
  auto& known = i->second.addresses;
  auto same
    = std::find_if(known.begin(), known.end(), [&](auto& x) { return x.address == own->address; });
  // One that is not yet known to be unique may not be used.
  bool gone = type == RTM_DELADDR || (head->ifa_flags & IFA_F_TENTATIVE) != 0;
  if (gone) {
    if (same == known.end())
      return false;
    known.erase(same);
    return true;
  }
  if (same != known.end() || known.size() >= addresses_max)
    return false;
  known.push_back(*own);
  return true;
}

interface_table::outcome interface_table::take(std::string_view datagram) {
  outcome result;
  while (!datagram.empty()) {
    auto head = front<nlmsghdr>(datagram);
    if (!head || head->nlmsg_len < sizeof *head || head->nlmsg_len > datagram.size()) {
      result.malformed = true;
      return result;
    }
    auto body = datagram.substr(sizeof *head, head->nlmsg_len - sizeof *head);
    if (head->nlmsg_type == NLMSG_DONE)
      result.done = true;
    else if (head->nlmsg_type == NLMSG_ERROR)
      result.failed = true;
    else if (head->nlmsg_type == RTM_NEWLINK || head->nlmsg_type == RTM_DELLINK)
      result.changed = take_link(head->nlmsg_type, body) || result.changed;
    else if (head->nlmsg_type == RTM_NEWADDR || head->nlmsg_type == RTM_DELADDR)
      result.changed = take_address(head->nlmsg_type, body) || result.changed;
    datagram.remove_prefix(std::min(aligned(head->nlmsg_len), datagram.size()));
  }
  return result;
}

std::string listing_request(interface_listing what, uint32_t sequence) {
  struct {
    nlmsghdr head;
    rtgenmsg body;
  } x{};
  x.head.nlmsg_len = NLMSG_LENGTH(sizeof x.body);
  x.head.nlmsg_type = static_cast<uint16_t>(what);
  x.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  x.head.nlmsg_seq = sequence;
  x.body.rtgen_family = AF_UNSPEC;
  return {reinterpret_cast<const char*>(&x), x.head.nlmsg_len};
}

} // namespace rvi
