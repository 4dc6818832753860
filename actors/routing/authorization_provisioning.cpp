// SPDX-License-Identifier: MPL-2.0
//
// What provisioning services may do to this node's credentials (HLD 9.1 to 9.5): add, delete and
// revoke them. A deleted credential is remembered until it ends, so that it is used neither from
// the node's files nor for what was signed with it and still waits.

#include "actors/routing/authorization.hpp"
#include "actors/routing/authorization_steps.hpp"
#include "actors/storage/transaction.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>
#include <chrono>

namespace rvi {

namespace {

constexpr const char* component = "authorization";
constexpr size_t own_credentials_max = 64;
constexpr size_t remembered_max = 1'024; // with those deleted
constexpr size_t blocked_max = 65'536;
/// So that the reply is under way when the session ends.
constexpr std::chrono::seconds renew_delay{1};

std::string own_key(const std::string& hash) {
  return std::string{own_credential_prefix} + hash;
}

std::string blocked_key(const revocation_id& x) {
  return std::string{blocked_prefix} + std::string{crypto::view(x)};
}

std::string ids_answer(const std::vector<std::string>& ids) {
  json::writer out;
  out.begin_object().member("status", "ok").key("certificate_id").begin_array();
  for (auto& id : ids)
    out.string(id);
  out.end_array().end_object();
  return out.take();
}

caf::error bad_request(std::string why) {
  return caf::make_error(ec::bad_request, std::move(why));
}

} // namespace

caf::error
authorization_state::read_provisioned(transaction& t,
                                      std::vector<std::pair<std::string, std::string>>& result) {
  result.clear();
  if (auto err = records_below(t, own_credential_prefix, result))
    return err;
  return records_below(t, blocked_prefix, result);
}

void authorization_state::take_provisioned(
  const std::vector<std::pair<std::string, std::string>>& stored) {
  auto rights = config.node->rights->load();
  std::vector<std::string> over;
  for (auto& [key, value] : stored) {
    if (key.starts_with(blocked_prefix)) {
      revocation_id id;
      if (key.size() != blocked_prefix.size() + id.size())
        continue;
      std::copy_n(key.begin() + static_cast<ptrdiff_t>(blocked_prefix.size()), id.size(),
                  id.begin());
      blocked_here.insert(id);
      continue;
    }
    auto x = value.empty() ? expected<credential_ptr>{caf::make_error(ec::malformed)}
                           : parse_credential(std::string_view{value}.substr(1));
    if (x && (*x)->key.spki() != rights->own_key.spki() && rights->is_own((*x)->key.uid())) {
      // Of a key before this one. It is known like those of others; deleted it stays so.
      if (value.front() == '-' && (*x)->expires_s * 1'000 > config.node->time->wall_ms())
        blocked_here.insert((*x)->revocation);
      else
        over.push_back(key);
      continue;
    }
    auto err = x ? verify_credential(**x, rights->anchors) : std::move(x.error());
    if (!err && (*x)->key.spki() != rights->own_key.spki())
      err = caf::make_error(ec::unauthorized, "it was issued for another key than this node's");
    if (!err)
      err = check_validity(**x, config.node->time->wall_ms());
    if (code_of(err) == ec::credential_expired)
      over.push_back(key);
    else if (err && code_of(err) != ec::credential_not_yet_valid)
      log::warning(component, "a provisioned credential is not used", {{"reason", describe(err)}});
    else
      own_provisioned[(*x)->hash] = {*x, value.front() == '-'};
  }
  if (!over.empty())
    self->request(config.store, caf::infinite, atom::defer_v, erasing(std::move(over)))
      .then([](atom::committed) {});
  if (!own_provisioned.empty() || !blocked_here.empty())
    change_rights([this](auto& x) { add_provisioned(x); });
}

void authorization_state::add_provisioned(rights& x) const {
  auto blocked = std::make_shared<std::set<revocation_id>>(blocked_here);
  for (auto& [hash, mine] : own_provisioned) {
    if (mine.deleted)
      blocked->insert(mine.content->revocation);
    if (std::none_of(x.own.begin(), x.own.end(), [&](auto& y) { return y->hash == hash; }))
      x.own.push_back(mine.content);
  }
  std::stable_sort(x.own.begin(), x.own.end(),
                   [](auto& a, auto& b) { return a->issued_s > b->issued_s; });
  x.blocked = blocked->empty() ? nullptr : std::move(blocked);
}

// -- what is asked --------------------------------------------------------------------------------

caf::result<std::string> authorization_state::provision(const certificate_call& x) {
  if (!known)
    return caf::make_error(ec::busy, std::string{"the node has just started"});
  switch (x.what) {
    case certificate_call::action::add:
      return add_certificates(x);
    case certificate_call::action::remove:
      return delete_certificates(x);
    case certificate_call::action::revoke:
      return revoke_certificates(x);
    case certificate_call::action::list:
      return list_certificates();
    case certificate_call::action::replace_key_pair:
      return replace_key_pair(x);
    case certificate_call::action::clone_report:
      return next_clone_report();
    case certificate_call::action::clone_reported:
      return clone_reported(x.values);
  }
  return caf::make_error(ec::internal);
}

caf::result<std::string>
authorization_state::keep_provisioned(transaction_step step, std::function<void()> change,
                                      std::string answer, what_peers_saw shown) {
  auto promise = self->make_response_promise<std::string>();
  self->request(config.store, caf::infinite, atom::commit_v, std::move(step))
    .then(
      [this, promise, shown, change = std::move(change),
       answer = std::move(answer)](atom::committed) mutable {
        auto before = own_fallen(*config.node->rights->load());
        change();
        change_rights([this](rights& x) { add_provisioned(x); });
        if (shown == what_peers_saw::changed)
          self->delayed_send(self, renew_delay, atom::introduce_v);
        else
          close_fallen(own_fallen(*config.node->rights->load()) > before);
        if (store_and_forward)
          self->send(store_and_forward, atom::revoke_v);
        promise.deliver(std::move(answer));
      },
      [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

caf::result<std::string> authorization_state::change_own(const std::vector<credential_ptr>& xs,
                                                         bool deleted, const std::string& by) {
  transaction_step step = [xs, mark = deleted ? '-' : '+'](transaction& t) -> caf::error {
    for (auto& x : xs)
      if (auto err = t.put(table::nodes, own_key(x->hash), mark + x->text))
        return err;
    return {};
  };
  std::vector<std::string> ids;
  for (auto& x : xs)
    if (std::find(ids.begin(), ids.end(), x->id) == ids.end()) // a twin has the same
      ids.push_back(x->id);
  auto change = [this, xs, deleted, by] {
    for (auto& x : xs) {
      own_provisioned[x->hash] = {x, deleted};
      log::info(component, deleted ? "credential deleted" : "credential added",
                {{"id", x->id}, {"issuer", x->issuer}});
      audit::record(deleted ? "credential_deleted" : "credential_added",
                    {{"id", x->id}, {"issuer", x->issuer}, {"by", by}});
    }
  };
  return keep_provisioned(std::move(step), std::move(change), ids_answer(ids),
                          what_peers_saw::changed);
}

void authorization_state::drop_ended_provisioned() {
  auto now = config.node->time->wall_ms();
  std::set<std::string> hashes;
  std::vector<std::string> keys;
  for (auto& [hash, mine] : own_provisioned)
    if (code_of(check_validity(*mine.content, now)) == ec::credential_expired) {
      hashes.insert(hash);
      keys.push_back(own_key(hash));
    }
  if (hashes.empty())
    return;
  std::erase_if(own_provisioned, [&](auto& mine) { return hashes.contains(mine.first); });
  self->request(config.store, caf::infinite, atom::defer_v, erasing(std::move(keys)))
    .then([](atom::committed) {});
  change_rights([&](rights& x) {
    std::erase_if(x.own, [&](auto& mine) { return hashes.contains(mine->hash); });
  });
}

/// HLD 9.3: whoever brings it, what counts is who signed it and for which key.
caf::result<std::string> authorization_state::add_certificates(const certificate_call& x) {
  drop_ended_provisioned();
  auto rights = config.node->rights->load();
  std::vector<credential_ptr> fresh;
  for (auto& text : x.values) {
    auto credential = parse_written_credential(text);
    if (!credential)
      return std::move(credential.error());
    auto& mine = **credential;
    auto err = check_validity(mine, config.node->time->wall_ms());
    if (!err || code_of(err) == ec::credential_not_yet_valid)
      err = verify_credential(mine, rights->anchors);
    if (err)
      return err;
    if (mine.key.spki() != rights->own_key.spki())
      return bad_request(mine.id + " was issued for another key than this node's");
    // Deleted is an id, in both forms: both are back with either.
    std::vector<credential_ptr> deleted;
    for (auto& [hash, known_here] : own_provisioned)
      if (known_here.deleted && known_here.content->revocation == mine.revocation)
        deleted.push_back(known_here.content);
    if (rights->revoked(mine) && deleted.empty())
      return caf::make_error(ec::revoked, mine.id + " is revoked");
    std::copy_if(deleted.begin(), deleted.end(), std::back_inserter(fresh),
                 [&](auto& twin) { return twin->hash != mine.hash; });
    fresh.push_back(std::move(*credential));
  }
  auto deleted = static_cast<size_t>(std::count_if(own_provisioned.begin(), own_provisioned.end(),
                                                   [](auto& mine) { return mine.second.deleted; }));
  if (rights->own.size() - deleted + fresh.size() > own_credentials_max
      || own_provisioned.size() + fresh.size() > remembered_max)
    return caf::make_error(ec::busy, "a node has at most " + std::to_string(own_credentials_max)
                                       + " credentials; delete some first");
  return change_own(fresh, false, x.source);
}

caf::result<std::string> authorization_state::delete_certificates(const certificate_call& x) {
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  std::vector<credential_ptr> going;
  for (auto& id : x.values) {
    // One that was deleted before counts as deleted by this call: it may run again.
    auto before = going.size();
    std::copy_if(rights->own.begin(), rights->own.end(), std::back_inserter(going),
                 [&](auto& mine) { return mine->id == id && mine->issuer == x.issuer; });
    if (going.size() == before)
      return caf::make_error(ec::not_found, "no credential " + id + " of " + x.issuer + " is here");
  }
  auto name = config.node->node_address + std::string{provisioning_level};
  bool reachable = std::any_of(rights->own.begin(), rights->own.end(), [&](auto& mine) {
    return std::find(going.begin(), going.end(), mine) == going.end() && mine->covers_source(name)
           && !rights->check_standing(*mine, now);
  });
  if (!reachable)
    return caf::make_error(ec::refused, "without it this node could not be provisioned any more; "
                                        "add one with the source "
                                          + name + " first");
  return change_own(going, true, x.source);
}

/// Only of the organization that asks: an id alone says nothing about others'.
caf::result<std::string> authorization_state::revoke_certificates(const certificate_call& x) {
  std::set<revocation_id> ids;
  for (auto& id : x.values)
    ids.insert(credential_revocation_id(x.issuer, id));
  if (blocked_here.size() + ids.size() > blocked_max)
    return caf::make_error(ec::busy, std::string{"too many credentials are revoked one by one; "
                                                 "send a revocation list"});
  transaction_step step = [ids](transaction& t) -> caf::error {
    t.use_reserve(true); // a full store must not keep a stolen key in force
    for (auto& id : ids)
      if (auto err = t.put(table::nodes, blocked_key(id), {}))
        return err;
    return {};
  };
  auto change = [this, ids, names = x.values, issuer = x.issuer, by = x.source] {
    blocked_here.insert(ids.begin(), ids.end());
    for (auto& id : names) {
      log::info(component, "credential revoked here", {{"id", id}, {"issuer", issuer}});
      audit::record("credential_revoked", {{"id", id}, {"issuer", issuer}, {"by", by}});
    }
  };
  return keep_provisioned(std::move(step), std::move(change), ids_answer(x.values),
                          what_peers_saw::stays);
}

std::string authorization_state::list_certificates() const {
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  json::writer out;
  out.begin_object().member("status", "ok");
  out.member("node_uid", to_string(config.node->uid));
  out.key("certificates").begin_array();
  for (auto& x : rights->own) {
    auto mine = own_provisioned.find(x->hash);
    if (mine != own_provisioned.end() && mine->second.deleted)
      continue;
    auto err = rights->check_standing(*x, now);
    out.begin_object()
      .member("certificate_id", x->id)
      .member("issuer", x->issuer)
      .member("expires", x->expires_s)
      .member("state", err ? to_string(code_of(err)) : "valid")
      .member("certificate", written_form(*x))
      .end_object();
  }
  out.end_array().end_object();
  return out.take();
}

/// What a peer was shown when its session began does not hold any more.
void authorization_state::renew_sessions() {
  for (auto& [number, x] : sessions)
    self->send(x.link, atom::close_v, std::string{to_string(ec::link_down)},
               std::string{"this node's credentials have changed"});
}

} // namespace rvi
