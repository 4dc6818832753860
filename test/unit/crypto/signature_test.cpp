// SPDX-License-Identifier: MPL-2.0
//
// Signing and strict verification: published vectors, the twelve ed25519-speccheck cases, low S.

#include "keys.hpp"
#include "speccheck.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

using namespace rvi;
using namespace rvi::crypto;
using namespace rvi::crypto::test;

namespace {

bool accepts(const std::string& key_hex, const std::string& message, const std::string& signature) {
  auto key = public_key::from_spki(bytes(ed25519_spki_prefix + key_hex));
  return key && key->verify(message, signature);
}

std::string flipped(std::string x, size_t bit) {
  x[bit / 8] = char(x[bit / 8] ^ (1 << bit % 8));
  return x;
}

} // namespace

TEST_CASE("the twelve speccheck cases have our documented answers") {
  for (auto& x : speccheck)
    CHECK_MESSAGE(accepts(x.key, bytes(x.message), bytes(x.signature)) == x.answer, x.why);
}

TEST_CASE("Ed25519 matches RFC 8032 7.1") {
  auto key_der
    = bytes("302e020100300506032b6570042204204ccd089b28ff96da9db6c346ec114e0f5b8a319f35ab"
            "a624da8cf6ed4fb8a6fb");
  auto key = private_key::from_pem("-----BEGIN PRIVATE KEY-----\n" + base64(key_der)
                                   + "\n-----END PRIVATE KEY-----\n");
  REQUIRE(key);
  CHECK(hex(key->public_part().spki())
        == ed25519_spki_prefix
             + std::string{"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"});
  auto signature = *key->sign("\x72");
  CHECK(hex(signature)
        == "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
           "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  CHECK(key->public_part().verify("\x72", signature));
}

TEST_CASE("S plus L is refused although Botan would take it") {
  auto key = ed25519_key();
  auto signature = *key.sign("x");
  auto order = bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  int carry = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    carry += uint8_t(signature[32 + i]) + uint8_t(order[i]);
    signature[32 + i] = char(carry & 0xff);
    carry >>= 8;
  }
  CHECK(!key.public_part().verify("x", signature));
}

TEST_CASE("every single-bit change of a signature is refused, and of a message") {
  for (auto& key : {ed25519_key(), p256_key()}) {
    std::string message = "a request";
    auto signature = *key.sign(message);
    auto& verifier = key.public_part();
    REQUIRE(verifier.verify(message, signature));
    for (size_t bit = 0; bit < 512; ++bit)
      CHECK(!verifier.verify(message, flipped(signature, bit)));
    for (size_t bit = 0; bit < message.size() * 8; ++bit)
      CHECK(!verifier.verify(flipped(message, bit), signature));
    CHECK(verifier.verify(message, signature)); // refusals leave nothing behind
  }
}

TEST_CASE("a signature of another length is refused") {
  for (auto& key : {ed25519_key(), p256_key()}) {
    auto signature = *key.sign("x");
    for (size_t n : {0, 1, 32, 63})
      CHECK(!key.public_part().verify("x", signature.substr(0, n)));
    CHECK(!key.public_part().verify("x", signature + '\0'));
    CHECK(!key.public_part().verify("x", signature + signature));
    CHECK(key.public_part().verify("x", signature));
  }
}

TEST_CASE("ES256 signs with low S and refuses high S") {
  auto key = p256_key();
  auto half = bytes("7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8");
  for (int i = 0; i < 40; ++i) {
    auto message = std::to_string(i);
    auto signature = *key.sign(message);
    CHECK(signature.substr(32) <= half);
    CHECK(key.public_part().verify(message, signature));
  }
  // RFC 7515 A.3: S as published is high; n - S is the same signature in our form.
  auto verifier = public_key::from_jwk("EC", "P-256", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                                       "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
  REQUIRE(verifier);
  std::string_view input
    = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLm"
      "NvbS9pc19yb290Ijp0cnVlfQ";
  auto r = bytes("0ed1215379636c483c2f7f155807d402a3b228033af97c7e17819ac3169ea665");
  auto high = bytes("c50a07d38c3c70e5d8f12daf084a5480a66590c5f293509a8f3f7f8a83a354d5");
  auto low = bytes("3af5f82b73c38f1b270ed250f7b5ab7f168169e7b4844dea647a4b3878bfd07c");
  CHECK(verifier->verify(input, r + low));
  CHECK(!verifier->verify(input, r + high));
}

TEST_CASE("ES256 refuses r and s out of range") {
  auto key = p256_key();
  auto signature = *key.sign("x");
  auto r = signature.substr(0, 32);
  auto s = signature.substr(32);
  auto zero = std::string(32, '\0');
  auto one = std::string(31, '\0') + '\1';
  auto n = bytes("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
  auto ones = std::string(32, '\xff');
  for (auto& bad : {zero, n, ones})
    for (auto& x : {bad + s, r + bad, bad + bad, bad + one, one + bad})
      CHECK(!key.public_part().verify("x", x));
  CHECK(!key.public_part().verify("x", one + one));
  // DER, as OpenSSL writes it by itself
  CHECK(!key.public_part().verify("x", "\x30\x44\x02\x20" + r + "\x02\x20" + s));
}

TEST_CASE("a key takes no signature of another key or kind") {
  auto ed25519 = ed25519_key();
  auto p256 = p256_key();
  CHECK(!ed25519.public_part().verify("x", *p256.sign("x")));
  CHECK(!p256.public_part().verify("x", *ed25519.sign("x")));
  for (auto kind : {algorithm::ed25519, algorithm::es256}) {
    auto other = private_key::generate(kind);
    REQUIRE(other);
    auto& own = kind == algorithm::ed25519 ? ed25519 : p256;
    CHECK(!own.public_part().verify("x", *other->sign("x")));
  }
}

TEST_CASE("one key signs and verifies in several threads at once") {
  for (auto& key : {ed25519_key(), p256_key()}) {
    std::atomic<int> good = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t)
      threads.emplace_back([&key, &good, t] {
        for (int i = 0; i < 30; ++i) {
          auto message = std::to_string(t) + "/" + std::to_string(i);
          auto signature = *key.sign(message);
          good += key.public_part().verify(message, signature);
          good -= key.public_part().verify(message + "x", signature);
        }
      });
    for (auto& x : threads)
      x.join();
    CHECK(good == 180);
  }
}

TEST_CASE("empty and long messages can be signed") {
  for (auto& key : {ed25519_key(), p256_key()})
    for (size_t n : {0, 1, 64, 1'000'000}) {
      std::string message(n, 'm');
      CHECK(key.public_part().verify(message, *key.sign(message)));
    }
}
