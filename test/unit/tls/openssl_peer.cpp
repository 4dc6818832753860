// SPDX-License-Identifier: MPL-2.0
//
// The test peer, by OpenSSL's plainest calls.

#include "test/unit/tls/openssl_peer.hpp"

#include <doctest/doctest.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace rvi::test {

namespace {

std::string text_of(BIO* bio) {
  char* at = nullptr;
  auto n = BIO_get_mem_data(bio, &at);
  return {at, static_cast<size_t>(n)};
}

EVP_PKEY* parse_key(const std::string& pem) {
  auto* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  auto* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  REQUIRE(key != nullptr);
  return key;
}

X509* parse_certificate(const std::string& der) {
  auto* at = reinterpret_cast<const unsigned char*>(der.data());
  auto* result = d2i_X509(nullptr, &at, static_cast<long>(der.size()));
  REQUIRE(result != nullptr);
  return result;
}

template <class T, class Encode>
std::string der_of(T* x, Encode encode) {
  unsigned char* der = nullptr;
  auto n = encode(x, &der);
  REQUIRE(n > 0);
  std::string result(reinterpret_cast<char*>(der), static_cast<size_t>(n));
  OPENSSL_free(der);
  return result;
}

void set_name(X509_NAME* name, const std::string& common) {
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common.data()),
                             static_cast<int>(common.size()), -1, 0);
}

} // namespace

test_key make_key(key_kind kind) {
  auto* key = kind == key_kind::ed25519 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                                        : EVP_EC_gen(kind == key_kind::p256 ? "P-256" : "P-384");
  REQUIRE(key != nullptr);
  auto* bio = BIO_new(BIO_s_mem());
  REQUIRE(PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  test_key result{text_of(bio),
                  der_of(key, [](auto* x, auto** out) { return i2d_PUBKEY(x, out); })};
  BIO_free(bio);
  EVP_PKEY_free(key);
  return result;
}

std::string
make_certificate(const test_key& key, const std::string& name, const test_key& issuer_key,
                 const std::string& issuer, bool authority, bool expired) {
  constexpr long day = 24 * 3600;
  auto* subject_key = parse_key(key.pem);
  auto* signing_key = parse_key(issuer_key.pem);
  auto* x = X509_new();
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  set_name(X509_get_subject_name(x), name);
  set_name(X509_get_issuer_name(x), issuer);
  X509_gmtime_adj(X509_getm_notBefore(x), -400 * day);
  X509_gmtime_adj(X509_getm_notAfter(x), expired ? -365 * day : 365 * day);
  X509_set_pubkey(x, subject_key);
  auto* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints,
                                        authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  X509_add_ext(x, extension, -1);
  X509_EXTENSION_free(extension);
  REQUIRE(X509_sign(x, signing_key, EVP_PKEY_is_a(signing_key, "ED25519") ? nullptr : EVP_sha256())
          > 0);
  auto result = der_of(x, [](auto* y, auto** out) { return i2d_X509(y, out); });
  X509_free(x);
  EVP_PKEY_free(subject_key);
  EVP_PKEY_free(signing_key);
  return result;
}

tls::identity make_identity(key_kind kind, const std::string& name) {
  auto key = make_key(kind);
  return {make_certificate(key, name, key, name, false), key.pem};
}

std::string certificate_pem(const std::string& der) {
  auto* x = parse_certificate(der);
  auto* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, x);
  auto result = text_of(bio);
  BIO_free(bio);
  X509_free(x);
  return result;
}

struct openssl_client::state {
  SSL_CTX* ctx = SSL_CTX_new(TLS_client_method());
  SSL* ssl = nullptr;
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  ~state() {
    SSL_free(ssl);
    SSL_CTX_free(ctx);
  }
};

openssl_client::openssl_client(const config& cfg) : state_{std::make_unique<state>()} {
  auto* ctx = state_->ctx;
  if (cfg.tls_1_2_only)
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
  for (size_t i = 0; i < cfg.certificates.size(); ++i) {
    auto* x = parse_certificate(cfg.certificates[i]);
    REQUIRE((i == 0 ? SSL_CTX_use_certificate(ctx, x) : SSL_CTX_add1_chain_cert(ctx, x)) == 1);
    X509_free(x);
  }
  if (!cfg.key_pem.empty()) {
    auto* key = parse_key(cfg.key_pem);
    REQUIRE(SSL_CTX_use_PrivateKey(ctx, key) == 1);
    EVP_PKEY_free(key);
  }
  state_->ssl = SSL_new(ctx);
  SSL_set_bio(state_->ssl, state_->in, state_->out);
  SSL_set_connect_state(state_->ssl);
}

openssl_client::~openssl_client() = default;

std::string openssl_client::exchange(std::string_view from_server) {
  BIO_write(state_->in, from_server.data(), static_cast<int>(from_server.size()));
  SSL_do_handshake(state_->ssl);
  auto result = text_of(state_->out);
  BIO_reset(state_->out);
  return result;
}

} // namespace rvi::test
