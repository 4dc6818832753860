// SPDX-License-Identifier: MPL-2.0
//
// Where the node may be made to call.

#include "actors/edge/service_callback.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <netinet/in.h>

namespace rvi {

namespace {

constexpr size_t address_bytes_max = 2'048;

caf::error wrong(const std::string& detail) {
  return caf::make_error(ec::bad_request, "network_address: " + detail);
}

bool is_loopback(const std::string& host) {
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1)
    return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/// Printable ASCII without spaces: nothing that could end a request line or a header.
bool is_plain(const std::string& x) {
  return std::all_of(x.begin(), x.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

caf::error split_authority(std::string_view x, callback_target& out) {
  auto end = x.front() == '[' ? x.find(']') : x.find(':');
  if (x.front() == '[') {
    if (end == x.npos)
      return wrong("no ] behind the IPv6 address");
    out.host = x.substr(1, end - 1);
    x.remove_prefix(end + 1);
  } else {
    out.host = x.substr(0, end);
    x.remove_prefix(std::min(end, x.size()));
  }
  if (out.host.empty())
    return wrong("no host");
  if (x.empty())
    return {};
  auto digits = x.substr(1);
  auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
  if (x.front() != ':' || error != std::errc{} || stop != digits.data() + digits.size()
      || out.port == 0)
    return wrong("no port number");
  return {};
}

} // namespace

std::string callback_target::authority() const {
  auto text = host.find(':') == host.npos ? host : "[" + host + "]";
  return text + ":" + std::to_string(port);
}

expected<callback_target>
check_callback_address(const std::string& address, const std::vector<std::string>& hosts,
                       const std::vector<uint16_t>& own_ports) {
  constexpr std::string_view scheme = "http://";
  if (address.size() > address_bytes_max || !is_plain(address))
    return wrong("too long, or with characters that do not belong there");
  if (address.compare(0, scheme.size(), scheme) != 0)
    return wrong("must begin with http://");
  auto rest = std::string_view{address}.substr(scheme.size());
  auto authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.empty() || authority.find('@') != authority.npos || rest.find('#') != rest.npos)
    return wrong("no host, or a part that is not allowed");
  callback_target target;
  if (auto error = split_authority(authority, target))
    return error;
  target.path = rest.substr(authority.size());
  if (target.path.empty() || target.path.front() != '/')
    target.path.insert(0, "/");
  auto listed = std::find(hosts.begin(), hosts.end(), target.host) != hosts.end();
  if (!listed && !is_loopback(target.host))
    return caf::make_error(ec::unauthorized, "network_address: " + target.host
                                               + " is no loopback address and not in "
                                                 "api.callback_hosts");
  if (std::find(own_ports.begin(), own_ports.end(), target.port) != own_ports.end())
    return caf::make_error(ec::unauthorized, "network_address: this port is the node's own");
  return target;
}

} // namespace rvi
