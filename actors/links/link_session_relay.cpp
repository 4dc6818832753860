// SPDX-License-Identifier: MPL-2.0
//
// What a session does for relaying: services of third nodes go both ways, and credentials of third
// nodes are asked for when something they signed comes.

#include "actors/links/link_session.hpp"
#include "messages/wire/batch.hpp"

#include <caf/send.hpp>

namespace rvi {

namespace {

constexpr size_t announcements_parked_max = 64;
constexpr size_t hashes_asked_max = 4; // in one frame (rvi.proto)
constexpr size_t not_held_max = 4'096;

} // namespace

void link_session::take(peer_relayed x) {
  caf::anon_send(config_.services.service_discovery, atom::announce_v, self_, peer_,
                 std::move(x.announcement));
}

void link_session::announce_relayed(const relayed_announcement& x) {
  session_.announce_relayed(x);
}

void link_session::unknown_owners(relayed_announcement x, const std::vector<std::string>& hashes) {
  std::erase_if(x.entries,
                [&](auto& entry) { return not_held_.count(entry.entry.credential_hash) != 0; });
  if (x.entries.empty())
    return;
  if (parked_relayed_.size() >= announcements_parked_max) {
    fail(caf::make_error(ec::limit_exceeded,
                         std::string{"too many relayed announcements under credentials not sent"}));
    return;
  }
  parked_relayed_.push_back(std::move(x));
  for (auto& hash : hashes)
    if (not_held_.count(hash) == 0)
      ask_credential(hash);
}

void link_session::ask_credential(const std::string& hash) {
  if (asked_.count(hash) != 0)
    return;
  wanted_.insert(hash);
  ask_next_credentials();
}

/// One frame at a time: what its answer does not bring, the peer does not have.
void link_session::ask_next_credentials() {
  if (!asked_.empty() || wanted_.empty())
    return;
  while (asked_.size() < hashes_asked_max && !wanted_.empty())
    asked_.insert(wanted_.extract(wanted_.begin()));
  session_.need_credentials({asked_.begin(), asked_.end()});
}

void link_session::credentials_answered() {
  auto rights = config_.services.node->rights->load();
  if (not_held_.size() + asked_.size() > not_held_max)
    not_held_.clear();
  for (auto& hash : std::exchange(asked_, {}))
    if (!rights->find_known(hash))
      not_held_.insert(hash);
  ask_next_credentials();
  for (auto& x : std::exchange(parked_relayed_, {}))
    caf::anon_send(config_.services.service_discovery, atom::announce_v, self_, peer_,
                   std::move(x));
}

void link_session::refuse_unknown(const std::string& batch_bytes) {
  auto decoded = wire::decode_batch(batch_bytes, batch_bytes.size());
  if (!decoded) {
    fail(decoded.error());
    return;
  }
  custody_report refused;
  for (auto& x : decoded->items)
    refused.refused.push_back(
      {x->header.id, x->header.is_reply(),
       caf::make_error(ec::unknown_credential, std::string{"nobody shows the signer's credential"}),
       true, 0});
  caf::anon_send(config_.services.store_and_forward, atom::received_v, self_, config_.number,
                 batch{}, std::move(refused));
}

} // namespace rvi
