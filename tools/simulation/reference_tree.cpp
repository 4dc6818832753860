// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/reference_tree.hpp"

#include <botan/hash.h>

#include <vector>

namespace rvi::simulation::reference {

namespace {

constexpr uint32_t leaves_max = 1'024; // B1 3.1: 1 <= n <= 1024

std::string big_endian(uint64_t x, int bytes) {
  std::string result;
  for (int i = bytes - 1; i >= 0; --i)
    result += static_cast<char>(x >> (8 * i) & 0xff);
  return result;
}

/// RFC 9162 2.1.1: "let k be the largest power of two smaller than n".
uint32_t split(uint32_t n) {
  uint32_t k = 1;
  while (2 * k < n)
    k *= 2;
  return k;
}

/// RFC 9162 2.1.3.1: PATH(m, D_n) is empty for n = 1, else that of one half and one hash more.
size_t path_length(uint32_t index, uint32_t size) {
  if (size == 1)
    return 0;
  auto k = split(size);
  return 1 + (index < k ? path_length(index, k) : path_length(index - k, size - k));
}

/// leaf_i = SHA256(0x00 | batch_id | u32be i | salt_i | M_i)
std::string leaf_of(const raw_request& x) {
  return sha256(std::string(1, '\0') + x.batch_id + big_endian(x.leaf_index, 4) + x.salt
                + x.header);
}

/// Rebuilds a tree of which some leaves are there.
struct frame {
  std::vector<raw_request>& items;
  const std::vector<std::string>& missing;
  size_t taken = 0;
  bool whole = true; // no hash was wanting

  /// The hash over the leaves [first, first + size), and on the way the siblings of the items
  /// there.
  std::string hash_of(uint32_t first, uint32_t size) {
    auto inside = items_in(first, size);
    if (inside.empty()) {
      if (taken < missing.size())
        return missing[taken++];
      whole = false;
      return std::string(32, '\0');
    }
    if (size == 1)
      return leaf_of(*inside.front());
    auto k = split(size);
    auto left = hash_of(first, k);
    auto right = hash_of(first + k, size - k);
    for (auto item : inside)
      item->path.push_back(item->leaf_index < first + k ? right : left);
    // node = SHA256(0x01 | batch_id | left | right)
    return sha256(std::string(1, '\1') + items.front().batch_id + left + right);
  }

  std::vector<raw_request*> items_in(uint32_t first, uint32_t size) {
    std::vector<raw_request*> result;
    for (auto& x : items)
      if (x.leaf_index >= first && x.leaf_index - first < size)
        result.push_back(&x);
    return result;
  }
};

/// The hash of a tree of `size` leaves, from its leaf `index` and the path, whose last entry is the
/// sibling next to the root.
std::string hash_of_tree(const raw_request& x, const std::string& leaf, uint32_t index,
                         uint32_t size, size_t steps) {
  if (size == 1)
    return leaf;
  auto k = split(size);
  auto& sibling = x.path.at(steps - 1);
  std::string node = std::string(1, '\1') + x.batch_id;
  if (index < k)
    return sha256(node + hash_of_tree(x, leaf, index, k, steps - 1) + sibling);
  return sha256(node + sibling + hash_of_tree(x, leaf, index - k, size - k, steps - 1));
}

} // namespace

std::string sha256(std::string_view x) {
  auto hash = Botan::HashFunction::create_or_throw("SHA-256");
  hash->update(reinterpret_cast<const uint8_t*>(x.data()), x.size());
  auto bytes = hash->final();
  return {bytes.begin(), bytes.end()};
}

std::string hex(std::string_view x) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string result;
  for (auto c : x) {
    result += digits[static_cast<uint8_t>(c) >> 4];
    result += digits[static_cast<uint8_t>(c) & 15];
  }
  return result;
}

std::string shape_of_proof(const raw_request& x) {
  if (x.batch_id.size() != 16)
    return "batch_id is not 16 bytes (rvi.proto)";
  if (x.batch_size < 1 || x.batch_size > leaves_max)
    return "a tree has 1 to 1024 leaves (B1 3.1)";
  if (x.leaf_index >= x.batch_size)
    return "leaf_index is not below size (B1 3.2 step 1)";
  if (x.salt.size() != 16)
    return "salt is not 16 bytes (rvi.proto)";
  if (x.credential_hash.size() != 32)
    return "credential_hash is not 32 bytes (rvi.proto)";
  if (x.algorithm != 1 && x.algorithm != 2)
    return "algorithm is ED25519 or ES256 (rvi.proto)";
  if (x.signature.size() != 64)
    return "signature is not 64 bytes (rvi.proto)";
  if (x.path.size() != path_length(x.leaf_index, x.batch_size))
    return "the path's length does not match (i, n) (B1 3.2 step 1)";
  for (auto& hash : x.path)
    if (hash.size() != 32)
      return "a hash of the path is not 32 bytes (rvi.proto)";
  return {};
}

std::optional<std::vector<raw_request>>
with_paths(std::vector<raw_request> items, const std::vector<std::string>& missing_nodes) {
  if (items.empty() || items.front().batch_size > leaves_max)
    return {};
  for (size_t i = 0; i < items.size(); ++i)
    if (!items[i].path.empty() || items[i].leaf_index >= items[i].batch_size
        || items[i].batch_size != items.front().batch_size
        || items[i].batch_id != items.front().batch_id
        || (i > 0 && items[i].leaf_index <= items[i - 1].leaf_index))
      return {};
  for (auto& hash : missing_nodes)
    if (hash.size() != 32)
      return {};
  frame whole{items, missing_nodes};
  whole.hash_of(0, items.front().batch_size);
  if (!whole.whole || whole.taken != missing_nodes.size())
    return {};
  return items;
}

std::string root_of(const raw_request& x) {
  return hash_of_tree(x, leaf_of(x), x.leaf_index, x.batch_size, x.path.size());
}

std::string root_signing_input(const raw_request& x, std::string_view root) {
  // "RVI-BATCH-ROOT-1" | 0x00 | cred_hash | batch_id | u32be n | u64be signed_at_ms | root
  std::string result = "RVI-BATCH-ROOT-1";
  result += '\0';
  result += x.credential_hash;
  result += x.batch_id;
  result += big_endian(x.batch_size, 4);
  result += big_endian(x.signed_at_ms, 8);
  result += root;
  return result;
}

} // namespace rvi::simulation::reference
