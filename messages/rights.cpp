// SPDX-License-Identifier: MPL-2.0

#include "messages/rights.hpp"

#include "messages/name.hpp"

#include <algorithm>

namespace rvi {

credential_ptr credential_cache::find(const std::string& hash) {
  std::lock_guard guard{mutex_};
  auto i = entries_.find(hash);
  if (i == entries_.end())
    return nullptr;
  order_.splice(order_.begin(), order_, i->second);
  return *i->second;
}

void credential_cache::add(const credential_ptr& x) {
  std::lock_guard guard{mutex_};
  if (entries_.count(x->hash))
    return;
  if (entries_.size() >= credentials_max_) {
    entries_.erase(order_.back()->hash);
    order_.pop_back();
  }
  order_.push_front(x);
  entries_.emplace(x->hash, order_.begin());
}

void credential_cache::keep_if(const std::function<bool(const credential&)>& holds) {
  std::lock_guard guard{mutex_};
  for (auto i = order_.begin(); i != order_.end();) {
    if (holds(**i)) {
      ++i;
      continue;
    }
    entries_.erase((*i)->hash);
    i = order_.erase(i);
  }
}

size_t credential_cache::size() const {
  std::lock_guard guard{mutex_};
  return entries_.size();
}

expected<credential_ptr> rights::choose(std::string_view source, std::string_view target,
                                        uint64_t now_ms, uint64_t expires_ms) const {
  caf::error reason = caf::make_error(
    ec::unauthorized, std::string{source} + " has no right to reach " + std::string{target});
  for (auto& x : own) {
    if (!x->covers_source(source) || !x->covers_destination(target))
      continue;
    if (auto err = check_validity(*x, now_ms)) {
      reason = std::move(err);
      continue;
    }
    if (x->expires_s * 1'000 < expires_ms) {
      reason = caf::make_error(ec::credential_expired,
                               "credential " + x->id
                                 + " ends before the request would; ask for an earlier timeout");
      continue;
    }
    return x;
  }
  return reason;
}

expected<credential_ptr> rights::choose_for_reply(std::string_view source, uint64_t now_ms) const {
  for (auto& x : own)
    if (x->covers_source(source) && !check_validity(*x, now_ms))
      return x;
  return caf::make_error(ec::unauthorized,
                         "no valid credential lets this node answer as " + std::string{source});
}

bool rights::may_receive(std::string_view name) const {
  return std::any_of(own.begin(), own.end(), [name](auto& x) { return x->covers_source(name); });
}

caf::error
rights::check_remote(const request_header& x, uint64_t signed_at_ms, uint64_t now_ms) const {
  if (x.expires_ms <= now_ms)
    return caf::make_error(ec::timeout, std::string{"its time was up"});
  if (x.created_ms > now_ms + limits.clock_skew_ms)
    return caf::make_error(ec::unauthorized, std::string{"created in the future"});
  if (x.expires_ms - x.created_ms > limits.ttl_ms_max)
    return caf::make_error(ec::unauthorized, std::string{"lives longer than this node allows"});
  auto drift = std::max(signed_at_ms, x.created_ms) - std::min(signed_at_ms, x.created_ms);
  if (drift > 2 * limits.clock_skew_ms)
    return caf::make_error(ec::unauthorized, std::string{"not signed when it was created"});
  auto credential = find(x.credential_hash);
  if (!credential)
    return caf::make_error(ec::unknown_credential, std::string{"never seen"});
  if (auto err = check_validity(*credential, now_ms))
    return err;
  if (!credential->covers_source(x.source))
    return caf::make_error(ec::unauthorized, "the sender may not speak for " + x.source);
  if (x.is_reply())
    return {}; // whether it answers a request of ours is the ledger's to know
  if (x.id.origin != credential->key.uid())
    return caf::make_error(ec::unauthorized, std::string{"an id of another node"});
  if (!credential->covers_destination(x.target))
    return caf::make_error(ec::unauthorized, "the sender may not reach " + x.target);
  if (!is_below(x.target, node_address) || !may_receive(x.target))
    return caf::make_error(ec::unknown_target, x.target + " is not on this node");
  return {};
}

credential_ptr rights::find(const std::string& hash) const {
  for (auto& x : own)
    if (x->hash == hash)
      return x;
  return known ? known->find(hash) : nullptr;
}

} // namespace rvi
