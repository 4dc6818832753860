// SPDX-License-Identifier: MPL-2.0
//
// The network interfaces of this machine, as the kernel tells them over netlink: parsing without a
// socket. What the kernel says is trusted no more than a peer: lengths are checked, counts bounded.

#pragma once

#include "actors/sockets/ip.hpp"

#include <caf/type_id.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

struct network_interface {
  std::string name;
  bool up = false; // up and with a carrier
  bool loopback = false;
  bool multicast = false;
  std::vector<ip_network> addresses; // each with the network around it

  /// Something can be sent over it.
  bool usable() const { return up && !addresses.empty(); }
  bool has(const ip_address& x) const;
  /// The address is on this interface's own network.
  bool is_near(const ip_address& x) const;
};

using interface_map = std::map<uint32_t, network_interface>; // by index
using interface_map_ptr = std::shared_ptr<const interface_map>;

/// Follows the kernel's messages.
class interface_table {
public:
  static constexpr size_t interfaces_max = 256;
  static constexpr size_t addresses_max = 64; // of one interface

  /// What a datagram brought.
  struct outcome {
    bool changed = false;
    bool done = false;      // a listing has ended
    bool failed = false;    // the kernel refused it
    bool malformed = false; // the rest was left out
  };

  outcome take(std::string_view datagram);
  /// Before all is listed anew.
  void clear() { interfaces_.clear(); }
  const interface_map& interfaces() const { return interfaces_; }

private:
  bool take_link(uint16_t type, std::string_view body);
  bool take_address(uint16_t type, std::string_view body);

  interface_map interfaces_;
};

enum class interface_listing : uint16_t { links = 18, addresses = 22 }; // RTM_GETLINK, RTM_GETADDR

/// The datagram that asks the kernel for a listing.
std::string listing_request(interface_listing what, uint32_t sequence);

} // namespace rvi

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::interface_map_ptr)
