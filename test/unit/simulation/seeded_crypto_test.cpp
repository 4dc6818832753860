// SPDX-License-Identifier: MPL-2.0
//
// The simulation's stand-in for randomness and Ed25519.

#include "runtime/crypto/batch_signature.hpp"
#include "runtime/crypto/entropy.hpp"
#include "tools/simulation/seeded_crypto.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::crypto;
using rvi::simulation::seed_crypto;
using rvi::simulation::simulated_signature;

namespace {

std::string pem_of_new_key() {
  return private_key::generate(algorithm::ed25519)->to_pem();
}

std::string_view key_bytes(const public_key& x) {
  return std::string_view{x.spki()}.substr(x.spki().size() - 32);
}

} // namespace

TEST_CASE("one seed gives one run: bytes, keys and certificates") {
  auto draw = [](uint64_t seed) {
    seed_crypto(seed, false);
    return std::vector{random_bytes(5), random_bytes(37), pem_of_new_key(),
                       private_key::generate(algorithm::es256)->to_pem(), pem_of_new_key()};
  };
  auto first = draw(17);
  CHECK(draw(17) == first);
  CHECK(draw(18) != first);
  CHECK(first[2] != first[4]);
}

TEST_CASE("the bytes of a seed are the same on every machine") {
  seed_crypto(0, false);
  // xoshiro256** seeded with splitmix64(0), little-endian; as published implementations give it.
  CHECK(hex(random_bytes(8)) == "b4f275cb365fec99");
}

TEST_CASE("a keyed hash stands for Ed25519") {
  seed_crypto(1, false);
  auto key = *private_key::generate(algorithm::ed25519);
  auto signature = *key.sign("message");
  CHECK(signature.size() == 64);
  CHECK(signature == simulated_signature(key_bytes(key.public_part()), "message"));
  auto parsed = *public_key::from_spki(key.public_part().spki());
  CHECK(parsed.verify("message", signature));
  CHECK(!parsed.verify("massage", signature));
  CHECK(!private_key::generate(algorithm::ed25519)->public_part().verify("message", signature));
  for (size_t i = 0; i < signature.size(); ++i) {
    auto damaged = signature;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    CHECK(!parsed.verify("message", damaged));
  }
  CHECK(!parsed.verify("message", signature.substr(1)));
}

TEST_CASE("P-256 is computed in full all the same") {
  seed_crypto(2, false);
  auto key = *private_key::generate(algorithm::es256);
  auto signature = *key.sign("message");
  CHECK(key.public_part().verify("message", signature));
  CHECK(!key.public_part().verify("massage", signature));
}

TEST_CASE("real signatures are computed if asked for") {
  seed_crypto(3, true);
  CHECK(detail::substitute() == nullptr);
  auto key = *private_key::generate(algorithm::ed25519);
  auto signature = *key.sign("message");
  CHECK(signature != simulated_signature(key_bytes(key.public_part()), "message"));
  CHECK(key.public_part().verify("message", signature));
  CHECK(!key.public_part().verify("message",
                                  simulated_signature(key_bytes(key.public_part()), "message")));
}

TEST_CASE("batches are signed and verified as ever") {
  seed_crypto(4, false);
  auto key = *private_key::generate(algorithm::ed25519);
  batch_tree tree{{"one", "two"}, sha256("credential"), 1'000};
  auto batch = tree.signed_with(algorithm::ed25519, *key.sign(tree.to_be_signed()));
  auto root = root_from_path(batch, tree.proof(1), "two");
  REQUIRE(root);
  verified_root_cache cache;
  CHECK(cache.verify(batch, *root, key.public_part()));
  batch.signature[63] = static_cast<char>(batch.signature[63] ^ 1);
  CHECK(!cache.verify(batch, *root, key.public_part()));
}
