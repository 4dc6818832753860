// SPDX-License-Identifier: MPL-2.0
//
// Internal to runtime/crypto: where randomness comes from, and the place at which a simulation may
// put a cheap sum where Ed25519 would be. There is no switch: entropy.cpp defines the functions
// below and `random_bytes`, nothing else, so a program whose own object file defines all of them is
// linked without that member of the archive. What is linked so signs nothing and knows no secret:
// it is no node, and nodes refuse what it signs.

#pragma once

#include <string>
#include <string_view>

namespace Botan {
class RandomNumberGenerator;
} // namespace Botan

namespace rvi::crypto {

/// Stands for Ed25519, for keys of that kind only. A key is its 32 bytes; that they are a point of
/// the curve is not checked then.
struct substitute_scheme {
  bool (*verify)(std::string_view public_key_32, std::string_view message,
                 std::string_view signature);
  std::string (*sign)(std::string_view public_key_32, std::string_view message); // 64 bytes
};

namespace detail {

/// A generator of this thread, seeded and reseeded from the system's.
Botan::RandomNumberGenerator& thread_generator();

/// Null in every node. Constant while any key exists.
const substitute_scheme* substitute();

} // namespace detail

} // namespace rvi::crypto
