// SPDX-License-Identifier: MPL-2.0
//
// What store and forward does about rights that change while things are stored (promise 5): what is
// handed over is judged again at that moment, which takes the sender's credential; what this node
// signed under a credential that was revoked since is not sent.

#include "actors/routing/authorization.hpp"
#include "actors/routing/store_and_forward.hpp"
#include "actors/routing/stored_credentials.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";

} // namespace

void store_and_forward_state::rights_shrank() {
  auto rights = config.node->rights->load();
  own_revoked = std::any_of(rights->own.begin(), rights->own.end(),
                            [&](auto& x) { return rights->revoked(*x); });
  when_ready([this] { judge_incoming(); });
  if (own_revoked)
    when_ready([this] {
      refuse_revoked_transfers();
      pump_all();
    });
}

void store_and_forward_state::refuse_revoked(const queue_ptr& q) {
  auto rights = config.node->rights->load();
  std::vector<ledger::waiting_item> fallen;
  for (auto i = q->loaded.begin(); i != q->loaded.end();) {
    auto& content = i->second.content;
    auto credential = content ? rights->find_known(content->header.credential_hash) : nullptr;
    if (!credential || !rights->is_own(credential->key.uid()) || !rights->revoked(*credential)) {
      ++i;
      continue;
    }
    q->in_flight.insert(i->first);
    fallen.push_back(std::move(i->second));
    i = q->loaded.erase(i);
  }
  for (auto& item : fallen) {
    auto& header = item.content->header;
    refusal why{header.id, header.is_reply(),
                caf::make_error(ec::revoked, std::string{"this node's credential was revoked"}),
                true, 0};
    refused_by_peer({q, std::move(item)}, why);
  }
}

// -- towards a local service ----------------------------------------------------------------------

/// The edge judges each request by the rights snapshot, whose cache of credentials is bounded: what
/// has waited long may need its own from the store.
void store_and_forward_state::pass_to_edge(batch requests) {
  auto rights = config.node->rights->load();
  std::set<std::string> missing;
  for (auto& x : requests)
    if (!rights->find_known(x->header.credential_hash))
      missing.insert(x->header.credential_hash);
  if (missing.empty()) {
    self->send(edge, atom::invoke_v, std::move(requests));
    return;
  }
  auto texts = std::make_shared<std::vector<std::string>>();
  self
    ->request(config.store, caf::infinite, atom::read_v,
              read_credentials_step(texts, std::move(missing)))
    .then(
      [this, requests, texts](atom::done) {
        know_again(*config.node->rights->load(), *texts);
        self->send(edge, atom::invoke_v, requests);
      },
      [this, requests](const caf::error& err) {
        log::error(component, "credentials cannot be read", {{"error", describe(err)}});
        self->send(edge, atom::invoke_v, requests);
      });
}

} // namespace rvi
