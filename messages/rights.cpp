// SPDX-License-Identifier: MPL-2.0

#include "messages/rights.hpp"

#include "messages/name.hpp"

#include <algorithm>

namespace rvi {

namespace {

/// RVI-B1 3.2, step 2. Not the skew of clocks: one node reads both times from the same clock.
constexpr uint64_t signing_delay_ms_max = uint64_t{10} * 60 * 1'000;

} // namespace

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

bool rights::is_own(const node_uid& x) const {
  return (own_key && x == own_key.uid())
         || std::find(former_keys.begin(), former_keys.end(), x) != former_keys.end();
}

bool rights::revoked(const credential& x) const {
  if (revocations && is_revoked(x, *revocations))
    return true;
  for (auto* each = &x; each && blocked; each = each->parent.get())
    if (blocked->count(each->revocation) > 0)
      return true;
  return false;
}

bool rights::quarantined(const credential& x) const {
  for (auto* each = &x; each && quarantine; each = each->parent.get()) {
    auto since = quarantine->find(each->key.uid());
    if (since != quarantine->end() && each->issued_s <= since->second)
      return true;
  }
  return false;
}

caf::error rights::check_standing(const credential& x, uint64_t now_ms) const {
  if (auto err = check_validity(x, now_ms))
    return err;
  if (revoked(x))
    return caf::make_error(ec::revoked, x.issuer + " has revoked the credential " + x.id);
  if (quarantined(x))
    return caf::make_error(ec::quarantined,
                           "the key of " + x.id + " is in two places; it needs a new credential");
  return {};
}

expected<chosen_right>
rights::choose(std::string_view source, std::string_view target, uint64_t now_ms,
               uint64_t expires_ms, std::string_view role) const {
  caf::error reason = caf::make_error(
    ec::unauthorized, std::string{source} + " has no right to reach " + std::string{target});
  auto ends_before = [&](const std::string& what, uint64_t expires_s) {
    if (expires_s * 1'000 >= expires_ms)
      return caf::error{};
    return caf::make_error(ec::credential_expired,
                           what + " ends before the request would; ask for an earlier timeout");
  };
  auto usable = [&](const credential& x) {
    if (!x.covers_user(role)) {
      auto who = role.empty() ? std::string{"; nobody is named"}
                              : ", not in the role \"" + std::string{role} + "\"";
      reason
        = caf::make_error(ec::unauthorized, "credential " + x.id + " is for certain users" + who);
      return false;
    }
    auto err = check_standing(x, now_ms);
    if (!err)
      err = ends_before("credential " + x.id, x.expires_s);
    if (err)
      reason = err;
    return !err;
  };
  for (auto& x : own)
    if (x->covers_source(source) && x->covers_destination(target) && usable(*x))
      return chosen_right{x};
  static const std::vector<grant_ptr> none;
  for (auto& grant : grants ? grants->held : none) {
    if (!grant->covers_destination(target))
      continue;
    auto err = check_validity(*grant, now_ms);
    if (!err)
      err = ends_before("grant " + grant->id, grant->expires_s);
    if (err) {
      reason = std::move(err);
      continue;
    }
    for (auto& x : own)
      if (x->covers_source(source) && usable(*x))
        return chosen_right{x, grant};
  }
  return reason;
}

caf::error rights::check_grant(const request_header& x, uint64_t now_ms) const {
  if (x.grant_hash.empty())
    return caf::make_error(ec::unauthorized, "the sender may not reach " + x.target);
  auto none = caf::make_error(
    ec::unauthorized, std::string{"this node has given no such grant, or has taken it back"});
  if (!grants)
    return none;
  auto found = grants->given.find(x.grant_hash);
  if (found == grants->given.end() || found->second->holder != x.id.origin)
    return none;
  auto& grant = *found->second;
  if (auto err = check_validity(grant, now_ms))
    return err;
  if (!grant.covers_destination(x.target))
    return caf::make_error(ec::unauthorized, "grant " + grant.id + " does not cover " + x.target);
  return {};
}

expected<credential_ptr> rights::choose_for_reply(std::string_view source, uint64_t now_ms) const {
  caf::error reason = caf::make_error(
    ec::unauthorized, "no valid credential lets this node answer as " + std::string{source});
  for (auto& x : own) {
    if (!x->covers_source(source))
      continue;
    auto err = check_standing(*x, now_ms);
    if (!err)
      return x;
    reason = std::move(err);
  }
  return reason;
}

bool rights::may_receive(std::string_view name) const {
  return std::any_of(own.begin(), own.end(),
                     [&](auto& x) { return x->covers_source(name) && !revoked(*x); });
}

bool rights::may_receive(std::string_view name, uint64_t now_ms) const {
  return std::any_of(own.begin(), own.end(), [&](auto& x) {
    return x->covers_source(name) && !check_standing(*x, now_ms);
  });
}

caf::error
rights::check_times(const request_header& x, uint64_t signed_at_ms, uint64_t now_ms) const {
  if (x.expires_ms <= now_ms)
    return caf::make_error(ec::timeout, std::string{"its time was up"});
  if (x.created_ms > now_ms + limits.clock_skew_ms)
    return caf::make_error(ec::unauthorized, std::string{"created in the future"});
  if (x.expires_ms - x.created_ms > limits.ttl_ms_max)
    return caf::make_error(ec::unauthorized, std::string{"lives longer than this node allows"});
  auto drift = std::max(signed_at_ms, x.created_ms) - std::min(signed_at_ms, x.created_ms);
  if (drift > signing_delay_ms_max)
    return caf::make_error(ec::unauthorized, std::string{"not signed when it was created"});
  return {};
}

caf::error
rights::check_sender(const request_header& x, uint64_t signed_at_ms, uint64_t now_ms) const {
  if (auto err = check_times(x, signed_at_ms, now_ms))
    return err;
  auto credential = find_known(x.credential_hash);
  if (!credential)
    return caf::make_error(ec::unknown_credential, std::string{"never seen"});
  if (auto err = check_standing(*credential, now_ms))
    return err;
  if (!credential->covers_source(x.source))
    return caf::make_error(ec::unauthorized, "the sender may not speak for " + x.source);
  if (x.is_reply())
    return {}; // whether it answers a request of ours is the ledger's to know
  if (x.id.origin != credential->key.uid())
    return caf::make_error(ec::unauthorized, std::string{"an id of another node"});
  if (!x.grant_hash.empty() || !credential->covers_destination(x.target))
    if (auto err = check_grant(x, now_ms))
      return err;
  if (!credential->covers_user(x.role()))
    return caf::make_error(ec::unauthorized,
                           std::string{"the sender may not ask on behalf of this user"});
  return {};
}

caf::error
rights::check_remote(const request_header& x, uint64_t signed_at_ms, uint64_t now_ms) const {
  if (auto err = check_sender(x, signed_at_ms, now_ms); err || x.is_reply())
    return err;
  auto names = [&](const node_uid& uid) { return x.target_uid == crypto::view(uid); };
  if (!x.target_uid.empty() && !names(own_key.uid())
      && std::none_of(former_keys.begin(), former_keys.end(), names))
    return caf::make_error(ec::unauthorized, std::string{"meant for another node"});
  if (!is_below(x.target, node_address) || !may_receive(x.target, now_ms))
    return caf::make_error(ec::unknown_target, x.target + " is not on this node");
  if (!policy)
    return {};
  if (auto err = policy->check_user(x, now_ms))
    return err;
  auto credential = find_known(x.credential_hash);
  return credential ? check_freshness(x, *credential, now_ms) : caf::error{};
}

caf::error
rights::check_freshness(const request_header& x, const credential& sender, uint64_t now_ms) const {
  auto age_max_s = policy->list_age_max_s(x.target);
  if (age_max_s == 0)
    return {};
  auto& issuer = sender.issuer;
  auto now_s = now_ms / 1'000;
  const revocation_set* list = nullptr;
  if (revocations)
    if (auto found = revocations->find(issuer); found != revocations->end())
      list = found->second.get();
  if (!list || list->issued_s + age_max_s < now_s)
    return caf::make_error(ec::unauthorized, x.target + " wants a revocation list of " + issuer
                                               + " made in the last " + std::to_string(age_max_s)
                                               + " s");
  // Whoever keeps a new bundle away keeps away the roots it takes back.
  auto bundle = anchors.bundle(issuer);
  if (bundle && bundle->expires_s < now_s)
    return caf::make_error(ec::unauthorized,
                           x.target + " wants a trust bundle of " + issuer + " that still holds");
  return {};
}

credential_ptr rights::find(const std::string& hash) const {
  auto result = find_known(hash);
  return result && !revoked(*result) ? result : nullptr;
}

credential_ptr rights::find_known(const std::string& hash) const {
  for (auto& x : own)
    if (x->hash == hash)
      return x;
  return known ? known->find(hash) : nullptr;
}

} // namespace rvi
