// SPDX-License-Identifier: MPL-2.0

#include "actors/sockets/ip.hpp"

#include <arpa/inet.h>
#include <charconv>
#include <cstring>

namespace rvi {

std::optional<ip_address> parse_ip(std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']')
    text = text.substr(1, text.size() - 2);
  std::string literal{text.substr(0, text.find('%'))};
  ip_address result;
  if (inet_pton(AF_INET, literal.c_str(), result.bytes.data()) == 1)
    return result;
  result.v6 = true;
  if (inet_pton(AF_INET6, literal.c_str(), result.bytes.data()) == 1)
    return result;
  return std::nullopt;
}

std::string to_string(const ip_address& x) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(x.v6 ? AF_INET6 : AF_INET, x.bytes.data(), text, sizeof text);
  return text;
}

std::string_view host_part(std::string_view address) {
  auto host = address.substr(0, address.rfind(':'));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  return host.substr(0, host.find('%'));
}

bool ip_network::contains(const ip_address& x) const {
  if (x.v6 != address.v6)
    return false;
  size_t whole = bits / 8;
  if (std::memcmp(x.bytes.data(), address.bytes.data(), whole) != 0)
    return false;
  auto mask = static_cast<uint8_t>(0xff00 >> (bits % 8));
  return bits % 8 == 0 || (x.bytes[whole] & mask) == (address.bytes[whole] & mask);
}

std::optional<ip_network> parse_network(std::string_view text) {
  auto slash = text.find('/');
  auto address = parse_ip(text.substr(0, slash));
  if (!address)
    return std::nullopt;
  unsigned bits_max = address->v6 ? 128 : 32;
  unsigned bits = bits_max;
  if (slash != std::string_view::npos) {
    auto* last = text.data() + text.size();
    auto [end, err] = std::from_chars(text.data() + slash + 1, last, bits);
    if (err != std::errc{} || end != last || bits > bits_max)
      return std::nullopt;
  }
  return ip_network{*address, static_cast<uint8_t>(bits)};
}

} // namespace rvi
