// SPDX-License-Identifier: MPL-2.0
//
// Trust bundles (HLD 3.2.1): the node walks from the one it has pinned to each next one that comes,
// from its administrator, a provisioning service or a peer; whoever rests on a key that speaks no
// longer loses its session. They come and go on the ways of revocation lists, in the same order.

#include "actors/routing/authorization.hpp"
#include "actors/storage/transaction.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "authorization";

std::string key_of(const trust_bundle& x) {
  auto result = std::string{bundle_prefix} + x.organization + '/';
  append_u64(result, x.sequence);
  return result;
}

} // namespace

void authorization_state::take_bundles(std::vector<std::string> texts) {
  if (texts.empty())
    return;
  bundles = std::move(texts);
  if (auto err = reread_rights())
    log::error(component, "the node's files do not fit the trust bundles it has walked to",
               {{"error", describe(err)}});
}

void authorization_state::import_bundle(list_import x) {
  auto bundle = parse_trust_bundle(x.text);
  auto anchors = config.node->rights->load()->anchors;
  if (auto err = bundle ? anchors.walk(*bundle) : std::move(bundle.error())) {
    refuse_list(x, std::move(err));
    return;
  }
  importing = true;
  transaction_step step = [key = key_of(**bundle), text = x.text](transaction& t) {
    t.use_reserve(true); // a full store must not keep a key in force that is given up
    return t.put(table::nodes, key, text);
  };
  self->request(config.store, caf::infinite, atom::commit_v, std::move(step))
    .then(
      [this, x, bundle = *bundle](atom::committed) mutable {
        importing = false;
        follow(bundle, x.from);
        if (!x.from)
          x.promise.deliver(atom::done_v);
        import_next();
      },
      [this, x](const caf::error& err) mutable {
        importing = false;
        log::error(component, "a trust bundle cannot be stored", {{"error", describe(err)}});
        if (!x.from)
          x.promise.deliver(err);
        import_next();
      });
}

void authorization_state::follow(const trust_bundle_ptr& x, const link_actor& from) {
  auto own_before = config.node->rights->load()->own.size();
  bundles.push_back(x->text);
  if (auto err = reread_rights()) {
    log::error(component, "credentials were not read again", {{"error", describe(err)}});
    change_rights([&](rights& next) { (void)next.anchors.walk(x); });
  }
  auto rights = config.node->rights->load();
  log::info(component, "trust bundle in force",
            {{"organization", x->organization}, {"seq", x->sequence}, {"roots", x->roots.size()}});
  audit::record("trust_bundle", {{"organization", x->organization},
                                 {"sequence", x->sequence},
                                 {"roots", x->roots.size()},
                                 {"threshold", uint64_t{x->threshold}}});
  if (auto sender = from ? find_session(from) : nullptr)
    sender->peer.bundles[x->organization] = x->sequence;
  for (auto& [number, to] : sessions) {
    if (to.up)
      tell_bundles(to);
    auto& shown = to.peer.credentials;
    auto fallen = std::find_if(shown.begin(), shown.end(), [&](auto& each) {
      return bool(verify_credential(*each, rights->anchors));
    });
    if (fallen == shown.end() && !to.peer.shown_more)
      continue;
    auto why = fallen == shown.end()
                 ? caf::make_error(ec::link_down, std::string{"more of it may be believed now"})
                 : verify_credential(**fallen, rights->anchors);
    log::warning(component, "session ended",
                 {{"peer", to.peer.peer.node_address}, {"reason", describe(why)}});
    self->send(to.link, atom::close_v, std::string{to_string(code_of(why))}, detail_of(why));
  }
  if (rights->own.size() != own_before)
    renew_sessions();
  if (store_and_forward)
    self->send(store_and_forward, atom::revoke_v);
  if (rights_listener)
    self->send(rights_listener, atom::revoke_v);
}

/// A peer that does not name the organization has not pinned it by a bundle.
void authorization_state::tell_bundles(session& to) {
  auto rights = config.node->rights->load();
  for (auto& [organization, sequence] : to.peer.bundles) {
    std::vector<std::string> texts;
    for (auto& x : rights->anchors.bundles_after(organization, sequence))
      texts.push_back(x->text);
    if (texts.empty())
      continue;
    sequence += texts.size();
    self->send(to.link, atom::revoke_v, std::move(texts));
  }
}

} // namespace rvi
