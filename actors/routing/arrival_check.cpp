// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/arrival_check.hpp"

#include "messages/name.hpp"

#include <algorithm>

namespace rvi {

namespace {

caf::error loop() {
  return caf::make_error(ec::refused, std::string{"loop"});
}

uint64_t lifetime_of(const request_header& x) {
  return x.expires_ms > x.created_ms ? x.expires_ms - x.created_ms : 0;
}

/// Whatever `rights::check_remote` looks at besides the times.
bool asks_the_same(const request_header& a, const request_header& b) {
  return a.is_reply() == b.is_reply() && a.id.origin == b.id.origin && a.source == b.source
         && a.target == b.target && a.credential_hash == b.credential_hash
         && a.grant_hash == b.grant_hash && a.target_uid == b.target_uid
         && (a.user == b.user || (a.user && b.user && *a.user == *b.user));
}

} // namespace

bool speaks_for(const peer_identity& peer, const credential& x) {
  auto uid = x.key.uid();
  return uid == peer.uid || std::any_of(peer.former.begin(), peer.former.end(), [&](auto& key) {
           return key.uid == uid && key.issuer == x.issuer;
         });
}

credential_ptr signer_of(const rights& own, const std::string& hash, const peer_identity& peer) {
  auto known = own.find_known(hash);
  // A revoked one of the peer itself ends its session; what another signed is refused item by item.
  return known && known->key.uid() == peer.uid ? own.find(hash) : known;
}

caf::error arrival_check::operator()(const envelope& x) {
  if (auto err = relayed ? check_way(x) : caf::error{})
    return err;
  // The items of a batch mostly differ in nothing that a right depends on.
  if (judged && asks_the_same(*judged, x.header))
    return own.check_times(x.header, x.root->signed_at_ms, now_ms);
  if (!goes_on(x) || !own.is_relay(now_ms)) {
    auto err = own.check_remote(x.header, x.root->signed_at_ms, now_ms);
    judged = err ? nullptr : &x.header;
    return err;
  }
  if (own.is_own(x.header.id.origin) && !x.header.is_reply())
    return loop();
  return own.check_carried(x.header, x.root->signed_at_ms, now_ms);
}

caf::error arrival_check::check_way(const envelope& x) const {
  if (!covers_any(peer.relay, carried_name(x.header)))
    return caf::make_error(ec::unauthorized, std::string{"signed by another node"});
  if (x.route.empty() || x.route.back() != peer.uid || x.hops != x.route.size())
    return caf::make_error(ec::unauthorized,
                           std::string{"a route that does not end with the relay"});
  bool was_here
    = std::any_of(x.route.begin(), x.route.end(), [&](auto& uid) { return own.is_own(uid); });
  if (x.hops > relay_hops_max || was_here || (x.hops == relay_hops_max && goes_on(x)))
    return loop();
  if (x.age_ms >= lifetime_of(x.header))
    return caf::make_error(ec::timeout, std::string{"its time was up on the way"});
  return {};
}

bool arrival_check::goes_on(const envelope& x) const {
  return x.header.is_reply() ? !own.is_own(x.header.id.origin)
                             : !is_below(x.header.target, own.node_address);
}

envelope_ptr
arrival_check::arrived(const envelope_ptr& x, const std::vector<std::string>* path) const {
  bool on = path && goes_on(*x);
  // Its sender has another key by now: what answers it goes to who brought it.
  bool followed = !relayed && !x->header.is_reply() && x->header.id.origin != peer.uid;
  if (!relayed && !followed && !on && x->route.empty() && x->hops == 0 && x->age_ms == 0)
    return x;
  auto result = std::make_shared<envelope>(*x);
  result->received_ms = now_ms;
  if (!relayed) { // who signed it brought it: there was no way before
    result->hops = followed ? 1 : 0;
    result->route.clear();
    if (followed)
      result->route.push_back(peer.uid);
  }
  if (on)
    result->proof.path = *path;
  return result;
}

uint64_t age_of(const envelope& x, uint64_t now_ms) {
  auto since = x.received_ms != 0 ? x.received_ms : x.header.created_ms;
  auto here = now_ms > since ? now_ms - since : 0;
  return std::min(x.age_ms + here, UINT64_MAX / 2);
}

uint64_t due_of(const envelope& x) {
  if (x.received_ms == 0)
    return x.header.expires_ms;
  auto lifetime = lifetime_of(x.header);
  auto left = lifetime > x.age_ms ? lifetime - x.age_ms : 0;
  return std::min(x.header.expires_ms, x.received_ms + left);
}

} // namespace rvi
