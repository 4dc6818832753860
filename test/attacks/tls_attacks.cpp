// SPDX-License-Identifier: MPL-2.0
//
// Strangers on the port where peers connect, with OpenSSL and nothing of ours: older protocols, no
// certificate, keys of other kinds. None of them gets far enough to cost a signature check.

#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

using namespace rvi;
using namespace rvi::test;

namespace {

template <class T, void (*Free)(T*)>
struct freed {
  void operator()(T* x) const { Free(x); }
};
using context_ptr = std::unique_ptr<SSL_CTX, freed<SSL_CTX, SSL_CTX_free>>;
using ssl_ptr = std::unique_ptr<SSL, freed<SSL, SSL_free>>;
using key_ptr = std::unique_ptr<EVP_PKEY, freed<EVP_PKEY, EVP_PKEY_free>>;
using certificate_ptr = std::unique_ptr<X509, freed<X509, X509_free>>;

certificate_ptr self_signed(EVP_PKEY* key) {
  certificate_ptr x{X509_new()};
  X509_set_version(x.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(x.get()), -3'600);
  X509_gmtime_adj(X509_getm_notAfter(x.get()), 3'600);
  X509_set_pubkey(x.get(), key);
  auto name = X509_get_subject_name(x.get());
  auto text = reinterpret_cast<const unsigned char*>("stranger");
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0);
  X509_set_issuer_name(x.get(), name);
  auto id = EVP_PKEY_id(key);
  X509_sign(x.get(), key, id == EVP_PKEY_ED25519 ? nullptr : EVP_sha256());
  return x;
}

struct fixture : attack {
  fixture() {
    signatures_max = 0;
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  }

  void show(const key_ptr& key) {
    auto certificate = self_signed(key.get());
    REQUIRE(SSL_CTX_use_certificate(context.get(), certificate.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1);
  }

  /// Connects, writes and reads; the alert with which the node ended it (RFC 8446 6), 0 if it did
  /// not.
  int alert() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(at.cloud_port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    timeval patience{20, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    ssl_ptr ssl{SSL_new(context.get())};
    SSL_set_fd(ssl.get(), fd);
    int result = 0;
    SSL_set_msg_callback(ssl.get(), note_alert);
    SSL_set_msg_callback_arg(ssl.get(), &result);
    ERR_clear_error();
    if (SSL_connect(ssl.get()) == 1) {
      char byte = 0; // TLS 1.3: the server's judgement comes after the client is done
      CHECK(SSL_read(ssl.get(), &byte, 1) <= 0);
    }
    ssl.reset();
    ::close(fd);
    return result;
  }

  static void note_alert(int sent, int, int type, const void* bytes, size_t size, SSL*, void* to) {
    auto x = static_cast<const unsigned char*>(bytes);
    if (sent == 0 && type == SSL3_RT_ALERT && size == 2 && x[0] == SSL3_AL_FATAL)
      *static_cast<int*>(to) = x[1];
  }

  context_ptr context{SSL_CTX_new(TLS_client_method())};
};

key_ptr new_key(int id) {
  EVP_PKEY* result = nullptr;
  auto how = EVP_PKEY_CTX_new_id(id, nullptr);
  EVP_PKEY_keygen_init(how);
  if (id == EVP_PKEY_RSA)
    EVP_PKEY_CTX_set_rsa_keygen_bits(how, 2'048);
  EVP_PKEY_keygen(how, &result);
  EVP_PKEY_CTX_free(how);
  return key_ptr{result};
}

} // namespace

TEST_SUITE_BEGIN("attacks: TLS" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a client that speaks TLS 1.2 at most is turned away") {
  show(new_key(EVP_PKEY_ED25519));
  SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
  CHECK(alert() == SSL_AD_PROTOCOL_VERSION);
}

TEST_CASE_FIXTURE(fixture, "a client without a certificate is turned away") {
  CHECK(alert() == SSL_AD_CERTIFICATE_REQUIRED);
}

TEST_CASE_FIXTURE(fixture, "a certificate with an RSA key is turned away") {
  show(new_key(EVP_PKEY_RSA));
  CHECK(alert() != 0);
}

TEST_CASE_FIXTURE(fixture, "a certificate with a key of another curve is turned away") {
  key_ptr key{EVP_EC_gen("P-384")};
  show(key);
  CHECK(alert() != 0);
}

TEST_CASE_FIXTURE(fixture, "a second certificate in the chain is turned away") {
  show(new_key(EVP_PKEY_ED25519));
  auto other = new_key(EVP_PKEY_ED25519);
  SSL_CTX_add_extra_chain_cert(context.get(), self_signed(other.get()).release());
  CHECK(alert() != 0);
}

TEST_CASE_FIXTURE(fixture, "HTTP on the port for peers gets no answer") {
  hostile_peer peer{at.cloud_port};
  peer.send_raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  auto said = peer.read_raw_until_end();
  CHECK(said.find("still open") == said.npos);
  CHECK(said.find("HTTP") == said.npos);
}

TEST_CASE_FIXTURE(fixture, "the reference implementation's authorization in plain gets no answer") {
  hostile_peer peer{at.cloud_port};
  peer.send_raw(R"({"cmd":"au","tid":1,"ver":"1.0","addr":"127.0.0.1","port":8807,"creds":[]})");
  peer.send_raw(R"({"cmd":"sa","stat":"av","svcs":["jlr.com/cloud/media_server"]})");
  auto said = peer.read_raw_until_end();
  CHECK(said.find("still open") == said.npos);
  CHECK(said.find("cmd") == said.npos);
}

TEST_CASE_FIXTURE(fixture, "ciphertext replayed on a new connection is worth nothing") {
  // A recorded ClientHello of a good peer, and what it sent after it.
  tls::identity good{*attacker.key.self_signed_certificate("hostile", wall_ms() / 1'000, 30),
                     attacker.key.to_pem()};
  auto own = tls::context::make(good);
  REQUIRE(own);
  tls::session recorded{*own, tls::side::client};
  REQUIRE(!recorded.start());
  auto hello = recorded.take_output();
  for (int i = 0; i < 2; ++i) {
    hostile_peer peer{at.cloud_port};
    peer.send_raw(hello);
    peer.send_raw(std::string{"\x17\x03\x03\x00\x20", 5} + crypto::random_bytes(32));
    auto said = peer.read_raw_until_end();
    CHECK(said.find("still open") == said.npos);
  }
}

TEST_SUITE_END();
