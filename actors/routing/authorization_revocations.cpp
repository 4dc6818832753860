// SPDX-License-Identifier: MPL-2.0
//
// Revocation lists (HLD 3.2.3, 9.5): in from the issuer or a peer, durable, in force, and on to the
// peers that lack them. Whoever rests on a revoked credential loses its session at once; what is
// stored is judged again at dispatch, by the rights snapshot.

#include "actors/routing/authorization.hpp"
#include "actors/routing/authorization_steps.hpp"
#include "actors/storage/transaction.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"
#include "rvi.pb.h"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "authorization";

/// The lists that make up a set, as they lie in the store.
std::string stored_form(const revocation_set& x) {
  wire::Revocations result;
  for (auto& text : x.lists)
    result.add_lists(text);
  return result.SerializeAsString();
}

/// Their signatures were checked before they were stored. They stay in force even if the key that
/// signed them is not pinned any more: forgetting would give rights back.
revocation_set_ptr restored(const std::string& stored) {
  wire::Revocations lists;
  revocation_set_ptr result;
  if (!lists.ParseFromString(stored))
    return nullptr;
  for (auto& text : lists.lists()) {
    auto list = parse_revocation_list(text);
    auto next = list ? apply_revocation_list(result.get(), **list)
                     : expected<revocation_set_ptr>{std::move(list.error())};
    if (!next)
      return result;
    result = std::move(*next);
  }
  return result;
}

const revocation_sets& sets_of(const rights& x) {
  static const revocation_sets none;
  return x.revocations ? *x.revocations : none;
}

/// What an honest peer never sends.
bool is_violation(const caf::error& x) {
  return code_of(x) == ec::malformed || code_of(x) == ec::signature_invalid;
}

} // namespace

void authorization_state::change_rights(const std::function<void(rights&)>& change) {
  auto next = std::make_shared<rights>(*config.node->rights->load());
  change(*next);
  config.node->rights->publish(std::move(next));
}

void authorization_state::take_sets(const std::vector<std::string>& stored) {
  auto sets = std::make_shared<revocation_sets>();
  size_t entries = 0;
  for (auto& text : stored) {
    auto x = restored(text);
    if (!x) {
      log::error(component, "a stored revocation list cannot be read", {});
      continue;
    }
    entries += x->entries.size();
    (*sets)[x->issuer] = x;
  }
  revoked_entries->set(static_cast<double>(entries));
  change_rights([&](rights& x) { x.revocations = sets; });
}

// -- in -----------------------------------------------------------------------------------------

caf::result<atom::done> authorization_state::revoke(std::string text) {
  auto promise = self->make_response_promise<atom::done>();
  import_bytes += text.size();
  imports.push_back({std::move(text), link_actor{}, promise});
  once_known([this] { import_next(); });
  return promise;
}

void authorization_state::revoke_from_peer(const link_actor& link, std::vector<std::string> texts) {
  for (auto& text : texts) {
    if (import_bytes + text.size() > config.waiting_lists_bytes_max) {
      self->send(link, atom::close_v, std::string{to_string(ec::busy)},
                 std::string{"too many revocation lists wait here"});
      break;
    }
    import_bytes += text.size();
    imports.push_back({std::move(text), link, {}});
  }
  once_known([this] { import_next(); });
}

/// One after the other: a delta needs the list before it.
void authorization_state::import_next() {
  while (!importing && !imports.empty()) {
    auto x = std::move(imports.front());
    imports.pop_front();
    import_bytes -= x.text.size();
    if (is_trust_bundle(x.text)) {
      import_bundle(std::move(x));
      continue;
    }
    auto rights = config.node->rights->load();
    auto next = accept_revocation_list(x.text, sets_of(*rights), rights->anchors);
    if (!next) {
      refuse_list(x, std::move(next.error()));
      continue;
    }
    importing = true;
    transaction_step step = [key = std::string{revocation_prefix} + (*next)->issuer,
                             text = stored_form(**next)](transaction& t) {
      t.use_reserve(true); // a full store must not keep a stolen key in force
      return t.put(table::nodes, key, text);
    };
    self->request(config.store, caf::infinite, atom::commit_v, std::move(step))
      .then(
        [this, x, set = *next](atom::committed) mutable {
          importing = false;
          apply(set, x.from);
          if (!x.from)
            x.promise.deliver(atom::done_v);
          import_next();
        },
        [this, x](const caf::error& err) mutable {
          importing = false;
          log::error(component, "a revocation list cannot be stored", {{"error", describe(err)}});
          if (!x.from)
            x.promise.deliver(err);
          import_next();
        });
  }
}

void authorization_state::refuse_list(list_import& x, caf::error why) {
  if (!x.from) {
    audit::refused("revocation list", why, {{"peer", "entered at this node"}});
    x.promise.deliver(std::move(why));
    return;
  }
  auto from = find_session(x.from);
  if (is_violation(why)) {
    lists_refused->add();
    audit::refused("revocation list", why,
                   {{"peer", from ? from->peer.peer.node_address : std::string{}},
                    {"peer_uid", from ? to_string(from->peer.peer.uid) : std::string{}}});
    log::warning(
      component, "a peer sent a false revocation list",
      {{"peer", from ? from->peer.peer.node_address : std::string{}}, {"reason", describe(why)}});
    self->send(x.from, atom::close_v, std::string{to_string(code_of(why))}, detail_of(why));
    return;
  }
  lists_useless->add();
  if (from && ++from->useless_lists == config.useless_lists_max + 1) {
    auto many = caf::make_error(ec::limit_exceeded,
                                std::string{"too many revocation lists that are not newer"});
    audit::refused("revocation list", many, {{"peer", from->peer.peer.node_address}});
    self->send(x.from, atom::close_v, std::string{to_string(code_of(many))}, detail_of(many));
  }
}

// -- in force -----------------------------------------------------------------------------------

void authorization_state::apply(const revocation_set_ptr& x, const link_actor& from) {
  size_t entries = 0;
  auto own_before = own_fallen(*config.node->rights->load());
  change_rights([&](rights& next) {
    auto sets = std::make_shared<revocation_sets>(sets_of(next));
    (*sets)[x->issuer] = x;
    for (auto& [issuer, set] : *sets)
      entries += set->entries.size();
    next.revocations = std::move(sets);
  });
  lists_taken->add();
  revoked_entries->set(static_cast<double>(entries));
  audit::record("revocation", {{"issuer", x->issuer},
                               {"bundle", x->version.bundle},
                               {"serial", x->version.serial},
                               {"entries", x->entries.size()}});
  log::info(component, "revocation list in force",
            {{"issuer", x->issuer}, {"serial", x->version.serial}, {"entries", x->entries.size()}});
  if (auto sender = from ? find_session(from) : nullptr)
    sender->peer.lists[x->issuer] = std::max(sender->peer.lists[x->issuer], x->version);
  // First the news, so that a node that is listed hears why it is left alone.
  for (auto& [number, to] : sessions)
    if (to.up)
      tell(to, *x);
  close_fallen(own_fallen(*config.node->rights->load()) > own_before);
  if (store_and_forward)
    self->send(store_and_forward, atom::revoke_v);
}

void authorization_state::close_fallen(bool own_fell) {
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  auto fallen
    = [&](const credential_ptr& x) { return rights->revoked(*x) || rights->quarantined(*x); };
  // Our own sessions rest on what we showed; the next ones will rest on what is left.
  if (own_fell)
    log::error(component, "a credential of this node was revoked; it is not used any more", {});
  for (auto& [number, x] : sessions) {
    auto& shown = x.peer.credentials;
    auto i = std::find_if(shown.begin(), shown.end(), fallen);
    if (!own_fell && i == shown.end())
      continue;
    auto why = i == shown.end()
                 ? caf::make_error(ec::revoked, std::string{"this node's credential"})
                 : rights->check_standing(**i, now);
    if (i != shown.end())
      audit::refused(
        "session", why,
        {{"peer", x.peer.peer.node_address}, {"peer_uid", to_string(x.peer.peer.uid)}});
    log::warning(component, "session ended",
                 {{"peer", x.peer.peer.node_address}, {"reason", describe(why)}});
    self->send(x.link, atom::close_v, std::string{to_string(code_of(why))}, detail_of(why));
  }
  if (rights_listener)
    self->send(rights_listener, atom::revoke_v);
}

void authorization_state::attach(store_and_forward_actor x) {
  store_and_forward = std::move(x);
  // It may hold what was signed before this start.
  once_known([this] {
    if (own_fallen(*config.node->rights->load()) > 0)
      self->send(store_and_forward, atom::revoke_v);
  });
}

// -- on to others -------------------------------------------------------------------------------

void authorization_state::session_up(const link_actor& link) {
  auto x = find_session(link);
  if (!x)
    return;
  x->up = true;
  tell_bundles(*x); // first: they say who may sign lists
  auto rights = config.node->rights->load();
  for (auto& [issuer, set] : sets_of(*rights))
    tell(*x, *set);
  offer_token(*x);
}

void authorization_state::tell(session& to, const revocation_set& x) {
  // A peer that does not name the issuer does not trust it, and has no use for its lists.
  auto known = to.peer.lists.find(x.issuer);
  if (known == to.peer.lists.end() || known->second >= x.version)
    return;
  self->send(to.link, atom::revoke_v, x.lists_after(known->second));
  known->second = x.version;
}

} // namespace rvi
