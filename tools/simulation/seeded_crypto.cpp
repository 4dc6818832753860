// SPDX-License-Identifier: MPL-2.0
//
// Defines exactly what runtime/crypto/entropy.cpp defines, so that the archive's member is left
// out. A function missing here would pull that member in, and the linker would refuse the doubles.

#include "tools/simulation/seeded_crypto.hpp"

#include "runtime/crypto/entropy.hpp"

#include <botan/rng.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>

namespace rvi {

namespace {

/// xoshiro256** of Blackman and Vigna, its state filled by splitmix64 (prng.di.unimi.it). Nothing
/// here is secret; it has to be fast and the same on every machine.
class seeded_generator final : public Botan::RandomNumberGenerator {
public:
  void seed(uint64_t x) {
    for (auto& word : words_) {
      x += 0x9e3779b97f4a7c15;
      auto z = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
      z = (z ^ z >> 27) * 0x94d049bb133111eb;
      word = z ^ z >> 31;
    }
    seeded_ = true;
  }

  void randomize(uint8_t out[], size_t n) override {
    assert(seeded_ && "seed_crypto comes first");
    while (n > 0) {
      auto word = next();
      auto part = std::min(n, sizeof(word));
      for (size_t i = 0; i < part; ++i)
        *out++ = static_cast<uint8_t>(word >> 8 * i);
      n -= part;
    }
  }

  bool accepts_input() const override { return false; }
  void add_entropy(const uint8_t[], size_t) override {} // nothing but the seed counts
  std::string name() const override { return "simulated"; }
  void clear() override {}
  bool is_seeded() const override { return seeded_; }

private:
  uint64_t next() {
    auto& s = words_;
    auto result = std::rotl(s[1] * 5, 7) * 9;
    auto t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = std::rotl(s[3], 45);
    return result;
  }

  std::array<uint64_t, 4> words_{};
  bool seeded_ = false;
};

seeded_generator& generator() {
  static seeded_generator result;
  return result;
}

bool cheap = false;

constexpr crypto::substitute_scheme keyed_hash{
  [](std::string_view public_key_32, std::string_view message, std::string_view signature) {
    return signature == simulation::simulated_signature(public_key_32, message);
  },
  [](std::string_view public_key_32, std::string_view message) {
    return simulation::simulated_signature(public_key_32, message);
  },
};

} // namespace

namespace simulation {

void seed_crypto(uint64_t seed, bool real_signatures) {
  generator().seed(seed);
  cheap = !real_signatures;
}

} // namespace simulation

namespace crypto {

namespace detail {

Botan::RandomNumberGenerator& thread_generator() {
  assert(generator().is_seeded() && "seed_crypto comes first");
  return generator();
}

const substitute_scheme* substitute() {
  assert(generator().is_seeded() && "seed_crypto comes first");
  return cheap ? &keyed_hash : nullptr;
}

} // namespace detail

std::string random_bytes(size_t n) {
  std::string result(n, '\0');
  generator().randomize(reinterpret_cast<uint8_t*>(result.data()), n);
  return result;
}

} // namespace crypto

} // namespace rvi
