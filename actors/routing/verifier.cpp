// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/verifier.hpp"

#include "messages/wire/batch.hpp"
#include "runtime/observe/log.hpp"

namespace rvi {

void verifier_state::refuse(const link_actor& link, const caf::error& why) {
  failures->add();
  self->send(link, atom::close_v, std::string{to_string(code_of(why))}, detail_of(why));
}

void verifier_state::verify(const link_actor& link, uint64_t number, const peer_identity& peer,
                            std::string bytes) {
  auto decoded = wire::decode_batch(bytes, config.arguments_bytes_max);
  if (!decoded) {
    refuse(link, decoded.error());
    return;
  }
  custody_report refused;
  auto refuse_item = [&refused](const request_header& x, caf::error why, bool permanent) {
    refused.refused.push_back({x.id, x.is_reply(), std::move(why), permanent, 0});
  };
  if (decoded->tentative) {
    for (auto& x : decoded->items)
      refuse_item(x->header, caf::make_error(ec::refused, std::string{"tentative"}), false);
    self->send(config.store_and_forward, atom::received_v, link, number, batch{},
               std::move(refused));
    return;
  }
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  auto credential = rights->find(decoded->root->credential_hash);
  if (!credential) {
    self->send(link, atom::verify_v, std::move(bytes), decoded->root->credential_hash);
    return;
  }
  // Nobody carries for others here: what a peer sends, its own key has signed.
  if (credential->key.uid() != peer.uid) {
    for (auto& x : decoded->items)
      refuse_item(x->header,
                  caf::make_error(ec::unauthorized, std::string{"signed by another node"}), true);
    self->send(config.store_and_forward, atom::received_v, link, number, batch{},
               std::move(refused));
    return;
  }
  batch good;
  for (auto& x : decoded->items) {
    if (auto err = rights->check_remote(x->header, decoded->root->signed_at_ms, now))
      refuse_item(x->header, std::move(err), true);
    else
      good.push_back(x);
  }
  auto root = wire::root_of(*decoded);
  if (!root) {
    refuse(link, root.error());
    return;
  }
  if (!roots.verify(*decoded->root, *root, credential->key)) {
    refuse(link, caf::make_error(ec::signature_invalid,
                                 std::string{"the batch's signature does not verify"}));
    return;
  }
  self->send(config.store_and_forward, atom::received_v, link, number, std::move(good),
             std::move(refused));
}

verifier_actor::behavior_type
verifier(verifier_actor::stateful_pointer<verifier_state> self, verifier_config config) {
  auto& st = self->state;
  st.roots = crypto::verified_root_cache{config.roots_max};
  st.config = std::move(config);
  st.failures = &st.config.node->metrics->get_counter("rvi_batches_invalid_total",
                                                      "Batches that ended their session.");
  return {
    [&st](atom::verify, const link_actor& link, uint64_t number, const peer_identity& peer,
          std::string& bytes) { st.verify(link, number, peer, std::move(bytes)); },
  };
}

} // namespace rvi
