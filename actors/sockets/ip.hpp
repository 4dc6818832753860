// SPDX-License-Identifier: MPL-2.0
//
// IP addresses and networks as values, for deciding who is near and who is trusted. No name is
// looked up here.

#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rvi {

struct ip_address {
  std::array<uint8_t, 16> bytes{}; // IPv4: the first four
  bool v6 = false;

  auto operator<=>(const ip_address&) const = default;
  /// fe80::/10: means something together with its interface only.
  bool link_local_v6() const { return v6 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80; }
};

/// "10.0.0.1", "fe80::1", with or without brackets; an interface behind `%` is left out.
std::optional<ip_address> parse_ip(std::string_view text);
std::string to_string(const ip_address& x);

/// The host of `host:port`, without brackets and without `%interface`.
std::string_view host_part(std::string_view address);

/// All addresses that begin with the same bits.
struct ip_network {
  ip_address address;
  uint8_t bits = 0;

  bool contains(const ip_address& x) const;
};

/// "10.0.0.0/8", "fd00::/8", or an address alone.
std::optional<ip_network> parse_network(std::string_view text);

} // namespace rvi
