// SPDX-License-Identifier: MPL-2.0
//
// RVI-B1: one signature over a Merkle tree of requests (promises-and-security 3.1). Tree shape is
// RFC 9162 2.1: 1 <= n <= 1024 leaves, no padding.
//
//   salt_i = HMAC-SHA256(k_batch, u32be i)[0..16]
//   leaf_i = SHA256(0x00 | batch_id[16] | u32be i | salt_i | M_i)
//   node   = SHA256(0x01 | batch_id | left | right)
//   signed = "RVI-BATCH-ROOT-1" | 0x00 | credential_hash | batch_id | u32be n | u64be signed_at_ms
//   | root

#pragma once

#include "runtime/crypto/crypto.hpp"

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rvi::crypto {

inline constexpr uint32_t batch_leaves_max = 1'024;

/// What all items of one tree share.
struct batch_root {
  std::string batch_id; // 16 bytes
  uint32_t size = 0;    // n
  uint64_t signed_at_ms = 0;
  crypto::algorithm algorithm = algorithm::ed25519;
  std::string credential_hash; // 32 bytes
  std::string signature;       // 64 bytes
};

/// What proves that one item is in the tree.
struct leaf_proof {
  uint32_t index = 0;
  std::string salt;              // 16 bytes
  std::vector<std::string> path; // sibling hashes, leaf to root, 32 bytes each
};

/// The tree over some messages, made by the signer; the root is not signed yet.
class batch_tree {
public:
  /// Draws batch_id and the salts. 1 <= messages.size() <= batch_leaves_max (asserted).
  batch_tree(const std::vector<std::string_view>& messages, const digest& credential_hash,
             uint64_t signed_at_ms);
  /// The same with given randomness; for golden vectors.
  batch_tree(const std::vector<std::string_view>& messages, const digest& credential_hash,
             uint64_t signed_at_ms, std::string batch_id, std::string_view salt_key);

  /// The bytes to sign.
  std::string to_be_signed() const;
  /// The shared part with the signature filled in.
  batch_root signed_with(crypto::algorithm alg, std::string signature) const;
  leaf_proof proof(uint32_t index) const;

private:
  std::string batch_id_;
  digest credential_hash_;
  uint64_t signed_at_ms_;
  std::vector<std::string> salts_;
  std::vector<std::vector<digest>> levels_; // levels_[0] are the leaves
};

/// How many hashes the path of leaf `index` has in a tree of `size`.
size_t path_length(uint32_t index, uint32_t size);

/// The root reached from one leaf. Error: `malformed` (index, size, salt or path of the wrong
/// shape).
expected<digest>
root_from_path(const batch_root& batch, const leaf_proof& proof, std::string_view message);

struct leaf {
  uint32_t index = 0;
  std::string_view salt;
  std::string_view message;
};

/// The root from several leaves (indices strictly ascending) and exactly the hashes that cannot be
/// computed from them, in the order in which a left-to-right, bottom-up rebuild of each subtree
/// (recursive, left child first) asks for them. With `paths` it gives each leaf's own path, so that
/// it can travel on alone. Error: `malformed`.
using leaf_paths = std::vector<std::vector<std::string>>;
expected<digest>
root_from_leaves(const batch_root& batch, const std::vector<leaf>& leaves,
                 const std::vector<std::string>& missing_nodes, leaf_paths* paths = nullptr);

/// The missing nodes for a frame with these items of one batch, out of their own paths; indices
/// strictly ascending. Empty if all leaves are there, or if a proof has the wrong shape.
std::vector<std::string>
missing_nodes(uint32_t size, const std::vector<const leaf_proof*>& proofs,
              const std::vector<std::string_view>& messages, std::string_view batch_id);

/// The bytes a root signature covers.
std::string root_signing_input(const batch_root& batch, const digest& root);

/// Remembers which roots verified; never remembers a refusal (a poisoned batch id must not block a
/// genuine one). Least recently used goes first.
class verified_root_cache {
public:
  explicit verified_root_cache(size_t roots_max = 65'536) : roots_max_(roots_max) {}
  /// True if (credential_hash, batch_id, size, signed_at, root, signature) verified before, or
  /// verifies now with `key`.
  bool verify(const batch_root& batch, const digest& root, const public_key& key);
  /// Forgets all roots of one credential (revoked, expired).
  void forget(std::string_view credential_hash);
  size_t size() const { return entries_.size(); }
  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }

private:
  struct entry {
    digest key; // SHA-256 over everything above
    digest credential_hash;
  };
  struct first_bytes { // of a hash are a hash
    size_t operator()(const digest& x) const;
  };
  size_t roots_max_;
  std::list<entry> order_; // most recent first
  std::unordered_map<digest, std::list<entry>::iterator, first_bytes> entries_;
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
};

} // namespace rvi::crypto
