// SPDX-License-Identifier: MPL-2.0
//
// What a node's key signs, and all that looks like it.

#include "runtime/crypto/batch_signature.hpp"
#include "runtime/crypto/jws.hpp"
#include "runtime/signer/purpose.hpp"
#include "test/support/distant_key.hpp"

#include <doctest/doctest.h>

#include <memory>

using namespace rvi;
using signer::purpose;
using signer::purpose_of;

namespace {

crypto::private_key make(crypto::algorithm kind = crypto::algorithm::ed25519) {
  return *crypto::private_key::generate(kind);
}

const crypto::private_key& own() {
  static const auto result = make();
  return result;
}

/// Nothing fits.
constexpr auto none = purpose{0};

purpose said(std::string_view input, const crypto::private_key& key = own()) {
  auto result = purpose_of(input, key.public_part());
  if (!result)
    CHECK(code_of(result.error()) == ec::bad_request);
  return result ? *result : none;
}

std::string hash(std::string_view x) {
  return std::string{crypto::view(crypto::sha256(x))};
}

std::string root_input(uint32_t size = 2) {
  crypto::batch_root root;
  root.batch_id = std::string(16, 'b');
  root.size = size;
  root.credential_hash = std::string(32, 'c');
  return crypto::root_signing_input(root, {});
}

std::string authorize_input(const crypto::private_key& key, char side = 1) {
  return std::string{"RVI-AUTHORIZE-2"} + side + hash(key.public_part().spki()) + hash("peer")
         + std::string(32, 'e') + hash("body");
}

std::string tls_input(const std::string& who, size_t hash_size = 32) {
  return std::string(64, ' ') + "TLS 1.3, " + who + " CertificateVerify" + '\0'
         + std::string(hash_size, 'h');
}

std::string certificate_input(const crypto::private_key& key) {
  auto watched = std::make_shared<test::distant_key>(key);
  auto made
    = test::key_at(watched).self_signed_certificate("jlr.com/vin/1234", 1'700'000'000, 3'650);
  REQUIRE(made);
  return watched->last;
}

std::string jws_input(const crypto::private_key& key, std::string_view type = "rvi-grant+jwt") {
  return crypto::jws_signing_input(key.public_part().algorithm(), type,
                                   crypto::hex(crypto::view(key.public_part().uid())),
                                   R"({"aud":"x"})");
}

} // namespace

TEST_CASE("each purpose is known by its form") {
  for (auto kind : {crypto::algorithm::ed25519, crypto::algorithm::es256}) {
    auto key = make(kind);
    auto uid = std::string{crypto::view(key.public_part().uid())};
    CHECK(said(root_input(), key) == purpose::batch_root);
    CHECK(said(authorize_input(key), key) == purpose::authorize);
    CHECK(said(authorize_input(key, 2), key) == purpose::authorize);
    CHECK(said("RVI-ANNOUNCE-1..." + uid, key) == purpose::announcement);
    CHECK(said(tls_input("server"), key) == purpose::tls_server);
    CHECK(said(tls_input("client", 48), key) == purpose::tls_client);
    CHECK(said(certificate_input(key), key) == purpose::certificate);
    CHECK(said(jws_input(key), key) == purpose::grant);
    CHECK(said(jws_input(key, "rvi-service+jwt"), key) == purpose::service);
  }
}

TEST_CASE("what has no form that a node signs is refused") {
  for (std::string x : {"", "x", "RVI-BATCH-ROOT-1", "RVI-BATCH-ROOT-2", "RVI-CLONE-1", "RVI-",
                        "RVI-KEY-CHECK-1", "eyJ", "ey.", " ", "0", "0\x80"})
    CHECK_MESSAGE(said(x) == none, x);
  CHECK(said(hash("some hash")) == none);
  CHECK(said(std::string(signer::input_bytes_max + 1, ' ')) == none);
}

TEST_CASE("a batch root of another size is refused") {
  CHECK(said(root_input(1)) == purpose::batch_root);
  CHECK(said(root_input(1'024)) == purpose::batch_root);
  CHECK(said(root_input(0)) == none);
  CHECK(said(root_input(1'025)) == none);
  CHECK(said(root_input() + "x") == none);
  CHECK(said(root_input().substr(0, root_input().size() - 1)) == none);
}

TEST_CASE("an Authorize of another key is refused") {
  CHECK(said(authorize_input(make())) == none);
  CHECK(said(authorize_input(own(), 0)) == none);
  CHECK(said(authorize_input(own(), 3)) == none);
  CHECK(said(authorize_input(own()) + "x") == none);
}

TEST_CASE("an announcement of another node is refused") {
  auto uid = std::string{crypto::view(own().public_part().uid())};
  CHECK(said("RVI-ANNOUNCE-1" + uid) == purpose::announcement);
  CHECK(said("RVI-ANNOUNCE-1" + std::string(16, 'u')) == none);
  CHECK(said("RVI-ANNOUNCE-1" + uid + std::string(8 * 1'024, 'x')) == none);
}

TEST_CASE("a CertificateVerify that is none of TLS 1.3 is refused") {
  CHECK(said(tls_input("relay")) == none);
  CHECK(said(tls_input("server", 20)) == none);
  CHECK(said(tls_input("server", 64)) == none);
  CHECK(said(tls_input("server").substr(1)) == none);
  CHECK(said(" " + tls_input("server")) == none);
  auto without_zero = tls_input("server");
  without_zero[64 + 33] = 'x';
  CHECK(said(without_zero) == none);
}

TEST_CASE("a certificate of another key, or for somebody else, is refused") {
  CHECK(said(certificate_input(make())) == none);
  auto good = certificate_input(own());
  CHECK(said(good + "x") == none);
  CHECK(said(good.substr(0, good.size() - 1)) == none);
  auto renamed = good; // the subject comes after the issuer
  renamed[renamed.rfind("jlr.com/vin/1234")] = 'x';
  CHECK(said(renamed) == none);
  for (size_t i = 0; i < 12; ++i) { // damaged heads
    auto damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x81);
    (void)said(damaged);
  }
  for (size_t i = 0; i < good.size(); ++i)
    CHECK(said(good.substr(0, i)) == none);
}

TEST_CASE("a JWS that is for no purpose of this key is refused") {
  for (auto type : {"rvi-cred+jwt", "rvi-crl+jwt", "rvi-bundle+jwt", "rvi-key+jwt", "JWT", ""})
    CHECK_MESSAGE(said(jws_input(own(), type)) == none, type);
  CHECK(said(jws_input(make())) == none);
  CHECK(said(jws_input(make(crypto::algorithm::es256))) == none);
  CHECK(said(jws_input(own()) + ".x") == none);
  CHECK(said(jws_input(own()) + "=") == none);
  auto text = jws_input(own());
  CHECK(said(text.substr(0, text.find('.'))) == none);
}
