// SPDX-License-Identifier: MPL-2.0
//
// SHA-256 and HMAC. Each thread keeps its Botan objects: making one costs more than hashing a
// request header. What Botan throws here is a broken installation; nothing can go on then, so the
// functions are noexcept inside and the process ends.

#include "runtime/crypto/crypto.hpp"
#include "runtime/crypto/key_state.hpp"

#include <botan/hash.h>
#include <botan/mem_ops.h>

#include <algorithm>
#include <array>

namespace rvi::crypto {

namespace {

using hash_function = std::unique_ptr<Botan::HashFunction>;

hash_function make_sha256() noexcept {
  return Botan::HashFunction::create_or_throw("SHA-256");
}

Botan::HashFunction& thread_sha256() {
  thread_local auto result = make_sha256();
  return *result;
}

/// Hash functions of streams that ended on this thread, all of them reset.
std::vector<hash_function>& idle_hashes() {
  thread_local std::vector<hash_function> result;
  return result;
}

constexpr size_t idle_hashes_max = 8;
constexpr size_t hmac_block_size = 64;

} // namespace

namespace detail {

void scrub(std::string& x) {
  Botan::secure_scrub_memory(x.data(), x.size());
  x.clear();
}

} // namespace detail

digest sha256(std::string_view x) {
  auto& hash = thread_sha256();
  digest result;
  hash.update(detail::bytes(x), x.size());
  hash.final(result.data());
  return result;
}

struct sha256_stream::state {
  hash_function hash;
};

sha256_stream::sha256_stream() : state_(std::make_unique<state>()) {
  auto& idle = idle_hashes();
  if (idle.empty()) {
    state_->hash = make_sha256();
  } else {
    state_->hash = std::move(idle.back());
    idle.pop_back();
  }
}

sha256_stream::~sha256_stream() {
  auto& idle = idle_hashes();
  if (idle.size() >= idle_hashes_max)
    return;
  state_->hash->clear();
  idle.push_back(std::move(state_->hash));
}

sha256_stream& sha256_stream::update(std::string_view x) {
  state_->hash->update(detail::bytes(x), x.size());
  return *this;
}

sha256_stream& sha256_stream::update(uint8_t x) {
  state_->hash->update(x);
  return *this;
}

digest sha256_stream::finish() {
  digest result;
  state_->hash->final(result.data());
  return result;
}

// RFC 2104, written out: Botan's HMAC allocates locked memory for every key, which costs three
// times as much as the hashing.
digest hmac_sha256(std::string_view key, std::string_view x) {
  auto& hash = thread_sha256();
  std::array<uint8_t, hmac_block_size> pad{};
  if (key.size() > pad.size()) {
    hash.update(detail::bytes(key), key.size());
    hash.final(pad.data());
  } else {
    std::copy(key.begin(), key.end(), pad.begin());
  }
  for (auto& b : pad)
    b ^= 0x36;
  digest result;
  hash.update(pad.data(), pad.size());
  hash.update(detail::bytes(x), x.size());
  hash.final(result.data());
  for (auto& b : pad)
    b ^= 0x36 ^ 0x5c;
  hash.update(pad.data(), pad.size());
  hash.update(result.data(), result.size());
  hash.final(result.data());
  Botan::secure_scrub_memory(pad.data(), pad.size());
  return result;
}

bool equal_constant_time(std::string_view x, std::string_view y) {
  return x.size() == y.size()
         && Botan::constant_time_compare(detail::bytes(x), detail::bytes(y), x.size());
}

} // namespace rvi::crypto
