// SPDX-License-Identifier: MPL-2.0
//
// Internal to runtime/crypto: what the files that call Botan share. Botan is only declared here, so
// that its headers stay in the files that use it.

#pragma once

#include "runtime/crypto/crypto.hpp"
#include "runtime/crypto/entropy.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace Botan {
class PK_Signer;
class Private_Key;
} // namespace Botan

namespace rvi::crypto {

namespace detail {

/// Overwrites a secret; the compiler may not leave it out.
void scrub(std::string& x);

inline const uint8_t* bytes(std::string_view x) {
  return reinterpret_cast<const uint8_t*>(x.data());
}

inline constexpr const char* padding(algorithm x) {
  return x == algorithm::ed25519 ? "Pure" : "EMSA1(SHA-256)";
}

/// Prepared signers or verifiers of one key. They keep state while they work, so each is lent to
/// one thread at a time; a new one is made only if all are in use. Those of P-256 carry tables of
/// 9 KB, so only the first keys of many keep one.
template <class T>
class prepared {
public:
  prepared() = default;
  prepared(const prepared&) = delete;
  prepared& operator=(const prepared&) = delete;
  ~prepared() { idle_in_process_ -= idle_.size(); }

  std::unique_ptr<T> take() {
    std::lock_guard guard{mutex_};
    if (idle_.empty())
      return nullptr;
    auto result = std::move(idle_.back());
    idle_.pop_back();
    --idle_in_process_;
    return result;
  }

  void give_back(std::unique_ptr<T> x) {
    std::lock_guard guard{mutex_};
    if (idle_.size() >= idle_max || idle_in_process_ >= idle_in_process_max)
      return;
    idle_.push_back(std::move(x));
    ++idle_in_process_;
  }

private:
  static constexpr size_t idle_max = 4;
  static constexpr size_t idle_in_process_max = 1'024; // about, as threads race
  static inline std::atomic<size_t> idle_in_process_ = 0;
  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> idle_;
};

/// A key for Botan that signs by asking `x`; what it throws then is an `external_failure`.
std::unique_ptr<Botan::Private_Key>
asking(const public_key& known, std::shared_ptr<const external_key> x);

struct external_failure : std::runtime_error {
  explicit external_failure(caf::error x) : std::runtime_error{describe(x)}, error{std::move(x)} {}
  caf::error error;
};

} // namespace detail

struct private_key::state {
  state();
  ~state();
  /// Fills in the public part of a state that has its key.
  static expected<private_key> finish(std::shared_ptr<state> x);

  std::unique_ptr<Botan::Private_Key> key; // one that asks `external`, if there is that
  std::shared_ptr<const external_key> external;
  public_key public_part;
  mutable detail::prepared<Botan::PK_Signer> signers; // they refer to `key`
};

} // namespace rvi::crypto
