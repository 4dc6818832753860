// SPDX-License-Identifier: MPL-2.0
//
// RVI-B1 trees: golden bytes from an independent program (the recursion of RFC 9162 2.1 in Python),
// that every changed bit shows, and that both ways to the root agree.

#include "keys.hpp"
#include "runtime/crypto/batch_signature.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <random>

using namespace rvi;
using namespace rvi::crypto;
using namespace rvi::crypto::test;

namespace {

constexpr uint64_t signed_at_ms = 1'700'000'000'123;

std::string counting(size_t n, int first) {
  std::string result;
  for (size_t i = 0; i < n; ++i)
    result += char(first + int(i));
  return result;
}

/// A tree with fixed randomness over "message 0", "message 1", …
struct example {
  explicit example(uint32_t n) {
    for (uint32_t i = 0; i < n; ++i)
      texts.push_back("message " + std::to_string(i));
    messages.assign(texts.begin(), texts.end());
    std::copy_n(counting(32, 200).begin(), 32, credential.begin());
    tree.emplace(messages, credential, signed_at_ms, counting(16, 0), counting(32, 100));
    batch = tree->signed_with(algorithm::ed25519, *key.sign(tree->to_be_signed()));
    for (uint32_t i = 0; i < n; ++i)
      proofs.push_back(tree->proof(i));
  }

  digest root() const {
    digest result;
    auto input = tree->to_be_signed();
    std::copy_n(input.end() - 32, 32, result.begin());
    return result;
  }

  std::vector<leaf> leaves(const std::vector<uint32_t>& indices) const {
    std::vector<leaf> result;
    for (auto i : indices)
      result.push_back({i, proofs[i].salt, messages[i]});
    return result;
  }

  std::vector<std::string> missing(const std::vector<uint32_t>& indices) const {
    std::vector<const leaf_proof*> chosen;
    std::vector<std::string_view> texts;
    for (auto i : indices) {
      chosen.push_back(&proofs[i]);
      texts.push_back(messages[i]);
    }
    return missing_nodes(batch.size, chosen, texts, batch.batch_id);
  }

  bool frame_verifies(const std::vector<uint32_t>& indices) const {
    auto result = root_from_leaves(batch, leaves(indices), missing(indices));
    return result && *result == root();
  }

  private_key key = ed25519_key();
  std::vector<std::string> texts;
  std::vector<std::string_view> messages;
  digest credential;
  std::optional<batch_tree> tree;
  batch_root batch;
  std::vector<leaf_proof> proofs;
};

/// The whole check of one item, without a cache.
bool accepts(const batch_root& batch, const leaf_proof& proof, std::string_view message,
             const public_key& key) {
  auto root = root_from_path(batch, proof, message);
  return root && verified_root_cache{0}.verify(batch, *root, key);
}

void flip(std::string& x, size_t bit) {
  x[bit / 8] = char(x[bit / 8] ^ (1 << bit % 8));
}

template <class T>
bool malformed(const expected<T>& x) {
  return !x && code_of(x.error()) == ec::malformed;
}

/// Every non-empty subset of a small tree.
std::vector<uint32_t> subset(uint32_t bits) {
  std::vector<uint32_t> result;
  for (uint32_t i = 0; i < 32; ++i)
    if ((bits >> i & 1) != 0)
      result.push_back(i);
  return result;
}

} // namespace

TEST_CASE("roots have their golden bytes") {
  constexpr std::pair<uint32_t, const char*> golden[] = {
    {1, "40256438bb25c1403d3e9879efa392be6908614150e5e14cc62ea47bb90b330c"},
    {2, "8ecab47d802fffc9cb7e464cc4d8a112b68fd749289dd9486ef2d6401d47807b"},
    {3, "2cfd6ecea728c8a9bf91b62bc7c302a632e7d971510582545546042cd98c14ed"},
    {5, "3df88889ddce6c89edbc3bf7bc44c0303f91a933a12bea3b1aacf7f66e28c9af"},
    {8, "3fd2f0fcb146c89103fa2840c98aa6dde7babe6951902967589994800c2a2b09"},
    {1'000, "a0e122d5c477707ad43166925de4d25f600aa27ae5dac3c857140a201a7f5629"},
    {1'024, "2152203a82b0c9a0b23315897bf51abfcd722d9d4339aa129aff28249a91af3f"},
  };
  for (auto& [n, root] : golden)
    CHECK_MESSAGE(hex(view(example{n}.root())) == root, n);
}

TEST_CASE("leaves, salts and signed bytes have their golden bytes") {
  example x{3};
  CHECK(hex(x.proofs[0].salt) == "22bcde41dc24c5a82e1490e05266fb68");
  CHECK(hex(x.proofs[1].salt) == "fc9f5864c3bd8eeed80082f22cf99538");
  CHECK(hex(x.proofs[2].salt) == "43eebc2a20213a788260ff587c0c39d2");
  CHECK(hex(x.proofs[1].path[0])
        == "40256438bb25c1403d3e9879efa392be6908614150e5e14cc62ea47bb90b330c");
  CHECK(hex(x.proofs[0].path[0])
        == "16757cc97eefa56817b9883135b30ac0cd26de5faf3061430aae0e79b74b9e62");
  CHECK(hex(x.proofs[0].path[1])
        == "0c017fae41689eaa123d2383eae72aeefd2aecf059931a4704aee54e213ba3af");
  CHECK(x.proofs[2].path.size() == 1);
  CHECK(
    hex(x.tree->to_be_signed())
    == "5256492d42415443482d524f4f542d3100c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3"
       "e4e5e6e7000102030405060708090a0b0c0d0e0f000000030000018bcfe5687b2cfd6ecea728c8a9bf91b62bc7"
       "c302a632e7d971510582545546042cd98c14ed");
  CHECK(root_signing_input(x.batch, x.root()) == x.tree->to_be_signed());
}

TEST_CASE("the shared part says what the tree is over") {
  example x{5};
  CHECK(x.batch.batch_id == counting(16, 0));
  CHECK(x.batch.size == 5);
  CHECK(x.batch.signed_at_ms == signed_at_ms);
  CHECK(x.batch.algorithm == algorithm::ed25519);
  CHECK(x.batch.credential_hash == counting(32, 200));
  CHECK(x.batch.signature.size() == 64);
}

TEST_CASE("every item of a batch verifies by its path") {
  for (uint32_t n : {1, 2, 3, 5, 8, 1'000, 1'024}) {
    example x{n};
    verified_root_cache cache;
    for (uint32_t i = 0; i < n; ++i) {
      REQUIRE(x.proofs[i].index == i);
      REQUIRE(x.proofs[i].path.size() == path_length(i, n));
      auto root = root_from_path(x.batch, x.proofs[i], x.messages[i]);
      REQUIRE(root);
      REQUIRE(cache.verify(x.batch, *root, x.key.public_part()));
    }
    CHECK(cache.misses() == 1);
    CHECK(cache.hits() == n - 1);
  }
}

TEST_CASE("two trees over the same messages share nothing") {
  std::vector<std::string_view> messages{"a", "b"};
  digest credential{};
  batch_tree x{messages, credential, 1};
  batch_tree y{messages, credential, 1};
  auto x_batch = x.signed_with(algorithm::ed25519, "");
  auto y_batch = y.signed_with(algorithm::ed25519, "");
  CHECK(x_batch.batch_id.size() == 16);
  CHECK(x_batch.batch_id != y_batch.batch_id);
  CHECK(x.proof(0).salt != y.proof(0).salt);
  CHECK(x.proof(0).salt != x.proof(1).salt);
}

TEST_CASE("path lengths are those of RFC 9162") {
  CHECK(path_length(0, 1) == 0);
  CHECK(path_length(0, 2) == 1);
  CHECK(path_length(2, 3) == 1);
  CHECK(path_length(0, 7) == 3);
  CHECK(path_length(6, 7) == 2);
  CHECK(path_length(4, 5) == 1);
  CHECK(path_length(1'023, 1'024) == 10);
  CHECK(path_length(1'000, 1'001) == 6); // one more than the bits of 1'000 that are set, less one
}

TEST_CASE("every changed bit of an item and of its batch is refused") {
  for (uint32_t n : {1, 2, 3, 5, 8}) {
    const example x{n};
    for (uint32_t i = 0; i < n; ++i) {
      auto& key = x.key.public_part();
      REQUIRE(accepts(x.batch, x.proofs[i], x.messages[i], key));
      for (size_t bit = 0; bit < x.texts[i].size() * 8; ++bit) {
        auto message = x.texts[i];
        flip(message, bit);
        CHECK(!accepts(x.batch, x.proofs[i], message, key));
      }
      for (size_t bit = 0; bit < 128; ++bit) {
        auto proof = x.proofs[i];
        flip(proof.salt, bit);
        CHECK(!accepts(x.batch, proof, x.messages[i], key));
      }
      for (size_t step = 0; step < x.proofs[i].path.size(); ++step)
        for (size_t bit = 0; bit < 256; bit += 7) {
          auto proof = x.proofs[i];
          flip(proof.path[step], bit);
          CHECK(!accepts(x.batch, proof, x.messages[i], key));
        }
      for (uint32_t bit = 0; bit < 32; ++bit) {
        auto proof = x.proofs[i];
        proof.index ^= 1u << bit;
        CHECK(!accepts(x.batch, proof, x.messages[i], key));
        auto batch = x.batch;
        batch.size ^= 1u << bit;
        CHECK(!accepts(batch, x.proofs[i], x.messages[i], key));
      }
    }
  }
}

TEST_CASE("every changed bit of what a batch shares is refused") {
  const example x{5};
  auto& key = x.key.public_part();
  auto refused
    = [&](const batch_root& batch) { return !accepts(batch, x.proofs[3], x.messages[3], key); };
  REQUIRE(!refused(x.batch));
  for (uint32_t bit = 0; bit < 64; ++bit) {
    auto batch = x.batch;
    batch.signed_at_ms ^= uint64_t{1} << bit;
    CHECK(refused(batch));
  }
  for (auto member : {&batch_root::batch_id, &batch_root::credential_hash, &batch_root::signature})
    for (size_t bit = 0; bit < (x.batch.*member).size() * 8; ++bit) {
      auto batch = x.batch;
      flip(batch.*member, bit);
      CHECK(refused(batch));
    }
  auto batch = x.batch;
  batch.algorithm = algorithm::es256;
  CHECK(refused(batch));
  batch.algorithm = algorithm{0};
  CHECK(refused(batch));
}

TEST_CASE("a node cannot pass for a leaf, nor an item for its neighbour") {
  example x{4};
  auto& key = x.key.public_part();
  CHECK(!accepts(x.batch, x.proofs[0], x.messages[1], key));
  CHECK(!accepts(x.batch, x.proofs[1], x.messages[0], key));
  auto swapped = x.proofs[0];
  swapped.index = 1;
  CHECK(!accepts(x.batch, swapped, x.messages[0], key));
  auto smaller = x.batch; // the root of the left half, shown as a tree of two
  smaller.size = 2;
  auto half = x.proofs[0];
  half.path.pop_back();
  CHECK(!accepts(smaller, half, x.messages[0], key));
}

TEST_CASE("a path of the wrong shape is malformed") {
  example x{5};
  auto check = [&](auto change) {
    auto batch = x.batch;
    auto proof = x.proofs[1];
    change(batch, proof);
    return malformed(root_from_path(batch, proof, x.messages[1]));
  };
  CHECK(!check([](auto&, auto&) {}));
  CHECK(check([](auto& batch, auto&) { batch.batch_id.pop_back(); }));
  CHECK(check([](auto& batch, auto&) { batch.batch_id += 'x'; }));
  CHECK(check([](auto& batch, auto&) { batch.batch_id.clear(); }));
  CHECK(check([](auto& batch, auto&) { batch.size = 0; }));
  CHECK(check([](auto& batch, auto&) { batch.size = 1'025; }));
  CHECK(check([](auto& batch, auto&) { batch.size = UINT32_MAX; }));
  CHECK(check([](auto&, auto& proof) { proof.index = 5; }));
  CHECK(check([](auto&, auto& proof) { proof.index = UINT32_MAX; }));
  CHECK(check([](auto&, auto& proof) { proof.salt.clear(); }));
  CHECK(check([](auto&, auto& proof) { proof.salt += 'x'; }));
  CHECK(check([](auto&, auto& proof) { proof.path.clear(); }));
  CHECK(check([](auto&, auto& proof) { proof.path.pop_back(); }));
  CHECK(check([](auto&, auto& proof) { proof.path.push_back(proof.path[0]); }));
  CHECK(check([](auto&, auto& proof) { proof.path[0].clear(); }));
  CHECK(check([](auto&, auto& proof) { proof.path[2].pop_back(); }));
  CHECK(check([](auto&, auto& proof) { proof.path[1] += 'x'; }));
}

TEST_CASE("a frame rebuilds the root from every subset of a small tree") {
  for (uint32_t n = 1; n <= 9; ++n) {
    example x{n};
    for (uint32_t bits = 1; bits < 1u << n; ++bits)
      REQUIRE_MESSAGE(x.frame_verifies(subset(bits)), n << " " << bits);
    CHECK(x.missing(subset((1u << n) - 1)).empty());
  }
}

TEST_CASE("a frame rebuilds the root from random subsets of a large tree") {
  std::mt19937 random{7};
  for (uint32_t n : {100u, 1'000u, 1'023u, 1'024u}) {
    example x{n};
    for (int i = 0; i < 20; ++i) {
      std::vector<uint32_t> indices;
      auto percent = random() % 100;
      for (uint32_t k = 0; k < n; ++k)
        if (random() % 100 < percent)
          indices.push_back(k);
      if (indices.empty())
        indices.push_back(random() % n);
      REQUIRE(x.frame_verifies(indices));
    }
    auto only = uint32_t(random() % n);
    CHECK(x.missing({only}).size() == path_length(only, n));
  }
}

TEST_CASE("missing nodes come left to right, left child first") {
  example x{8};
  // 2 and 5 are there: node(0,1), leaf 3, leaf 4, node(6,7) are not
  auto missing = x.missing({2, 5});
  REQUIRE(missing.size() == 4);
  CHECK(missing[0] == x.proofs[2].path[1]);
  CHECK(missing[1] == x.proofs[2].path[0]);
  CHECK(missing[2] == x.proofs[5].path[0]);
  CHECK(missing[3] == x.proofs[5].path[1]);
}

TEST_CASE("a frame of the wrong shape is malformed") {
  example x{8};
  const std::vector<uint32_t> indices{2, 5};
  const auto leaves = x.leaves(indices);
  const auto missing = x.missing(indices);
  auto refuses = [&](const std::vector<leaf>& l, const std::vector<std::string>& m) {
    return malformed(root_from_leaves(x.batch, l, m));
  };
  REQUIRE(!refuses(leaves, missing));
  CHECK(refuses({}, {}));
  CHECK(refuses({}, {missing[0]})); // would take the sender's word for the root
  CHECK(refuses({leaves[1], leaves[0]}, missing));
  CHECK(refuses({leaves[0], leaves[0]}, missing));
  CHECK(refuses({leaves[0]}, missing));
  CHECK(refuses(leaves, {}));
  for (size_t i = 0; i < missing.size(); ++i) {
    auto fewer = missing;
    fewer.erase(fewer.begin() + long(i));
    CHECK(refuses(leaves, fewer));
    auto shorter = missing;
    shorter[i].pop_back();
    CHECK(refuses(leaves, shorter));
    auto longer = missing;
    longer[i] += 'x';
    CHECK(refuses(leaves, longer));
  }
  auto more = missing;
  more.push_back(missing[0]);
  CHECK(refuses(leaves, more));
  for (uint32_t index : {8u, 1'024u, UINT32_MAX}) {
    auto outside = leaves;
    outside[1].index = index;
    CHECK(refuses(outside, missing));
  }
  auto salt = leaves;
  salt[0].salt.remove_suffix(1);
  CHECK(refuses(salt, missing));
  for (uint32_t size : {0u, 1'025u, UINT32_MAX}) {
    auto batch = x.batch;
    batch.size = size;
    CHECK(malformed(root_from_leaves(batch, leaves, missing)));
  }
  auto batch = x.batch;
  batch.batch_id.clear();
  CHECK(malformed(root_from_leaves(batch, leaves, missing)));
}

TEST_CASE("a changed leaf or node of a frame gives another root") {
  example x{8};
  const std::vector<uint32_t> indices{2, 5};
  auto missing = x.missing(indices);
  auto leaves = x.leaves(indices);
  for (auto& node : missing) {
    flip(node, 3);
    CHECK(*root_from_leaves(x.batch, leaves, missing) != x.root());
    flip(node, 3);
  }
  std::swap(missing[0], missing[1]);
  CHECK(*root_from_leaves(x.batch, leaves, missing) != x.root());
  std::swap(missing[0], missing[1]);
  leaves[0].message = "other";
  CHECK(*root_from_leaves(x.batch, leaves, missing) != x.root());
}

TEST_CASE("proofs of the wrong shape have no missing nodes") {
  example x{8};
  auto& p = x.proofs;
  auto size_of = [](uint32_t size, const std::vector<const leaf_proof*>& proofs) {
    return missing_nodes(size, proofs, {}, {}).size();
  };
  REQUIRE(size_of(8, {&p[2], &p[5]}) == 4);
  CHECK(size_of(8, {}) == 0);
  CHECK(size_of(8, {&p[5], &p[2]}) == 0);
  CHECK(size_of(8, {&p[5], &p[5]}) == 0);
  CHECK(size_of(5, {&p[5]}) == 0);
  CHECK(size_of(6, {&p[5]}) == 0);
  CHECK(size_of(0, {&p[5]}) == 0);
  CHECK(size_of(UINT32_MAX, {&p[5]}) == 0);
  auto cut = p[5];
  cut.path.pop_back();
  CHECK(size_of(8, {&p[2], &cut}) == 0);
}
