// SPDX-License-Identifier: MPL-2.0
//
// Who may carry for whom (decisions 4): the claim `relay` of a credential.

#include "messages/name.hpp"
#include "messages/rights.hpp"

#include <algorithm>

namespace rvi {

std::string carried_name(const request_header& x) {
  return x.is_reply() ? "rpc:" + x.source : x.target; // only an rpc has a reply
}

bool covers_any(const std::vector<std::string>& patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(), [name](auto& x) { return covers(x, name); });
}

bool rights::may_relay(std::string_view name, uint64_t now_ms) const {
  return std::any_of(own.begin(), own.end(),
                     [&](auto& x) { return x->covers_relay(name) && !check_standing(*x, now_ms); });
}

bool rights::is_relay(uint64_t now_ms) const {
  return std::any_of(own.begin(), own.end(),
                     [&](auto& x) { return !x->relay.empty() && !check_standing(*x, now_ms); });
}

caf::error
rights::check_carried(const request_header& x, uint64_t signed_at_ms, uint64_t now_ms) const {
  auto name = carried_name(x);
  if (!may_relay(name, now_ms))
    return caf::make_error(ec::unauthorized, "this node may not carry for " + name);
  if (!x.grant_hash.empty())
    return caf::make_error(ec::unauthorized,
                           std::string{"a grant counts between its two nodes only"});
  return check_sender(x, signed_at_ms, now_ms);
}

} // namespace rvi
