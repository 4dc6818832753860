// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/queue_quota.hpp"

#include "messages/name.hpp"

#include <algorithm>

namespace rvi {

queue_quota quota_account::quota_of(const owner& who) const {
  for (auto& rule : config_.rules)
    if (matches(rule.pattern, who.name) || covers(rule.pattern, who.name))
      return rule.quota;
  return who.service ? config_.service : config_.node;
}

bool quota_account::enter(const owner& who, uint64_t bytes) {
  auto quota = quota_of(who);
  auto now = used(who);
  if (now.items_max >= quota.items_max || now.bytes_max >= quota.bytes_max)
    return false;
  count(who, 1, bytes);
  return true;
}

void quota_account::count(const owner& who, uint64_t items, uint64_t bytes) {
  if (items == 0)
    return;
  auto& x = used_[who.name];
  x.items_max += items;
  x.bytes_max += bytes;
}

void quota_account::leave(const owner& who, uint64_t bytes) {
  auto i = used_.find(who.name);
  if (i == used_.end())
    return;
  auto& x = i->second;
  x.bytes_max -= std::min(x.bytes_max, bytes);
  if (--x.items_max == 0)
    used_.erase(i);
}

queue_quota quota_account::used(const owner& who) const {
  auto i = used_.find(who.name);
  return i == used_.end() ? queue_quota{} : i->second;
}

std::string service_of_name(const std::string& name, const std::string& node_address,
                            const std::string& infix) {
  auto whole = std::string{without_type(name)};
  auto begin = node_address.size() + 1;
  if (!infix.empty()
      && whole.compare(begin < whole.size() ? begin : whole.size(), infix.size() + 1, infix + "/")
           == 0)
    begin += infix.size() + 1;
  return begin < whole.size() ? whole.substr(0, whole.find('/', begin)) : whole;
}

std::string node_of_name(const std::string& name, const std::string& infix) {
  auto whole = std::string{without_type(name)};
  auto end = infix.empty() ? std::string::npos : whole.find("/" + infix + "/");
  if (end == std::string::npos)
    end = whole.rfind('/');
  return whole.substr(0, end);
}

} // namespace rvi
