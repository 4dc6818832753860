// SPDX-License-Identifier: MPL-2.0
//
// Randomness from the system, and Ed25519 as it is. Only what entropy.hpp names may be defined
// here, see there. A dead system generator is the end: nothing can go on then, so the draw is
// noexcept inside and the process ends.

#include "runtime/crypto/entropy.hpp"

#include "runtime/crypto/crypto.hpp"

#include <botan/chacha_rng.h>
#include <botan/system_rng.h>

namespace rvi::crypto {

namespace detail {

Botan::RandomNumberGenerator& thread_generator() {
  static constexpr size_t requests_per_seed = 1'024;
  thread_local Botan::ChaCha_RNG result{Botan::system_rng(), requests_per_seed};
  return result;
}

const substitute_scheme* substitute() {
  return nullptr;
}

} // namespace detail

std::string random_bytes(size_t n) {
  auto draw = [n]() noexcept {
    std::string result(n, '\0');
    detail::thread_generator().randomize(reinterpret_cast<uint8_t*>(result.data()), n);
    return result;
  };
  return draw();
}

} // namespace rvi::crypto
