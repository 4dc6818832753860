// SPDX-License-Identifier: MPL-2.0
//
// TLS with keys that OpenSSL never sees.

#include "runtime/tls/tls.hpp"
#include "test/support/distant_key.hpp"
#include "test/unit/tls/openssl_peer.hpp"

#include <doctest/doctest.h>

#include <memory>

using namespace rvi;
using namespace rvi::test;

namespace {

struct side_with_key {
  explicit side_with_key(crypto::algorithm kind)
    : distant(std::make_shared<::test::distant_key>(kind)),
      key(::test::key_at(distant)) {
    auto certificate = key.self_signed_certificate("node", 1'700'000'000, 30);
    REQUIRE(certificate);
    auto made = tls::context::make({*certificate, {}, key});
    REQUIRE_MESSAGE(made, describe(made.error()));
    context = *made;
    distant->asked = 0;
  }

  std::shared_ptr<::test::distant_key> distant;
  crypto::private_key key;
  std::shared_ptr<tls::context> context;
};

struct pair_of_sessions {
  pair_of_sessions(const std::shared_ptr<tls::context>& from,
                   const std::shared_ptr<tls::context>& to, const std::string& name = "")
    : client{from, tls::side::client, name},
      server{to, tls::side::server} {
    client_failure = client.start();
    settle();
  }

  void settle() {
    while (client.has_output() || server.has_output()) {
      if (auto bytes = client.take_output(); !bytes.empty() && !server_failure)
        server_failure = server.receive(bytes, received);
      if (auto bytes = server.take_output(); !bytes.empty() && !client_failure)
        client_failure = client.receive(bytes, received);
    }
  }

  tls::session client;
  tls::session server;
  std::string received;
  caf::error client_failure;
  caf::error server_failure;
};

constexpr auto both_kinds = {crypto::algorithm::ed25519, crypto::algorithm::es256};

} // namespace

TEST_CASE("keys that are elsewhere shake hands with each other and with those of OpenSSL") {
  auto plain_identity = make_identity(key_kind::p256, "plain");
  auto plain = *tls::context::make(plain_identity);
  for (auto kind : both_kinds) {
    side_with_key x{kind};
    side_with_key y{kind};
    pair_of_sessions both{x.context, y.context};
    CHECK(both.client.established());
    CHECK(both.server.established());
    CHECK(both.client.peer_spki() == y.key.public_part().spki());
    CHECK(both.server.peer_spki() == x.key.public_part().spki());
    CHECK(x.distant->asked == 1);
    CHECK(y.distant->asked == 1);
    CHECK(x.distant->last.starts_with(std::string(64, ' ') + "TLS 1.3, client CertificateVerify"));
    CHECK(y.distant->last.starts_with(std::string(64, ' ') + "TLS 1.3, server CertificateVerify"));
    CHECK(*both.client.exporter("EXPORTER-rvi-2", "", 32)
          == *both.server.exporter("EXPORTER-rvi-2", "", 32));
    pair_of_sessions as_client{x.context, plain};
    CHECK(as_client.client.established());
    CHECK(as_client.server.established());
    pair_of_sessions as_server{plain, x.context};
    CHECK(as_server.client.established());
    CHECK(as_server.server.established());
    CHECK(!as_server.client.send("through"));
    as_server.settle();
    CHECK(as_server.received == "through");
  }
}

TEST_CASE("a resumed session asks no key") {
  side_with_key x{crypto::algorithm::es256};
  side_with_key y{crypto::algorithm::ed25519};
  pair_of_sessions first{x.context, y.context, "peer"};
  REQUIRE(first.client.established());
  pair_of_sessions second{x.context, y.context, "peer"};
  CHECK(second.client.resumed());
  CHECK(second.server.resumed());
  CHECK(x.distant->asked == 1);
  CHECK(y.distant->asked == 1);
}

TEST_CASE("a key out of reach ends the handshake with its own words, and that one only") {
  for (auto kind : both_kinds) {
    side_with_key x{kind};
    side_with_key y{kind};
    y.distant->refusal = ec::busy;
    pair_of_sessions refused{x.context, y.context};
    CHECK(!refused.server.established());
    CHECK(code_of(refused.server_failure) == ec::busy);
    CHECK(detail_of(refused.server_failure).find("the key is away") != std::string::npos);
    CHECK(refused.client_failure);
    CHECK(code_of(refused.client_failure) != ec::busy);
    y.distant->refusal = ec::none;
    pair_of_sessions good{x.context, y.context};
    CHECK(good.server.established());
    x.distant->refusal = ec::busy;
    pair_of_sessions turned{x.context, y.context};
    CHECK(!turned.server.established());
    CHECK(code_of(turned.client_failure) == ec::busy);
  }
}

TEST_CASE("a certificate of another key is refused") {
  side_with_key x{crypto::algorithm::es256};
  side_with_key y{crypto::algorithm::es256};
  side_with_key z{crypto::algorithm::ed25519};
  auto certificate = y.key.self_signed_certificate("node", 1'700'000'000, 30);
  for (auto& key : {x.key, z.key}) {
    auto made = tls::context::make({*certificate, {}, key});
    REQUIRE(!made);
    CHECK(code_of(made.error()) == ec::config_invalid);
  }
}
