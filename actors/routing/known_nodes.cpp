// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/known_nodes.hpp"

#include "runtime/crypto/crypto.hpp"
#include "storage.pb.h"

#include <algorithm>
#include <iterator>

namespace rvi {

namespace {

using names = std::vector<std::string>;

names sorted(names x) {
  std::sort(x.begin(), x.end());
  return x;
}

names difference(const names& a, const names& b) {
  names result;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(result));
  return result;
}

} // namespace

std::string encode_known_node(const known_node& x) {
  storage::KnownNode y;
  y.set_address(x.address);
  for (auto& address : x.network_addresses)
    y.add_network_addresses(address);
  y.set_last_seen_ms(x.last_seen_ms);
  y.set_credentials_end_ms(x.credentials_end_ms);
  for (auto& service : x.services)
    y.add_services(service);
  for (auto& hash : x.credential_hashes)
    y.add_credential_hashes(hash);
  for (auto& uid : x.former)
    y.add_former(std::string{crypto::view(uid)});
  return y.SerializeAsString();
}

expected<known_node> decode_known_node(std::string_view uid, std::string_view value) {
  storage::KnownNode y;
  known_node result;
  if (uid.size() != result.uid.size() || !y.ParseFromArray(value.data(), int(value.size()))
      || y.address().empty())
    return caf::make_error(ec::malformed, std::string{"a damaged record of a node"});
  auto uid_of = [](std::string_view bytes) {
    node_uid read{};
    std::copy_n(bytes.begin(), read.size(), reinterpret_cast<char*>(read.data()));
    return read;
  };
  result.uid = uid_of(uid);
  for (auto& former : y.former())
    if (former.size() == result.uid.size())
      result.former.push_back(uid_of(former));
  result.address = y.address();
  result.network_addresses = {y.network_addresses().begin(), y.network_addresses().end()};
  result.last_seen_ms = y.last_seen_ms();
  result.credentials_end_ms = y.credentials_end_ms();
  result.services = {y.services().begin(), y.services().end()};
  result.credential_hashes = {y.credential_hashes().begin(), y.credential_hashes().end()};
  return result;
}

ec judge_known_node(const known_node& x, const rights& now) {
  for (auto& hash : x.credential_hashes) {
    auto credential = now.find_known(hash);
    if (!credential)
      continue;
    if (now.revoked(*credential))
      return ec::revoked;
    if (now.quarantined(*credential))
      return ec::quarantined;
  }
  return ec::none;
}

availability_report report_of(const known_node& x) {
  availability_report result;
  result.node = x.address;
  result.available = x.available();
  if (x.fallen != ec::none)
    result.state = to_string(x.fallen);
  else
    result.state = x.link != 0 ? "linked" : "away";
  if (x.available()) {
    result.kind = x.link_kind;
    result.round_trip_us = x.round_trip_us;
  } else {
    result.last_seen_ms = x.last_seen_ms;
  }
  return result;
}

std::vector<availability_event>
availability_changes(const known_node* before, const known_node& after) {
  std::vector<availability_event> result;
  auto add = [&](std::string reason, names services) {
    auto& x = result.emplace_back();
    x.what = report_of(after);
    x.what.reason = std::move(reason);
    x.what.services = std::move(services);
  };
  auto old_services = before ? sorted(before->services) : names{};
  auto services = sorted(after.services);
  bool was_there = before && before->available();
  if (auto withdrawn = difference(old_services, services); !withdrawn.empty()) {
    add("withdrawn", std::move(withdrawn));
    result.back().what.available = false;
    result.back().what.state = "gone";
  }
  if (!was_there && after.available())
    add("link_up", services);
  else if (before && before->fallen != after.fallen && after.fallen != ec::none)
    add(to_string(after.fallen), services);
  else if (was_there && !after.available())
    add("link_down", services);
  else if (was_there && before->link_kind != after.link_kind)
    add("link_up", services); // another kind of link has taken over
  else if (was_there && before->round_trip_us == 0 && after.round_trip_us != 0)
    add("measured", services);
  else if (was_there) {
    if (auto announced = difference(services, old_services); !announced.empty())
      add("announced", std::move(announced));
  }
  return result;
}

} // namespace rvi
