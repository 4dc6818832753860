// SPDX-License-Identifier: MPL-2.0
//
// RVI-B1: building the tree and walking to its root. RFC 9162 splits at the largest power of two
// below the size; level by level this means to pair neighbours and to pass a lone last node up.

#include "runtime/crypto/batch_signature.hpp"

#include "runtime/crypto/key_state.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace rvi::crypto {

namespace {

constexpr size_t batch_id_size = 16;
constexpr size_t salt_size = 16;
constexpr size_t salt_key_size = 32;
constexpr size_t credential_hash_size = 32;
constexpr std::string_view label{"RVI-BATCH-ROOT-1", 17}; // with its 0x00

caf::error refuse(const char* why) {
  return caf::make_error(ec::malformed, std::string{"batch signature: "} + why);
}

template <class T>
std::array<char, sizeof(T)> big_endian(T x) {
  std::array<char, sizeof(T)> result;
  for (size_t i = result.size(); i-- > 0; x = T(x >> 8))
    result[i] = char(x & 0xff);
  return result;
}

template <class T>
void append_big_endian(std::string& out, T x) {
  auto bytes = big_endian(x);
  out.append(bytes.data(), bytes.size());
}

digest to_digest(std::string_view x) {
  assert(x.size() == sizeof(digest));
  digest result;
  std::memcpy(result.data(), x.data(), result.size());
  return result;
}

/// Hashes the leaves and nodes of one batch.
class tree_hash {
public:
  explicit tree_hash(std::string_view batch_id) {
    assert(batch_id.size() == batch_id_size);
    std::memcpy(node_.data() + 1, batch_id.data(), batch_id_size);
    node_[0] = 1;
  }

  digest leaf(uint32_t index, std::string_view salt, std::string_view message) {
    auto position = big_endian(index);
    return stream_.update(uint8_t{0})
      .update(std::string_view{node_.data() + 1, batch_id_size})
      .update({position.data(), position.size()})
      .update(salt)
      .update(message)
      .finish();
  }

  digest node(const digest& left, const digest& right) {
    auto* position = node_.data() + 1 + batch_id_size;
    std::memcpy(position, left.data(), left.size());
    std::memcpy(position + left.size(), right.data(), right.size());
    return sha256({node_.data(), node_.size()});
  }

private:
  std::array<char, 1 + batch_id_size + 2 * sizeof(digest)> node_; // 0x01 | batch_id | left | right
  sha256_stream stream_;
};

/// Random bytes that do not outlive the expression which uses them.
struct passing_salt_key {
  std::string bytes = random_bytes(salt_key_size);
  ~passing_salt_key() { detail::scrub(bytes); }
};

const char* wrong_shape(const batch_root& x) {
  if (x.batch_id.size() != batch_id_size)
    return "batch id";
  if (x.size < 1 || x.size > batch_leaves_max)
    return "size";
  return nullptr;
}

/// Leaves before the first right subtree of a tree of `size` > 1.
uint32_t left_size(uint32_t size) {
  return std::bit_floor(size - 1);
}

/// Rebuilds a root from some leaves and the hashes of subtrees that hold none of them.
class rebuilding {
public:
  /// With `paths` it notes the path of each leaf on the way.
  rebuilding(const batch_root& batch, const std::vector<leaf>& leaves,
             const std::vector<std::string>& missing_nodes, leaf_paths* paths)
    : hash_(batch.batch_id),
      leaves_begin_(leaves.begin()),
      paths_(paths),
      leaf_(leaves.begin()),
      leaves_end_(leaves.end()),
      missing_(missing_nodes.begin()),
      missing_end_(missing_nodes.end()) {}

  /// The root of the subtree over [first, first + size).
  digest subtree(uint32_t first, uint32_t size) {
    if (leaf_ == leaves_end_ || leaf_->index >= first + size)
      return next_missing();
    if (size == 1) {
      auto& x = *leaf_++;
      return hash_.leaf(x.index, x.salt, x.message);
    }
    auto left_leaves = left_size(size);
    auto begin = leaf_;
    auto left = subtree(first, left_leaves);
    auto middle = leaf_;
    auto right = subtree(first + left_leaves, size - left_leaves);
    note_sibling(begin, middle, right);
    note_sibling(middle, leaf_, left);
    return hash_.node(left, right);
  }

  /// All that was given was needed, and nothing else.
  bool complete() const { return !short_ && leaf_ == leaves_end_ && missing_ == missing_end_; }

private:
  using leaf_iterator = std::vector<leaf>::const_iterator;

  void note_sibling(leaf_iterator first, leaf_iterator last, const digest& sibling) {
    for (auto i = first; paths_ && i != last; ++i)
      (*paths_)[size_t(i - leaves_begin_)].emplace_back(view(sibling));
  }

  digest next_missing() {
    if (missing_ != missing_end_)
      return to_digest(*missing_++);
    short_ = true;
    return {};
  }

  tree_hash hash_;
  std::vector<leaf>::const_iterator leaves_begin_;
  leaf_paths* paths_;
  std::vector<leaf>::const_iterator leaf_;
  std::vector<leaf>::const_iterator leaves_end_;
  std::vector<std::string>::const_iterator missing_;
  std::vector<std::string>::const_iterator missing_end_;
  bool short_ = false;
};

/// Finds in the paths of some leaves the hashes of the subtrees that hold none of them.
class path_reading {
public:
  explicit path_reading(const std::vector<const leaf_proof*>& proofs) : next_(proofs.begin()) {
    end_ = proofs.end();
  }

  /// Appends what is missing in the subtree over [first, first + size), which holds the next leaf.
  void subtree(uint32_t first, uint32_t size) {
    if (size == 1) {
      ++next_;
      return;
    }
    auto left_leaves = left_size(size);
    auto middle = first + left_leaves;
    auto& proof = **next_;
    if (proof.index >= middle) {
      append_sibling(proof, middle, size - left_leaves);
      subtree(middle, size - left_leaves);
      return;
    }
    subtree(first, left_leaves);
    if (next_ != end_ && (*next_)->index < first + size)
      subtree(middle, size - left_leaves);
    else
      append_sibling(proof, first, left_leaves);
  }

  std::vector<std::string> result;

private:
  /// The sibling of the subtree over [first, first + size), in which the proof's leaf lies.
  void append_sibling(const leaf_proof& proof, uint32_t first, uint32_t size) {
    result.push_back(proof.path[path_length(proof.index - first, size)]);
  }

  std::vector<const leaf_proof*>::const_iterator next_;
  std::vector<const leaf_proof*>::const_iterator end_;
};

/// Ascending, inside the tree, each path of the right length.
bool right_shape(uint32_t size, const std::vector<const leaf_proof*>& proofs) {
  for (size_t i = 0; i < proofs.size(); ++i) {
    auto& x = *proofs[i];
    if (x.index >= size || x.path.size() != path_length(x.index, size)
        || (i > 0 && proofs[i - 1]->index >= x.index))
      return false;
  }
  return !proofs.empty() && size <= batch_leaves_max;
}

} // namespace

batch_tree::batch_tree(const std::vector<std::string_view>& messages, const digest& credential_hash,
                       uint64_t signed_at_ms)
  : batch_tree(messages, credential_hash, signed_at_ms, random_bytes(batch_id_size),
               passing_salt_key{}.bytes) {}

batch_tree::batch_tree(const std::vector<std::string_view>& messages, const digest& credential_hash,
                       uint64_t signed_at_ms, std::string batch_id, std::string_view salt_key)
  : batch_id_(std::move(batch_id)),
    credential_hash_(credential_hash),
    signed_at_ms_(signed_at_ms) {
  assert(!messages.empty() && messages.size() <= batch_leaves_max);
  tree_hash hash{batch_id_};
  salts_.reserve(messages.size());
  levels_.emplace_back().reserve(messages.size());
  for (uint32_t i = 0; i < messages.size(); ++i) {
    auto position = big_endian(i);
    auto mac = hmac_sha256(salt_key, {position.data(), position.size()});
    salts_.emplace_back(view(mac).substr(0, salt_size));
    levels_[0].push_back(hash.leaf(i, salts_[i], messages[i]));
  }
  while (levels_.back().size() > 1) {
    auto& below = levels_.back();
    std::vector<digest> level;
    level.reserve((below.size() + 1) / 2);
    for (size_t i = 0; i + 1 < below.size(); i += 2)
      level.push_back(hash.node(below[i], below[i + 1]));
    if (below.size() % 2 != 0)
      level.push_back(below.back());
    levels_.push_back(std::move(level));
  }
}

std::string batch_tree::to_be_signed() const {
  return root_signing_input(signed_with(algorithm::ed25519, {}), levels_.back()[0]);
}

batch_root batch_tree::signed_with(crypto::algorithm alg, std::string signature) const {
  batch_root result;
  result.batch_id = batch_id_;
  result.size = uint32_t(salts_.size());
  result.signed_at_ms = signed_at_ms_;
  result.algorithm = alg;
  result.credential_hash = view(credential_hash_);
  result.signature = std::move(signature);
  return result;
}

leaf_proof batch_tree::proof(uint32_t index) const {
  assert(index < salts_.size());
  leaf_proof result;
  result.index = index;
  result.salt = salts_[index];
  result.path.reserve(levels_.size() - 1);
  size_t position = index;
  for (auto& level : levels_) {
    auto sibling = position ^ 1;
    if (sibling < level.size())
      result.path.emplace_back(view(level[sibling]));
    position /= 2;
  }
  return result;
}

size_t path_length(uint32_t index, uint32_t size) {
  assert(index < size);
  size_t result = 0;
  for (auto last = size - 1; last > 0; last /= 2, index /= 2)
    result += (index ^ 1) <= last;
  return result;
}

expected<digest>
root_from_path(const batch_root& batch, const leaf_proof& proof, std::string_view message) {
  if (auto what = wrong_shape(batch))
    return refuse(what);
  if (proof.index >= batch.size)
    return refuse("index");
  if (proof.salt.size() != salt_size)
    return refuse("salt");
  if (proof.path.size() != path_length(proof.index, batch.size))
    return refuse("path length");
  tree_hash hash{batch.batch_id};
  auto result = hash.leaf(proof.index, proof.salt, message);
  auto sibling = proof.path.begin();
  auto index = proof.index;
  for (auto last = batch.size - 1; last > 0; last /= 2, index /= 2) {
    if ((index ^ 1) > last)
      continue; // a lone last node
    if (sibling->size() != sizeof(digest))
      return refuse("path");
    auto other = to_digest(*sibling++);
    result = index % 2 != 0 ? hash.node(other, result) : hash.node(result, other);
  }
  return result;
}

expected<digest>
root_from_leaves(const batch_root& batch, const std::vector<leaf>& leaves,
                 const std::vector<std::string>& missing_nodes, leaf_paths* paths) {
  if (auto what = wrong_shape(batch))
    return refuse(what);
  if (leaves.empty())
    return refuse("no leaves");
  for (size_t i = 0; i < leaves.size(); ++i) {
    if (leaves[i].index >= batch.size || (i > 0 && leaves[i - 1].index >= leaves[i].index))
      return refuse("index");
    if (leaves[i].salt.size() != salt_size)
      return refuse("salt");
  }
  for (auto& x : missing_nodes)
    if (x.size() != sizeof(digest))
      return refuse("missing node");
  if (paths)
    paths->assign(leaves.size(), {});
  rebuilding tree{batch, leaves, missing_nodes, paths};
  auto root = tree.subtree(0, batch.size);
  if (!tree.complete())
    return refuse("number of missing nodes");
  return root;
}

std::vector<std::string> missing_nodes(uint32_t size, const std::vector<const leaf_proof*>& proofs,
                                       const std::vector<std::string_view>& /* messages */,
                                       std::string_view /* batch_id */) {
  if (!right_shape(size, proofs))
    return {};
  path_reading reading{proofs};
  reading.subtree(0, size);
  return std::move(reading.result);
}

std::string root_signing_input(const batch_root& batch, const digest& root) {
  std::string result;
  result.reserve(label.size() + credential_hash_size + batch_id_size + 12 + root.size());
  result += label;
  result += batch.credential_hash;
  result += batch.batch_id;
  append_big_endian(result, batch.size);
  append_big_endian(result, batch.signed_at_ms);
  result += view(root);
  return result;
}

} // namespace rvi::crypto
