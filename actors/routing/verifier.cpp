// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/verifier.hpp"

#include "actors/routing/arrival_check.hpp"
#include "messages/wire/batch.hpp"
#include "messages/wire/frame.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

void verifier_state::refuse(const link_actor& link, const peer_identity& peer,
                            const caf::error& why) {
  failures->add();
  audit::refused("batch", why, {{"peer", peer.node_address}, {"peer_uid", to_string(peer.uid)}});
  self->send(link, atom::close_v, std::string{to_string(code_of(why))}, detail_of(why));
}

void verifier_state::verify(const link_actor& link, uint64_t number, const peer_identity& peer,
                            std::string bytes) {
  auto decoded = wire::decode_batch(bytes, wire::frame_bytes_max_default);
  if (!decoded) {
    refuse(link, peer, decoded.error());
    return;
  }
  custody_report refused;
  auto refuse_item = [&refused, &peer](const request_header& x, caf::error why, bool permanent) {
    if (permanent)
      audit::refused("request from a peer", why,
                     {{"peer", peer.node_address},
                      {"id", to_string(x.id)},
                      {"source", x.source},
                      {"target", x.target}});
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
  auto credential = signer_of(*rights, decoded->root->credential_hash, peer);
  if (!credential) {
    self->send(link, atom::verify_v, std::move(bytes), decoded->root->credential_hash);
    return;
  }
  arrival_check check{*rights, peer, !speaks_for(peer, *credential), now};
  batch good;
  std::vector<size_t> indices; // of the good ones
  for (size_t i = 0; i < decoded->items.size(); ++i) {
    auto& x = decoded->items[i];
    auto err = check(*x);
    if (!err && x->header.arguments_length > config.arguments_bytes_max)
      err = caf::make_error(
        ec::too_large, "arguments of " + std::to_string(x->header.arguments_length)
                         + " bytes, this node takes " + std::to_string(config.arguments_bytes_max)
                         + " ([limits] request_bytes)");
    if (err) {
      refuse_item(x->header, std::move(err), true);
    } else {
      good.push_back(x);
      indices.push_back(i);
    }
  }
  if (good.empty()
      && check.relayed) { // nothing rests on the signature, which may be another's fault
    self->send(config.store_and_forward, atom::received_v, link, number, batch{},
               std::move(refused));
    return;
  }
  bool carries = std::any_of(good.begin(), good.end(), [&](auto& x) { return check.goes_on(*x); });
  crypto::leaf_paths paths;
  auto root = wire::root_of(*decoded, carries ? &paths : nullptr);
  if (!root) {
    refuse(link, peer, root.error());
    return;
  }
  if (!roots.verify(*decoded->root, *root, credential->key)) {
    refuse(
      link, peer,
      caf::make_error(ec::signature_invalid, std::string{"the batch's signature does not verify"}));
    return;
  }
  for (size_t i = 0; i < good.size(); ++i)
    good[i] = check.arrived(good[i], carries ? &paths[indices[i]] : nullptr);
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
