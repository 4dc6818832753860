// SPDX-License-Identifier: MPL-2.0
//
// What is asked of an item from a peer before its signature is looked at: whether the peer may
// bring it, and whether this node may take it, for itself or to carry it on (decisions 3 and 4).

#pragma once

#include "messages/batches.hpp"
#include "messages/rights.hpp"

#include <string>
#include <vector>

namespace rvi {

/// How many relays may lie between the origin and the target.
inline constexpr size_t relay_hops_max = 8;

/// True if what this credential's holder signed is the peer's own: by its key, or by one that its
/// organization says it had before.
bool speaks_for(const peer_identity& peer, const credential& x);

/// The credential with this hash, which signed what `peer` brought; null: the peer is to be asked.
credential_ptr signer_of(const rights& own, const std::string& hash, const peer_identity& peer);

struct arrival_check {
  const rights& own;
  const peer_identity& peer;
  bool relayed = false; // another node than the peer signed it
  uint64_t now_ms = 0;
  const request_header* judged = nullptr; // of the last item that was for here and allowed

  /// The items of one batch, which stay where they are meanwhile. Errors: those of
  /// `rights::check_remote`, `refused: loop`, `timeout` (its age says so).
  caf::error operator()(const envelope& x);

  /// True if it is for another node: this one is to carry it.
  bool goes_on(const envelope& x) const;

  /// As it is kept: a way that only a relay may speak of, its own path if it goes on.
  envelope_ptr arrived(const envelope_ptr& x, const std::vector<std::string>* path) const;

private:
  caf::error check_way(const envelope& x) const;
};

/// How long it has been on the way: what was said when it came, and the time here.
uint64_t age_of(const envelope& x, uint64_t now_ms);

/// When its time is up by the clock here: at `expires_ms`, or sooner if it has been on the way
/// longer than clocks say. Never later, however often it is passed on.
uint64_t due_of(const envelope& x);

} // namespace rvi
