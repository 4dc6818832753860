// SPDX-License-Identifier: MPL-2.0
//
// Private keys in PEM and in files, and the certificate that shows a key in TLS.

#include "keys.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace rvi;
using namespace rvi::crypto;
using namespace rvi::crypto::test;

namespace {

/// A folder that goes away with the test.
struct folder {
  folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "rvi-keys-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~folder() { std::filesystem::remove_all(path); }
  std::string file(const char* name) const { return path + "/" + name; }
  std::string path;
};

void write_file(const std::string& path, std::string_view text, mode_t mode) {
  std::ofstream{path} << text;
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

ec code_of_load(const std::string& path) {
  auto result = load_private_key(path);
  return result ? ec::none : code_of(result.error());
}

template <class T, void (*Free)(T*)>
struct freed {
  void operator()(T* x) const { Free(x); }
};
using certificate = std::unique_ptr<X509, freed<X509, X509_free>>;
using openssl_key = std::unique_ptr<EVP_PKEY, freed<EVP_PKEY, EVP_PKEY_free>>;
using tls_context = std::unique_ptr<SSL_CTX, freed<SSL_CTX, SSL_CTX_free>>;

certificate parse(const std::string& der) {
  auto* begin = reinterpret_cast<const unsigned char*>(der.data());
  auto* at = begin;
  certificate result{d2i_X509(nullptr, &at, long(der.size()))};
  REQUIRE(result);
  CHECK(at == begin + der.size());
  return result;
}

openssl_key parse_pem(const std::string& pem) {
  std::unique_ptr<BIO, freed<BIO, BIO_free_all>> bio{BIO_new_mem_buf(pem.data(), int(pem.size()))};
  return openssl_key{PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr)};
}

std::string spki_of(X509* x) {
  unsigned char* der = nullptr;
  auto size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
  std::string result{reinterpret_cast<char*>(der), size_t(size)};
  OPENSSL_free(der);
  return result;
}

time_t seconds(const ASN1_TIME* x) {
  tm calendar{};
  REQUIRE(ASN1_TIME_to_tm(x, &calendar) == 1);
  return timegm(&calendar);
}

} // namespace

TEST_CASE("keys made by openssl load with the right public part") {
  CHECK(hex(ed25519_key().public_part().spki()) == ed25519_spki);
  CHECK(hex(p256_key().public_part().spki()) == p256_spki);
}

TEST_CASE("PEM goes there and back, and openssl reads it") {
  for (auto kind : {algorithm::ed25519, algorithm::es256}) {
    auto key = private_key::generate(kind);
    REQUIRE(key);
    CHECK(key->public_part().algorithm() == kind);
    auto pem = key->to_pem();
    CHECK(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    auto again = private_key::from_pem(pem);
    REQUIRE(again);
    CHECK(again->public_part().spki() == key->public_part().spki());
    CHECK(key->public_part().verify("x", *again->sign("x")));
    CHECK(parse_pem(pem));
  }
}

TEST_CASE("a PEM of another kind is refused") {
  auto p384 = "-----BEGIN PRIVATE KEY-----\n"
              "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDCk7ToKyfivR3KOve+j\n"
              "QlEWiDAs2jcjgZxLrPLSzVLsC2lmOfe+woYpoAWXZs1Fuy+hZANiAAT0QuNv95Te\n"
              "59z7tqMP6avz6VITn7eIe9Z6aAiQuOwtnOKlAtTbM3F7aH+l0Gl2EpT7bBEzQXeh\n"
              "ckhcryj1lwGBl7ehyV71L/Z8G1GHcj8VGYNR1jhz9ww0uZm1MGKjLrs=\n"
              "-----END PRIVATE KEY-----\n";
  auto sec1 = "-----BEGIN EC PRIVATE KEY-----\n"
              "MHcCAQEEILczM7xx87S9HS1KdUobhlil0/k+LXNxFUrDjnw1jktuoAoGCCqGSM49\n"
              "AwEHoUQDQgAEceNFhzAo2WlO1UjqjpxSUBzajaHg/i7+bAP1uwt+zky6tXuvd8PB\n"
              "LWINmLqUKjRyTGh31UFJAmtfkKecuibb2A==\n"
              "-----END EC PRIVATE KEY-----\n";
  std::string cut{ed25519_pem};
  cut.resize(60);
  for (std::string x :
       {std::string{p384}, std::string{sec1}, std::string{}, std::string{"key"}, cut,
        std::string{"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"}}) {
    auto result = private_key::from_pem(x);
    REQUIRE_MESSAGE(!result, x);
    CHECK(code_of(result.error()) == ec::malformed);
  }
}

TEST_CASE("a P-256 key whose public part does not fit gets its own") {
  // the same secret, another key's point
  std::string der
    = *unbase64("MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgtzMzvHHztL0dLUp1ShuGWK"
                "XT+T4tc3EVSsOOfDWOS26hRANCAARx40WHMCjZaU7VSOqOnFJQHNqNoeD+Lv5sA/W7C37O"
                "TLq1e693w8EtYg2YupQqNHJMaHfVQUkCa1+Qp5y6JtvY");
  auto other = private_key::generate(algorithm::es256);
  der.replace(der.size() - 64, 64, other->public_part().spki().substr(27));
  auto key = private_key::from_pem("-----BEGIN PRIVATE KEY-----\n" + base64(der)
                                   + "\n-----END PRIVATE KEY-----\n");
  REQUIRE(key);
  CHECK(hex(key->public_part().spki()) == p256_spki);
}

TEST_CASE("a saved key loads again and is not replaced") {
  folder dir;
  auto path = dir.file("node.key");
  auto key = ed25519_key();
  REQUIRE(!save_private_key(path, key));
  struct stat status;
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  auto loaded = load_private_key(path);
  REQUIRE(loaded);
  CHECK(loaded->public_part().spki() == key.public_part().spki());
  CHECK(code_of(save_private_key(path, p256_key())) == ec::io_failed);
  CHECK(load_private_key(path)->public_part().spki() == key.public_part().spki());
  CHECK(code_of(save_private_key(dir.file("none/node.key"), key)) == ec::io_failed);
}

TEST_CASE("a key file that others may use is refused, naming the cure") {
  folder dir;
  auto path = dir.file("it's a.key");
  write_file(path, ed25519_pem, 0600);
  CHECK(code_of_load(path) == ec::none);
  for (mode_t mode : {0640, 0620, 0610, 0604, 0602, 0601, 0644, 0666, 0777}) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    auto result = load_private_key(path);
    REQUIRE(!result);
    CHECK(code_of(result.error()) == ec::file_unsafe);
    CHECK(detail_of(result.error()).find("chmod 600 '" + dir.path + "/it'\\''s a.key'")
          != std::string::npos);
  }
  REQUIRE(::chmod(path.c_str(), 0400) == 0);
  CHECK(code_of_load(path) == ec::none);
  if (::geteuid() == 0) { // only root can give a file away
    REQUIRE(::chown(path.c_str(), 12'345, 12'345) == 0);
    auto result = load_private_key(path);
    REQUIRE(!result);
    CHECK(code_of(result.error()) == ec::file_unsafe);
    CHECK(detail_of(result.error()).find("chown 0 '") != std::string::npos);
  }
}

TEST_CASE("what is no key file is refused with its path") {
  folder dir;
  CHECK(code_of_load(dir.file("none")) == ec::io_failed);
  CHECK(code_of_load(dir.path) == ec::io_failed);
  REQUIRE(::mkfifo(dir.file("fifo").c_str(), 0600) == 0);
  CHECK(code_of_load(dir.file("fifo")) == ec::io_failed);
  write_file(dir.file("empty"), "", 0600);
  CHECK(code_of_load(dir.file("empty")) == ec::malformed);
  write_file(dir.file("large"), std::string(1 << 20, 'x'), 0600);
  CHECK(code_of_load(dir.file("large")) == ec::malformed);
  CHECK(detail_of(load_private_key(dir.file("large")).error()).starts_with(dir.file("large")));
}

TEST_CASE("openssl takes the certificate for TLS servers and clients") {
  const uint64_t now_s = 1'700'000'000;
  for (auto& key : {ed25519_key(), p256_key()}) {
    auto x = parse(*key.self_signed_certificate("genivi.org/node/7", now_s, 90));
    auto pair = parse_pem(key.to_pem());
    REQUIRE(pair);
    CHECK(X509_verify(x.get(), pair.get()) == 1);
    CHECK(spki_of(x.get()) == key.public_part().spki());
    CHECK(X509_check_purpose(x.get(), X509_PURPOSE_SSL_SERVER, 0) == 1);
    CHECK(X509_check_purpose(x.get(), X509_PURPOSE_SSL_CLIENT, 0) == 1);
    CHECK(X509_check_ca(x.get()) == 0);
    char name[100] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(x.get()), NID_commonName, name, sizeof(name));
    CHECK(std::string{name} == "genivi.org/node/7");
    CHECK(seconds(X509_get0_notBefore(x.get())) == time_t(now_s - 86'400));
    CHECK(seconds(X509_get0_notAfter(x.get())) == time_t(now_s + 90 * 86'400));
    for (auto* method : {TLS_server_method(), TLS_client_method()}) {
      tls_context context{SSL_CTX_new(method)};
      CHECK(SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) == 1);
      CHECK(SSL_CTX_use_certificate(context.get(), x.get()) == 1);
      CHECK(SSL_CTX_use_PrivateKey(context.get(), pair.get()) == 1);
      CHECK(SSL_CTX_check_private_key(context.get()) == 1);
    }
  }
}

TEST_CASE("a certificate can be made at any time of the clock") {
  auto key = ed25519_key();
  for (uint64_t now_s : {uint64_t{0}, uint64_t{1}, uint64_t{4'000'000'000}, UINT64_MAX})
    for (uint32_t days : {0u, 1u, 36'500u, UINT32_MAX})
      parse(*key.self_signed_certificate("n", now_s, days));
}

TEST_CASE("a certificate takes any name that is UTF-8") {
  auto key = p256_key();
  for (auto name : {"", "n", "a=b,c/d+e\"", "z\xc3\xbcrich"})
    CHECK_MESSAGE(parse(*key.self_signed_certificate(name, 1'700'000'000, 1)), name);
  parse(*key.self_signed_certificate(std::string(1'000, 'n'), 1'700'000'000, 1));
  CHECK(code_of(key.self_signed_certificate("\xff\xfe", 1'700'000'000, 1).error())
        == ec::malformed);
}
