// SPDX-License-Identifier: MPL-2.0
//
// Compact JWS: the key decides the algorithm, and each byte string has one text.

#include "keys.hpp"
#include "runtime/crypto/jws.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::crypto;
using namespace rvi::crypto::test;

namespace {

/// A JWS with any header, rightly signed.
std::string
signed_with(const private_key& key, std::string_view header, std::string_view payload = "{}") {
  auto input = base64url(header) + "." + base64url(payload);
  return input + "." + base64url(*key.sign(input));
}

bool refuses(const std::string& compact) {
  auto result = parse_jws(compact);
  return !result && code_of(result.error()) == ec::malformed;
}

} // namespace

TEST_CASE("what is signed parses and verifies") {
  for (auto& key : {ed25519_key(), p256_key()}) {
    auto compact = *sign_jws(key, "rvi-credential+jwt", "root \"1\"", R"({"iss":"x"})");
    auto x = parse_jws(compact);
    REQUIRE(x);
    CHECK(x->type == "rvi-credential+jwt");
    CHECK(x->key_id == "root \"1\"");
    CHECK(x->algorithm == to_string(key.public_part().algorithm()));
    CHECK(x->payload == R"({"iss":"x"})");
    CHECK(compact.starts_with(x->signing_input + "."));
    CHECK(x->signature.size() == 64);
    CHECK(verify(*x, key.public_part()));
  }
}

TEST_CASE("header members have their order") {
  auto compact = *sign_jws(ed25519_key(), "t", "k", "");
  CHECK(*unbase64url(compact.substr(0, compact.find('.')))
        == R"({"alg":"EdDSA","kid":"k","typ":"t"})");
}

TEST_CASE("RFC 8037 A.4 verifies but lacks a typ") {
  auto key
    = public_key::from_jwk("OKP", "Ed25519", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "");
  REQUIRE(key);
  std::string input = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
  std::string signature
    = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7s"
      "VvpAr_MuM0KAg";
  CHECK(key->verify(input, *unbase64url(signature)));
  CHECK(refuses(input + "." + signature));
}

TEST_CASE("the header cannot choose the algorithm") {
  auto ed25519 = ed25519_key();
  auto p256 = p256_key();
  auto claims_es256 = parse_jws(signed_with(ed25519, R"({"alg":"ES256","kid":"k","typ":"t"})"));
  REQUIRE(claims_es256);
  CHECK(!verify(*claims_es256, ed25519.public_part()));
  CHECK(!verify(*claims_es256, p256.public_part()));
  auto claims_eddsa = parse_jws(signed_with(p256, R"({"alg":"EdDSA","kid":"k","typ":"t"})"));
  REQUIRE(claims_eddsa);
  CHECK(!verify(*claims_eddsa, p256.public_part()));
  CHECK(!verify(*claims_eddsa, ed25519.public_part()));
  CHECK(!verify(*claims_eddsa, public_key{}));
  for (auto alg : {"none", "None", "HS256", "HS512", "RS256", "ES384", "ES512", "PS256", "eddsa",
                   "es256", "Ed25519", "EdDSA ", ""})
    CHECK_MESSAGE(
      refuses(signed_with(ed25519, R"({"alg":")" + std::string{alg} + R"(","kid":"k","typ":"t"})")),
      alg);
}

TEST_CASE("a header of the wrong form is refused") {
  auto key = ed25519_key();
  REQUIRE(parse_jws(signed_with(key, R"({"alg":"EdDSA","kid":"k","typ":"t"})")));
  for (auto header : {
         R"({"alg":"EdDSA","kid":"k"})",                               // no typ
         R"({"alg":"EdDSA","kid":"k","typ":""})",                      // empty typ
         R"({"alg":"EdDSA","kid":"k","typ":1})",                       // typ is no string
         R"({"kid":"k","typ":"t"})",                                   // no alg
         R"({"alg":["EdDSA"],"kid":"k","typ":"t"})",                   // alg is no string
         R"({"alg":null,"kid":"k","typ":"t"})",                        // alg is no string
         R"({"alg":"EdDSA","typ":"t","kid":1})",                       // kid is no string
         R"({"alg":"EdDSA","typ":"t","kid":null})",                    // kid is no string
         R"({"alg":"EdDSA","typ":"t"})",                               // no kid
         R"({"alg":"EdDSA","alg":"EdDSA","kid":"k","typ":"t"})",       // twice
         R"({"alg":"ES256","alg":"EdDSA","kid":"k","typ":"t"})",       // twice
         R"({"alg":"EdDSA","kid":"k","typ":"t","typ":"u"})",           // twice
         R"({"alg":"EdDSA","\u0061lg":"ES256","kid":"k","typ":"t"})",  // twice, once escaped
         R"({"alg":"EdDSA","kid":"k","typ":"t","x":1,"x":1})",         // twice
         R"({"alg":"EdDSA","kid":"k","typ":"t","crit":["exp"]})",      // forbidden
         R"({"alg":"EdDSA","kid":"k","typ":"t","crit":[]})",           // forbidden
         R"({"alg":"EdDSA","kid":"k","typ":"t","crit":null})",         // forbidden
         R"({"alg":"EdDSA","kid":"k","typ":"t","jku":"https://x"})",   // forbidden
         R"({"alg":"EdDSA","kid":"k","typ":"t","x5u":"https://x"})",   // forbidden
         R"({"alg":"EdDSA","kid":"k","typ":"t","jwk":{"kty":"OKP"}})", // forbidden
         R"({"alg":"EdDSA","kid":"k","typ":"t","x5c":["MIIB"]})",      // forbidden
         R"({"alg":"EdDSA","kid":"k","typ":"t","\u006awk":{}})",       // forbidden, escaped
         R"({"alg":"EdDSA","kid":"k","typ":"t","b64":false})",         // forbidden
         R"({"alg":"EdDSA","kid":"k","typ":"t"}x)",                    // something follows
         R"({"alg":"EdDSA","kid":"k","typ":"t"} {})",                  // something follows
         R"([{"alg":"EdDSA","kid":"k","typ":"t"}])",                   // no object
         R"("EdDSA")",                                                 // no object
         "",                                                           // nothing
         "\xff\xfe",                                                   // no UTF-8
       })
    CHECK_MESSAGE(refuses(signed_with(key, header)), header);
  CHECK(refuses(signed_with(key, R"({"alg":"EdDSA","kid":"k","typ":"t","a":)"
                                   + std::string(2'000, '[') + std::string(2'000, ']') + "}")));
}

TEST_CASE("a compact form with other than three canonical parts is refused") {
  auto good = *sign_jws(ed25519_key(), "t", "k", "{}");
  REQUIRE(parse_jws(good));
  auto signature = good.rfind('.') + 1;
  for (auto& bad : {std::string{}, std::string{"."}, std::string{".."}, std::string{"..."},
                    good + ".", "." + good, good + "=", good + "A", good + "\n", " " + good,
                    good.substr(0, signature), good.substr(0, signature - 1), good.substr(1),
                    good.substr(0, good.size() - 1), good.substr(0, good.size() - 2),
                    good.substr(good.find('.')), good + good.substr(signature)})
    CHECK_MESSAGE(refuses(bad), bad);
  // The last symbol of 64 bytes has four unused bits.
  auto last = good;
  constexpr std::string_view symbols
    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (size_t i = 1; i < 16; ++i) {
    last.back() = symbols[(symbols.find(good.back()) & 48) + i];
    CHECK(refuses(last));
  }
}

TEST_CASE("16 KiB is the limit") {
  auto key = ed25519_key();
  auto size_with
    = [&](size_t payload) { return *sign_jws(key, "t", "k", std::string(payload, 'x')); };
  auto largest = size_with(12'000);
  size_t n = 12'000;
  while (size_with(n + 1).size() <= 16 * 1'024)
    largest = size_with(++n);
  REQUIRE(largest.size() <= 16 * 1'024);
  CHECK(parse_jws(largest));
  CHECK(refuses(size_with(n + 1)));
}

TEST_CASE("every changed symbol of a JWS is refused") {
  for (auto& key : {ed25519_key(), p256_key()}) {
    auto good = *sign_jws(key, "t", "k", "{}");
    for (size_t i = 0; i < good.size(); ++i)
      for (char c : {'A', 'B', '_', '.'}) {
        auto changed = good;
        if (changed[i] == c)
          continue;
        changed[i] = c;
        auto x = parse_jws(changed);
        CHECK_MESSAGE((!x || !verify(*x, key.public_part())), changed);
      }
  }
}
