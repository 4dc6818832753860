// SPDX-License-Identifier: MPL-2.0
//
// Signing and strict verification: published vectors, the twelve ed25519-speccheck cases, low S.

#include "keys.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

using namespace rvi;
using namespace rvi::crypto;
using namespace rvi::crypto::test;

namespace {

struct speccheck_case {
  const char* message;
  const char* key;
  const char* signature;
  bool answer;
  const char* why;
};

// "Taming the many EdDSAs", table 6c; github.com/novifinancial/ed25519-speccheck. Only case 3 has
// neither a point of small order nor a non-canonical one nor a high S, and holds without cofactor.
constexpr speccheck_case speccheck[] = {
  {"8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
   "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
   "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
   "0000000000000000000000000000000000000000000000000000000000000000",
   false, "0: A and R of small order"},
  {"9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
   "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
   "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43"
   "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
   false, "1: A of small order"},
  {"aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
   "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
   "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"
   "8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
   false, "2: R of small order"},
  {"9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
   "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
   "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f"
   "87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
   true, "3: A and R of mixed order, both equations hold"},
  {"e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
   "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
   "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512"
   "5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
   false, "4: holds only with cofactor"},
  {"e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
   "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
   "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7"
   "e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
   false, "5: holds only with cofactor, k not reduced first"},
  {"85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
   "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
   "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e"
   "547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
   false, "6: S above L"},
  {"85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
   "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
   "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa1942"
   "7e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
   false, "7: S far above L"},
  {"9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
   "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
   "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
   "03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
   false, "8: R not canonical"},
  {"9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
   "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
   "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
   "ca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
   false, "9: R not canonical, reduced in the hash"},
  {"e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
   "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
   "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc"
   "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
   false, "10: A not canonical"},
  {"39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
   "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
   "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc"
   "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
   false, "11: A not canonical, reduced in the hash"},
};

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
  auto signature = key->sign("\x72");
  CHECK(hex(signature)
        == "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
           "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  CHECK(key->public_part().verify("\x72", signature));
}

TEST_CASE("S plus L is refused although Botan would take it") {
  auto key = ed25519_key();
  auto signature = key.sign("x");
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
    auto signature = key.sign(message);
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
    auto signature = key.sign("x");
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
    auto signature = key.sign(message);
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
  auto signature = key.sign("x");
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
  CHECK(!ed25519.public_part().verify("x", p256.sign("x")));
  CHECK(!p256.public_part().verify("x", ed25519.sign("x")));
  for (auto kind : {algorithm::ed25519, algorithm::es256}) {
    auto other = private_key::generate(kind);
    REQUIRE(other);
    auto& own = kind == algorithm::ed25519 ? ed25519 : p256;
    CHECK(!own.public_part().verify("x", other->sign("x")));
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
          auto signature = key.sign(message);
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
      CHECK(key.public_part().verify(message, key.sign(message)));
    }
}
