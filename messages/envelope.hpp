// SPDX-License-Identifier: MPL-2.0
//
// One signed request or reply on its way through a node: the header, read once, and the exact bytes
// that were signed. Stages pass batches of pointers; nobody changes an envelope.

#pragma once

#include "messages/transaction_id.hpp"
#include "runtime/crypto/batch_signature.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rvi {

/// Numbers of rvi.proto's `Kind`.
enum class request_kind : uint8_t { rpc = 1, message = 2, reply = 3, error = 4 };

const char* to_string(request_kind x);

/// Numbers of rvi.proto's `Durability`.
enum class durability : uint8_t { full = 0, none = 1 };

const char* to_string(durability x);

/// The user a request is made for (HLD 3.2.6), as its node says: proto `OnBehalfOf`.
struct on_behalf_of {
  std::string user; // 16 bytes, a pseudonym that only that node can resolve
  std::string role;
  uint64_t authenticated_ms = 0; // Unix time; 0: not known
  std::string method;
  bool operator==(const on_behalf_of&) const = default;
};

/// The fields of `RequestHeader` that a node acts on (rvi.proto gives their meaning).
struct request_header {
  request_kind kind = request_kind::rpc;
  transaction_id id;
  std::string source;
  std::string target;
  uint64_t created_ms = 0;
  uint64_t expires_ms = 0;
  std::string credential_hash;
  std::string arguments_sha256;
  uint64_t arguments_length = 0;
  std::string content_type;
  uint32_t priority = 4;
  std::string channel;
  std::string data_class; // which links may carry it; at most 128 bytes; empty: the default class
  uint64_t settled_below = 0;
  std::string request_hash;
  std::string grant_hash; // 32 bytes, the grant it rests on (HLD 9.6); empty: its credential alone
  std::string target_uid; // 16 bytes, the owner meant; empty: not known
  std::shared_ptr<const on_behalf_of> user; // null: nobody

  rvi::durability durability = durability::full;
  // A message whose sender wants to hear how it ended, and the reply that says so.
  bool report = false;

  /// The role it is made in; empty: nobody's, or a user without one.
  std::string_view role() const { return user ? std::string_view{user->role} : std::string_view{}; }
  /// Kept in memory only, by every node on its way.
  bool in_memory() const { return durability == durability::none; }
  /// Its sender is told how it ended.
  bool owes_outcome() const { return kind == request_kind::rpc || report; }
  bool is_reply() const { return kind == request_kind::reply || kind == request_kind::error; }
};

/// HLD 3.2.4: under which id of its own a local service made a request. Kept in the transaction
/// that accepts the request; never leaves the node.
struct service_claim {
  std::string principal;
  std::string service; // full name
  uint64_t id = 0;
  std::string digest; // SHA-256 of what was asked for
  transaction_id first;
  uint64_t now_ms = 0; // when it was asked, Unix time
  std::string forgets; // the service of this principal whose ids make room; empty: none
};

using service_claim_ptr = std::shared_ptr<const service_claim>;

using batch_root_ptr = std::shared_ptr<const crypto::batch_root>;

struct envelope {
  request_header header;
  std::string header_bytes; // RVI-B1's M_i
  std::string arguments;
  batch_root_ptr root;
  crypto::leaf_proof proof;
  // Unsigned and advisory: what the nodes between say about its way here.
  uint32_t hops = 0;
  std::vector<node_uid> route;
  uint64_t age_ms = 0;      // on the way, until it came here
  uint64_t received_ms = 0; // when it came here, by this node's clock; 0: it was made here
  service_claim_ptr claim;  // of a service that gave the request an id of its own; else null

  /// Its arguments are elsewhere: in the store, or in fragments to come.
  bool is_opening() const { return arguments.empty() && header.arguments_length > 0; }
  /// What it weighs with its arguments, wherever they are.
  size_t size() const {
    return header_bytes.size() + (is_opening() ? header.arguments_length : arguments.size());
  }
};

using envelope_ptr = std::shared_ptr<const envelope>;

/// Larger arguments are kept in pieces of this size and travel in fragments no larger, so that
/// nothing waits for long behind one of them and memory holds only a few.
inline constexpr size_t fragment_bytes_max = size_t{256} << 10;
/// A fragment carries at least this much, unless it is the last: each one costs a commit.
inline constexpr size_t fragment_bytes_min = size_t{32} << 10;

inline bool is_large(const envelope& x) {
  return x.header.arguments_length > fragment_bytes_max;
}

/// The same without its arguments.
envelope_ptr opening_of(const envelope& x);

/// What is kept in order: one channel of one service. Empty: no order is asked for.
inline std::string channel_of(const envelope& x) {
  return x.header.channel.empty() ? std::string{} : x.header.source + '\n' + x.header.channel;
}

/// The unit between actors.
using batch = std::vector<envelope_ptr>;

/// A request before it is signed (HLD 8.1): authorization chooses the credential and fills the
/// rest.
struct draft {
  request_header header;
  std::string arguments;
  service_claim_ptr claim = {}; // as in the envelope
};

} // namespace rvi
