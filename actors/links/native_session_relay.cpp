// SPDX-License-Identifier: MPL-2.0
//
// What a native session carries of third nodes: services that a relay passes on.

#include "actors/links/native_session.hpp"
#include "rvi.pb.h"

#include <algorithm>

namespace rvi {

namespace {

constexpr size_t uid_bytes = std::tuple_size_v<node_uid>;

/// The route, or nothing if a node in it has another length than an uid.
std::optional<std::vector<node_uid>> route_of(const wire::RelayedEntry& x) {
  std::vector<node_uid> result;
  for (auto& uid : x.route()) {
    if (uid.size() != uid_bytes)
      return std::nullopt;
    std::copy_n(uid.begin(), uid_bytes, reinterpret_cast<char*>(result.emplace_back().data()));
  }
  return result;
}

} // namespace

caf::error native_session::take_relayed(const wire::Frame& frame) {
  if (!announce_accepted_)
    return caf::make_error(ec::unauthorized,
                           std::string{"services of others before the peer's own"});
  auto& message = frame.relayed_announce();
  peer_relayed result;
  result.announcement.full = message.full();
  for (auto& x : message.entries()) {
    auto route = route_of(x);
    if (!route)
      return caf::make_error(ec::malformed, std::string{"a node in a route has 16 bytes"});
    auto& entry = x.entry();
    result.announcement.entries.push_back(
      {{entry.service(), entry.signature(), entry.credential_hash()}, std::move(*route), x.away()});
  }
  result.announcement.withdrawn.assign(message.withdrawn().begin(), message.withdrawn().end());
  events_.emplace_back(std::move(result));
  return {};
}

void native_session::announce_relayed(const relayed_announcement& x) {
  auto frame_max = limits_.frames.announce_entries_max;
  auto entries = x.entries.begin();
  auto withdrawn = x.withdrawn.begin();
  for (bool first = true; first || entries != x.entries.end() || withdrawn != x.withdrawn.end();
       first = false) {
    wire::Frame frame;
    auto& message = *frame.mutable_relayed_announce();
    message.set_full(x.full && first);
    // Far below the largest frame, whatever the names: each entry has at most 3 KiB.
    auto entries_max = std::min<size_t>(frame_max, peer_frame_bytes_max_ / 4'096);
    for (size_t n = 0; n < entries_max && entries != x.entries.end(); ++n, ++entries) {
      auto& y = *message.add_entries();
      y.mutable_entry()->set_service(entries->entry.service);
      y.mutable_entry()->set_signature(entries->entry.signature);
      y.mutable_entry()->set_credential_hash(entries->entry.credential_hash);
      for (auto& uid : entries->route)
        y.add_route(std::string{crypto::view(uid)});
      y.set_away(entries->away);
    }
    if (entries == x.entries.end())
      for (size_t n = 0; n < entries_max && withdrawn != x.withdrawn.end(); ++n, ++withdrawn)
        message.add_withdrawn(*withdrawn);
    if (message.entries_size() > 0 || message.withdrawn_size() > 0 || message.full())
      append(frame);
  }
}

} // namespace rvi
