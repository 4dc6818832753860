// SPDX-License-Identifier: MPL-2.0
//
// Decoding public keys: one encoding each, points on their curve, none of small order.

#include "keys.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace rvi;
using namespace rvi::crypto;
using namespace rvi::crypto::test;

namespace {

bool refuses_spki(const std::string& der) {
  auto result = public_key::from_spki(der);
  return !result && code_of(result.error()) == ec::malformed;
}

bool refuses_ed25519(const std::string& point_hex) {
  return refuses_spki(bytes(ed25519_spki_prefix + point_hex));
}

} // namespace

TEST_CASE("a canonical SPKI decodes and names its node") {
  for (auto spki : {ed25519_spki, p256_spki}) {
    auto der = bytes(spki);
    auto key = public_key::from_spki(der);
    REQUIRE(key);
    CHECK(key->spki() == der);
    CHECK(view(key->uid()) == view(sha256(der)).substr(0, 16));
  }
  CHECK(public_key::from_spki(bytes(ed25519_spki))->algorithm() == algorithm::ed25519);
  CHECK(public_key::from_spki(bytes(p256_spki))->algorithm() == algorithm::es256);
}

TEST_CASE("a JWK gives the same key as its SPKI, members in RFC 7638 order") {
  // RFC 8037 appendix A.2
  auto x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
  auto key = public_key::from_jwk("OKP", "Ed25519", x, "");
  REQUIRE(key);
  CHECK(key->jwk() == R"({"crv":"Ed25519","kty":"OKP","x":")" + std::string{x} + "\"}");
  CHECK(base64url(view(sha256(key->jwk()))) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
  // RFC 7515 appendix A.3
  auto ec_x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
  auto ec_y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
  auto ec_key = public_key::from_jwk("EC", "P-256", ec_x, ec_y);
  REQUIRE(ec_key);
  CHECK(ec_key->jwk()
        == R"({"crv":"P-256","kty":"EC","x":")" + std::string{ec_x} + R"(","y":")" + ec_y + "\"}");
  for (auto& k : {*key, *ec_key})
    CHECK(public_key::from_spki(k.spki())->jwk() == k.jwk());
}

TEST_CASE("a JWK with wrong members is refused") {
  auto x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
  CHECK(!public_key::from_jwk("OKP", "Ed25519", "", ""));
  CHECK(!public_key::from_jwk("OKP", "Ed25519", "", x));
  CHECK(!public_key::from_jwk("OKP", "Ed25519", x, x));
  CHECK(!public_key::from_jwk("OKP", "X25519", x, ""));
  CHECK(!public_key::from_jwk("EC", "Ed25519", x, ""));
  CHECK(!public_key::from_jwk("OKP", "P-256", x, x));
  CHECK(!public_key::from_jwk("EC", "P-256", x, x)); // not on the curve
  CHECK(!public_key::from_jwk("EC", "P-256", x, ""));
  CHECK(!public_key::from_jwk("EC", "P-384", x, x));
  CHECK(!public_key::from_jwk("oct", "", x, ""));
  CHECK(!public_key::from_jwk("OKP", "Ed25519", std::string{x} + "=", ""));
  CHECK(!public_key::from_jwk("OKP", "Ed25519", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR", ""));
  // unused bits set
  CHECK(!public_key::from_jwk("OKP", "Ed25519", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp", ""));
}

TEST_CASE("an SPKI of any other form is refused") {
  for (auto spki : {ed25519_spki, p256_spki}) {
    auto der = bytes(spki);
    CHECK(refuses_spki(""));
    CHECK(refuses_spki(der + '\0'));
    for (size_t n = 0; n < der.size(); ++n)
      CHECK(refuses_spki(der.substr(0, n)));
    auto prefix = der.size() - (der.size() > 64 ? 64 : 32);
    for (size_t bit = 0; bit < prefix * 8; ++bit) {
      auto changed = der;
      changed[bit / 8] = char(changed[bit / 8] ^ (1 << bit % 8));
      CHECK(refuses_spki(changed));
    }
  }
  // a compressed point, as openssl writes it
  CHECK(
    refuses_spki(bytes("3039301306072a8648ce3d020106082a8648ce3d0301070322000271e345873028d9694e"
                       "d548ea8e9c52501cda8da1e0fe2efe6c03f5bb0b7ece4c")));
  // a long form of the outer length
  CHECK(refuses_spki(bytes("30812a" + std::string{ed25519_spki}.substr(4))));
  // a NULL as parameters
  CHECK(refuses_spki(bytes("302c300706032b65700500032100" + std::string{ed25519_spki}.substr(24))));
}

TEST_CASE("a point off its curve or out of range is refused") {
  auto p256 = [](const std::string& xy) { return bytes(p256_spki_prefix + ("04" + xy)); };
  auto good = std::string{p256_spki}.substr(54);
  REQUIRE(public_key::from_spki(p256(good)));
  auto changed = good;
  changed[0] = '0';
  CHECK(refuses_spki(p256(changed)));
  CHECK(refuses_spki(p256(std::string(128, '0'))));
  CHECK(refuses_spki(p256(std::string(128, 'f'))));
  // x = 0 has a y; x = p is the same number and must not pass for it
  auto y_of_0 = "66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4";
  CHECK(public_key::from_spki(p256(std::string(64, '0') + y_of_0)));
  CHECK(refuses_spki(p256("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
                          + std::string{y_of_0})));
  CHECK(refuses_ed25519("02" + std::string(62, '0'))); // y = 2 has no x
  CHECK(public_key::from_spki(bytes(ed25519_spki_prefix + ("03" + std::string(62, '0')))));
}

TEST_CASE("Ed25519 keys of small order are refused in every encoding") {
  const std::string f(60, 'f');
  const std::string o(60, '0');
  for (auto& x : {
         "0000" + o, // order 4
         "0000" + o.substr(2) + "80",
         "0100" + o,                  // order 1
         "0100" + o.substr(2) + "80", // x = 0 with a sign
         "ecff" + f.substr(2) + "7f", // order 2
         "ecff" + f,                  // x = 0 with a sign
         "edff" + f.substr(2) + "7f", // y = p
         "edff" + f,
         "eeff" + f.substr(2) + "7f", // y = p + 1
         "eeff" + f,
         // order 8
         std::string{"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"},
         std::string{"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"},
         std::string{"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"},
         std::string{"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"},
       }) {
    REQUIRE(x.size() == 64);
    CHECK_MESSAGE(refuses_ed25519(x), x);
  }
}

TEST_CASE("Ed25519 keys with y from p to 2^255 - 1 are refused") {
  for (int low = 0xed; low <= 0xff; ++low)
    for (auto high : {"7f", "ff"}) {
      auto low_byte = char(low);
      auto x = hex({&low_byte, 1}) + std::string(60, 'f') + high;
      CHECK_MESSAGE(refuses_ed25519(x), x);
    }
}

TEST_CASE("the curve check agrees with the keys that exist") {
  for (int i = 0; i < 50; ++i)
    CHECK(private_key::generate(algorithm::ed25519));
  int accepted = 0;
  for (int i = 0; i < 400; ++i)
    accepted += !refuses_ed25519(hex(random_bytes(32)));
  CHECK(accepted > 120); // every second y has an x
  CHECK(accepted < 280);
}

TEST_CASE("an empty key verifies nothing") {
  public_key key;
  CHECK(!key);
  CHECK(!key.verify("", std::string(64, '\0')));
}
