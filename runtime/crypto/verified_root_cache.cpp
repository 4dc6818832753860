// SPDX-License-Identifier: MPL-2.0
//
// The cache of verified batch roots: all items of a batch cost one signature verification.

#include "runtime/crypto/batch_signature.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace rvi::crypto {

namespace {

constexpr size_t batch_id_size = 16;
constexpr size_t credential_hash_size = 32;
constexpr size_t signature_size = 64;

/// The signing input has fields of fixed size only, so nothing can shift between them. Algorithm
/// and key follow from the credential; they are in here so that a wrong look-up stays harmless.
digest key_of(const batch_root& batch, std::string_view signing_input, const public_key& key) {
  sha256_stream stream;
  return stream.update(signing_input)
    .update(batch.signature)
    .update(uint8_t(batch.algorithm))
    .update(view(key.uid()))
    .finish();
}

} // namespace

size_t verified_root_cache::first_bytes::operator()(const digest& x) const {
  size_t result;
  std::memcpy(&result, x.data(), sizeof(result));
  return result;
}

bool verified_root_cache::verify(const batch_root& batch, const digest& root,
                                 const public_key& key) {
  if (!key || batch.algorithm != key.algorithm() || batch.signature.size() != signature_size
      || batch.credential_hash.size() != credential_hash_size
      || batch.batch_id.size() != batch_id_size)
    return false;
  auto input = root_signing_input(batch, root);
  auto name = key_of(batch, input, key);
  if (auto found = entries_.find(name); found != entries_.end()) {
    ++hits_;
    order_.splice(order_.begin(), order_, found->second);
    return true;
  }
  ++misses_;
  if (!key.verify(input, batch.signature))
    return false;
  auto& added = order_.emplace_front();
  added.key = name;
  std::copy_n(batch.credential_hash.begin(), credential_hash_size, added.credential_hash.begin());
  entries_.emplace(name, order_.begin());
  while (entries_.size() > roots_max_) {
    entries_.erase(order_.back().key);
    order_.pop_back();
  }
  assert(entries_.size() == order_.size());
  return true;
}

void verified_root_cache::forget(std::string_view credential_hash) {
  for (auto i = order_.begin(); i != order_.end();) {
    if (view(i->credential_hash) == credential_hash) {
      entries_.erase(i->key);
      i = order_.erase(i);
    } else {
      ++i;
    }
  }
}

} // namespace rvi::crypto
