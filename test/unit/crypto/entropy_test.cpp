// SPDX-License-Identifier: MPL-2.0
//
// A program without the simulation's object signs and verifies with Ed25519 itself.

#include "keys.hpp"
#include "runtime/crypto/entropy.hpp"
#include "tools/simulation/seeded_crypto.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::crypto;
using namespace rvi::crypto::test;

TEST_CASE("nothing stands for Ed25519") {
  CHECK(detail::substitute() == nullptr);
}

TEST_CASE("a simulated signature is refused") {
  auto signer = ed25519_key();
  auto& spki = signer.public_part().spki();
  auto key = *public_key::from_spki(spki);
  // 15 of 16 have S above the group order; many, so that some reach the equation.
  for (int i = 0; i < 200; ++i) {
    auto message = "message " + std::to_string(i);
    auto simulated = simulation::simulated_signature(spki.substr(spki.size() - 32), message);
    REQUIRE(simulated.size() == 64);
    CHECK(!key.verify(message, simulated));
    CHECK(signer.sign(message) != simulated);
  }
}
