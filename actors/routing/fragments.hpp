// SPDX-License-Identifier: MPL-2.0
//
// What store and forward knows of large arguments under way: those it sends on one link, and those
// that peers are sending. Plain data and the choice of who goes next; no actor, no store.

#pragma once

#include "actors/routing/ledger_pieces.hpp"
#include "messages/actors.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace rvi {

/// Bounds of large arguments. Memory: one fragment for each that is under way.
struct fragment_limits {
  size_t transfers_per_link_max = 16; // sent at a time
  size_t under_way_max = 4;           // fragments on one link without an answer, one per transfer
  size_t setbacks_max = 8;           // answers that bring a transfer no further, then the link ends
  size_t incoming_per_peer_max = 64; // transfers that have begun
  size_t incoming_max = 1'024;       // of all peers
  uint64_t incoming_bytes_per_peer_max = uint64_t{256} << 20; // when they are complete
  uint64_t incoming_bytes_max = uint64_t{1} << 30;            // of all peers
  uint64_t busy_retry_ms = 5'000; // what is refused at a bound may come again then
  uint64_t handed_over_bytes_max = uint64_t{64} << 20; // large arguments in services' hands
};

/// A transfer to a peer.
struct outgoing_transfer {
  envelope_ptr content;
  uint64_t seq = 0; // of its record
  uint8_t priority = 0;
  uint64_t length = 0;
  uint64_t durable = 0;   // at the peer
  uint64_t sent = 0;      // up to here
  bool answered = false;  // the peer has said where to go on
  bool under_way = false; // a fragment is, or is being read
  uint64_t turn = 0;      // when it was its turn last
  size_t setbacks = 0;
};

class outgoing_transfers {
public:
  using key = std::pair<transaction_id, bool>; // id and reply
  using map = std::map<key, outgoing_transfer>;

  void add(const key& id, outgoing_transfer x) { open_.emplace(id, std::move(x)); }
  outgoing_transfer* find(const key& id);
  /// False: there was none.
  bool erase(const key& id);
  size_t size() const { return open_.size(); }
  size_t under_way() const { return under_way_; }
  const map& open() const { return open_; }

  /// Who sends next: the most urgent, and among those the one whose turn is longest ago. Null:
  /// nobody can.
  map::value_type* next();
  void begin(outgoing_transfer& x);
  void end(outgoing_transfer& x);

  /// Something of it has not been sent.
  bool is_incomplete(const key& id) const;

  std::set<std::string> waiting; // queues with something large that found no place here

private:
  map open_;
  size_t under_way_ = 0;
  uint64_t turns_ = 0;
};

/// A transfer from a peer.
struct incoming_transfer {
  ledger::partial kept; // `bytes` is what is durable
  link_actor handle;
  uint64_t link = 0;              // 0: it goes on when the peer opens it again
  bool checking = true;           // whether it may be opened
  uint64_t taken = 0;             // up to here, durable or about to be
  uint64_t used_ms = 0;           // boot time
  std::optional<caf::error> over; // ends for good once nothing is being written
};

} // namespace rvi
