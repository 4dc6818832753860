// SPDX-License-Identifier: MPL-2.0
//
// The cache of verified roots: one verification for each batch, no memory of refusals.

#include "keys.hpp"
#include "runtime/crypto/batch_signature.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::crypto;
using namespace rvi::crypto::test;

namespace {

struct signed_root {
  batch_root batch;
  digest root;
};

signed_root make(const private_key& key, std::string_view message, uint8_t credential = 0) {
  digest credential_hash{};
  credential_hash[0] = credential;
  batch_tree tree{{message}, credential_hash, 1'000};
  auto batch = tree.signed_with(key.public_part().algorithm(), *key.sign(tree.to_be_signed()));
  auto root = root_from_path(batch, tree.proof(0), message);
  REQUIRE(root);
  return {batch, *root};
}

} // namespace

TEST_CASE("a root is verified once, with either algorithm") {
  for (auto& key : {ed25519_key(), p256_key()}) {
    verified_root_cache cache;
    auto x = make(key, "m");
    for (int i = 0; i < 3; ++i)
      CHECK(cache.verify(x.batch, x.root, key.public_part()));
    CHECK(cache.misses() == 1);
    CHECK(cache.hits() == 2);
    CHECK(cache.size() == 1);
  }
}

TEST_CASE("a refusal is not remembered and does not block the genuine root") {
  auto key = ed25519_key();
  verified_root_cache cache;
  auto x = make(key, "m");
  auto forged = x;
  forged.root[0] ^= 1;
  CHECK(!cache.verify(forged.batch, forged.root, key.public_part()));
  CHECK(cache.size() == 0);
  CHECK(cache.verify(x.batch, x.root, key.public_part()));
  CHECK(!cache.verify(forged.batch, forged.root, key.public_part()));
  CHECK(cache.size() == 1);
}

TEST_CASE("a hit needs the same bytes and the same key") {
  auto key = ed25519_key();
  auto other = *private_key::generate(algorithm::ed25519);
  verified_root_cache cache;
  auto x = make(key, "m");
  REQUIRE(cache.verify(x.batch, x.root, key.public_part()));
  CHECK(!cache.verify(x.batch, x.root, other.public_part()));
  CHECK(!cache.verify(x.batch, x.root, p256_key().public_part()));
  CHECK(!cache.verify(x.batch, x.root, public_key{}));
  auto changed = x.batch;
  changed.signature[0] = char(changed.signature[0] ^ 1);
  CHECK(!cache.verify(changed, x.root, key.public_part()));
  CHECK(cache.hits() == 0);
}

TEST_CASE("fields of the wrong length are refused before anything is hashed") {
  auto key = ed25519_key();
  auto x = make(key, "m");
  for (auto member :
       {&batch_root::batch_id, &batch_root::credential_hash, &batch_root::signature}) {
    verified_root_cache cache;
    auto batch = x.batch;
    (batch.*member).pop_back();
    CHECK(!cache.verify(batch, x.root, key.public_part()));
    (batch.*member).clear();
    CHECK(!cache.verify(batch, x.root, key.public_part()));
    CHECK(cache.misses() == 0);
  }
  // the same bytes, cut elsewhere
  auto batch = x.batch;
  batch.batch_id.insert(batch.batch_id.begin(), batch.credential_hash.back());
  batch.credential_hash.pop_back();
  CHECK(root_signing_input(batch, x.root) == root_signing_input(x.batch, x.root));
  CHECK(!verified_root_cache{}.verify(batch, x.root, key.public_part()));
}

TEST_CASE("the least recently used root goes first") {
  auto key = ed25519_key();
  verified_root_cache cache{2};
  auto a = make(key, "a");
  auto b = make(key, "b");
  auto c = make(key, "c");
  CHECK(cache.verify(a.batch, a.root, key.public_part()));
  CHECK(cache.verify(b.batch, b.root, key.public_part()));
  CHECK(cache.verify(a.batch, a.root, key.public_part())); // now b is the older one
  CHECK(cache.verify(c.batch, c.root, key.public_part()));
  CHECK(cache.size() == 2);
  CHECK(cache.verify(a.batch, a.root, key.public_part()));
  CHECK(cache.hits() == 2);
  CHECK(cache.verify(b.batch, b.root, key.public_part()));
  CHECK(cache.misses() == 4);
}

TEST_CASE("a cache of no size verifies all the same") {
  auto key = ed25519_key();
  verified_root_cache cache{0};
  auto x = make(key, "m");
  CHECK(cache.verify(x.batch, x.root, key.public_part()));
  CHECK(cache.verify(x.batch, x.root, key.public_part()));
  CHECK(cache.size() == 0);
}

TEST_CASE("the roots of one credential can be forgotten") {
  auto key = ed25519_key();
  verified_root_cache cache;
  auto kept = make(key, "kept", 1);
  REQUIRE(cache.verify(kept.batch, kept.root, key.public_part()));
  for (int i = 0; i < 5; ++i) {
    auto x = make(key, std::to_string(i), 2);
    REQUIRE(cache.verify(x.batch, x.root, key.public_part()));
  }
  cache.forget(kept.batch.batch_id); // no credential
  CHECK(cache.size() == 6);
  cache.forget(std::string{"\x02"} + std::string(31, '\0'));
  CHECK(cache.size() == 1);
  CHECK(cache.verify(kept.batch, kept.root, key.public_part()));
  CHECK(cache.hits() == 1);
}
