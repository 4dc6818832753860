// SPDX-License-Identifier: MPL-2.0
//
// Randomness from a seed, and a keyed hash in place of Ed25519, for simulations of whole fleets.
// The source file takes the place of runtime/crypto/entropy.cpp when it is linked as an object: a
// program linked so is no node. A node refuses what it signs.

#pragma once

#include "runtime/crypto/crypto.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace rvi::simulation {

/// All randomness from this seed from now on, key generation included. `real_signatures`: Ed25519
/// is computed in full, else a keyed hash stands for it; decided before the first key is made.
/// Before the first call there is no randomness at all (asserted). One thread only.
void seed_crypto(uint64_t seed, bool real_signatures);

/// What stands for a signature: 64 bytes that anybody who has the public key (32 bytes) can make.
inline std::string simulated_signature(std::string_view public_key_32, std::string_view message) {
  auto content = crypto::sha256(message);
  std::string short_text{"RVI-SIMULATED-SIGNATURE"};
  short_text += public_key_32;
  short_text += crypto::view(content);
  std::string result{crypto::view(crypto::sha256(short_text))};
  result += crypto::view(content);
  return result;
}

} // namespace rvi::simulation
