// SPDX-License-Identifier: MPL-2.0
//
// Credentials of third nodes, whose requests and announcements come by a relay: shown to peers that
// ask, and learned from them. They only judge what their holders signed; no session rests on them.

#include "actors/routing/authorization.hpp"
#include "actors/storage/transaction.hpp"

namespace rvi {

void authorization_state::send_stored_credentials(const link_actor& link,
                                                  std::vector<std::string> texts,
                                                  const std::vector<std::string>& hashes) {
  auto found = std::make_shared<std::vector<std::string>>();
  transaction_step step = [found, hashes](transaction& t) -> caf::error {
    found->clear();
    for (auto& hash : hashes) {
      auto text = t.get(table::nodes, std::string{credential_prefix} + hash);
      if (!text)
        return std::move(text.error());
      if (*text)
        found->push_back(std::move(**text));
    }
    return {};
  };
  auto answer = [this, link, texts = std::move(texts), found]() mutable {
    texts.insert(texts.end(), found->begin(), found->end());
    self->send(link, atom::learn_v, std::move(texts));
  };
  self->request(config.store, caf::infinite, atom::read_v, std::move(step))
    .then([answer](atom::done) mutable { answer(); },
          [answer](const caf::error&) mutable { answer(); });
}

bool authorization_state::learn_of_another(const rights& own, const std::string& text,
                                           const link_actor& link) {
  auto from = find_session(link);
  auto x = parse_credential(text);
  if (!from || !x || (*x)->key.uid() == from->peer.peer.uid)
    return false;
  auto err = verify_credential(**x, own.anchors);
  if (code_of(err) == ec::unknown_issuer)
    return true; // the relay may trust others than we do; what it signed stays unknown here
  if (err)
    return false; // a relay verifies what it carries: this one made it up
  // Also one that does not stand: what it signed is refused for the right reason that way.
  own.known->add(*x);
  return true;
}

} // namespace rvi
