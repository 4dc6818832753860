// SPDX-License-Identifier: MPL-2.0
//
// Two sessions that talk in memory, and peers that break the rules.

#include "runtime/tls/sha1.hpp"
#include "runtime/tls/tls.hpp"
#include "test/unit/tls/openssl_peer.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <fstream>
#include <random>
#include <unistd.h>

using namespace rvi;
using namespace rvi::test;

namespace {

std::shared_ptr<tls::context> make_context(const tls::identity& id, const tls::options& opts = {}) {
  auto result = tls::context::make(id, opts);
  REQUIRE(result);
  return *result;
}

/// A client and a server with a wire between them that delivers pieces of a given size.
struct connection {
  tls::session client;
  tls::session server;
  size_t piece = SIZE_MAX;
  std::string client_received;
  std::string server_received;
  caf::error client_failure;
  caf::error server_failure;

  connection(const std::shared_ptr<tls::context>& from, const std::shared_ptr<tls::context>& to,
             const std::string& peer_key = "")
    : client{from, tls::side::client, peer_key},
      server{to, tls::side::server} {}

  void carry(const std::string& bytes, tls::session& to, std::string& plaintext,
             caf::error& failure) const {
    for (size_t i = 0; i < bytes.size() && !failure; i += std::min(piece, bytes.size() - i))
      failure = to.receive(std::string_view{bytes}.substr(i, piece), plaintext);
  }

  void settle() {
    while (client.has_output() || server.has_output()) {
      carry(client.take_output(), server, server_received, server_failure);
      carry(server.take_output(), client, client_received, client_failure);
    }
  }

  bool shake_hands() {
    CHECK(!client.start());
    settle();
    return client.established() && server.established();
  }
};

struct fixture {
  tls::identity client_identity = make_identity(key_kind::ed25519, "client");
  tls::identity server_identity = make_identity(key_kind::p256, "server");
  std::shared_ptr<tls::context> client_context = make_context(client_identity);
  std::shared_ptr<tls::context> server_context = make_context(server_identity);

  connection connect(const std::string& peer_key = "") {
    return {client_context, server_context, peer_key};
  }

  /// Runs a client of OpenSSL against our server and returns the server's error.
  caf::error serve(openssl_client& client, tls::session& server) {
    std::string plaintext;
    auto bytes = client.exchange("");
    for (int round = 0; round < 5 && !bytes.empty(); ++round) {
      if (auto failure = server.receive(bytes, plaintext))
        return failure;
      bytes = client.exchange(server.take_output());
    }
    return {};
  }
};

std::string pattern(size_t n) {
  std::mt19937_64 rng{n};
  std::string result(n, '\0');
  for (auto& x : result)
    x = static_cast<char>(rng());
  return result;
}

} // namespace

TEST_CASE_FIXTURE(fixture, "both sides learn the peer's key and derive the same material") {
  auto x = connect();
  CHECK(!x.client.established());
  REQUIRE(x.shake_hands());
  CHECK(x.client.peer_certificate() == server_identity.certificate_der);
  CHECK(x.server.peer_certificate() == client_identity.certificate_der);
  CHECK(!x.client.resumed());
  auto one = x.client.exporter("EXPORTER-rvi-2", "", 32);
  auto other = x.server.exporter("EXPORTER-rvi-2", "", 32);
  REQUIRE(one);
  REQUIRE(other);
  CHECK(one->size() == 32);
  CHECK(*one == *other);
  CHECK(*x.client.exporter("EXPORTER-else", "", 32) != *one);
  CHECK(*x.client.exporter("EXPORTER-rvi-2", "x", 32) != *one);
  auto y = connect();
  REQUIRE(y.shake_hands());
  CHECK(*y.client.exporter("EXPORTER-rvi-2", "", 32) != *one);
}

TEST_CASE("the key of the certificate is the key reported") {
  for (auto kind : {key_kind::ed25519, key_kind::p256}) {
    auto key = make_key(kind);
    auto ctx = make_context({make_certificate(key, "x", key, "x", false), key.pem});
    connection x{ctx, ctx};
    CHECK(x.client.peer_spki().empty());
    REQUIRE(x.shake_hands());
    CHECK(x.client.peer_spki() == key.spki);
    CHECK(x.server.peer_spki() == key.spki);
  }
}

TEST_CASE_FIXTURE(fixture, "bytes one at a time give the same as bytes in one piece") {
  auto x = connect();
  x.piece = 1;
  REQUIRE(x.shake_hands());
  CHECK(!x.client.send("from the client"));
  CHECK(!x.server.send("from the server"));
  x.settle();
  CHECK(x.server_received == "from the client");
  CHECK(x.client_received == "from the server");
  CHECK(!x.client_failure);
  CHECK(!x.server_failure);
}

TEST_CASE_FIXTURE(fixture, "five megabytes in odd chunks arrive as they were") {
  auto x = connect();
  REQUIRE(x.shake_hands());
  auto sent = pattern(5'000'003);
  x.piece = 7'919;
  size_t chunk = 1;
  for (size_t i = 0; i < sent.size(); i += chunk, chunk = chunk * 3 % 100'003)
    REQUIRE(!x.client.send(std::string_view{sent}.substr(i, chunk)));
  x.settle();
  CHECK(x.server_received == sent);
  x.server_received.clear();
  REQUIRE(!x.client.send(sent));
  std::vector<char> buffer{'!'};
  x.client.take_output(buffer);
  CHECK(!x.client.has_output());
  CHECK(buffer[0] == '!');
  x.carry({buffer.data() + 1, buffer.size() - 1}, x.server, x.server_received, x.server_failure);
  CHECK(x.server_received == sent);
}

TEST_CASE_FIXTURE(fixture, "one send is one record if it fits") {
  auto x = connect();
  REQUIRE(x.shake_hands());
  REQUIRE(!x.client.send(std::string(16384, 'x')));
  CHECK(x.client.pending_output() == 16384 + 22);
}

TEST_CASE_FIXTURE(fixture, "nothing can be sent before the handshake is done or after the end") {
  auto x = connect();
  CHECK(code_of(x.client.send("early")) == ec::link_down);
  CHECK(!x.client.exporter("EXPORTER-rvi-2", "", 32));
  REQUIRE(x.shake_hands());
  x.client.close();
  CHECK(x.client.closed());
  CHECK(code_of(x.client.send("late")) == ec::link_down);
}

TEST_CASE_FIXTURE(fixture, "output has a bound") {
  tls::options opts;
  opts.pending_output_max = 40'000;
  client_context = make_context(client_identity, opts);
  auto x = connect();
  REQUIRE(x.shake_hands());
  auto fits = 40'000 - 3 * 22;
  REQUIRE(!x.client.send(std::string(fits, 'x')));
  CHECK(code_of(x.client.send("x")) == ec::limit_exceeded);
  x.settle();
  CHECK(x.server_received.size() == fits);
  CHECK(code_of(x.client.send(std::string(fits + 1, 'x'))) == ec::limit_exceeded);
  CHECK(!x.client.send("x"));
  x.settle();
  CHECK(x.server_received.size() == fits + 1);
}

TEST_CASE_FIXTURE(fixture, "close_notify ends both sides and keeps what came before it") {
  auto x = connect();
  REQUIRE(x.shake_hands());
  CHECK(!x.client.send("last words"));
  x.client.close();
  x.settle();
  CHECK(x.server_received == "last words");
  CHECK(code_of(x.server_failure) == ec::link_down);
  CHECK(x.server.closed());
  std::string more;
  CHECK(code_of(x.server.receive("x", more)) == ec::link_down);
}

TEST_CASE_FIXTURE(fixture, "a record that is cut short is dropped with the transport") {
  auto x = connect();
  REQUIRE(x.shake_hands());
  CHECK(!x.client.send("whole"));
  CHECK(!x.client.send("partial"));
  auto bytes = x.client.take_output();
  x.carry(bytes.substr(0, bytes.size() - 1), x.server, x.server_received, x.server_failure);
  CHECK(!x.server_failure);
  CHECK(x.server_received == "whole");
  x.server.transport_closed();
  CHECK(x.server.closed());
  CHECK(code_of(x.server.send("x")) == ec::link_down);
  x.carry(bytes.substr(bytes.size() - 1), x.server, x.server_received, x.server_failure);
  CHECK(code_of(x.server_failure) == ec::link_down);
  CHECK(x.server_received == "whole");
}

TEST_CASE_FIXTURE(fixture, "one flipped bit ends the session") {
  for (size_t at : {size_t{0}, size_t{3}, size_t{5}, size_t{20}}) {
    auto x = connect();
    REQUIRE(x.shake_hands());
    CHECK(!x.client.send("some text"));
    auto bytes = x.client.take_output();
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    x.carry(bytes, x.server, x.server_received, x.server_failure);
    x.carry("more", x.server, x.server_received, x.server_failure);
    if (at == 3) { // the record's length: the rest of it never comes
      CHECK(!x.server_failure);
    } else {
      CHECK(code_of(x.server_failure) == ec::malformed);
      CHECK(x.server.closed());
      CHECK(x.server.has_output());
    }
    CHECK(x.server_received.empty());
  }
}

TEST_CASE_FIXTURE(fixture, "one flipped bit anywhere in the handshake fails it") {
  auto y = connect();
  CHECK(!y.client.start());
  auto size = y.client.take_output().size();
  for (size_t at = 0; at < size; at += 7) {
    auto x = connect();
    CHECK(!x.client.start());
    auto hello = x.client.take_output();
    hello[at] = static_cast<char>(hello[at] ^ 4);
    x.carry(hello, x.server, x.server_received, x.server_failure);
    x.settle();
    CHECK(!x.server.established());
  }
}

TEST_CASE_FIXTURE(fixture, "bytes that are not TLS give an error and not more") {
  for (std::string bytes : {std::string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n"}, std::string(64, '\0'),
                            pattern(300), "\x16\x03\x01" + pattern(2000)}) {
    tls::session server{server_context, tls::side::server};
    std::string plaintext;
    auto failure = server.receive(bytes, plaintext);
    CHECK(code_of(failure) == ec::malformed);
    CHECK(server.closed());
    CHECK(plaintext.empty());
  }
}

TEST_CASE_FIXTURE(fixture, "random bytes never do harm to either side") {
  std::mt19937_64 rng{1};
  for (int i = 0; i < 300; ++i) {
    auto bytes = pattern(rng() % 3000 + 1);
    if (i % 2) // a plausible record header
      bytes.replace(0, 1, std::string{"\x16\x03\x03\x00", 4});
    tls::session x{server_context, i % 3 ? tls::side::server : tls::side::client};
    CHECK(!x.start());
    std::string plaintext;
    x.receive(bytes, plaintext);
    x.receive(bytes, plaintext);
    CHECK(plaintext.empty());
    CHECK(!x.established());
  }
}

TEST_CASE_FIXTURE(fixture, "a handshake over its bound is refused") {
  tls::session server{server_context, tls::side::server};
  std::string plaintext;
  caf::error failure;
  // A ClientHello of 64 KiB, cut into records of one byte.
  std::string message{"\x01\x01\x00\x00", 4};
  message.append(65'536, 'x');
  size_t sent = 0;
  for (size_t i = 0; i < message.size() && !failure; ++i, sent += 6)
    failure = server.receive(std::string{"\x16\x03\x01\x00\x01", 5} + message[i], plaintext);
  CHECK(code_of(failure) == ec::limit_exceeded);
  CHECK(sent <= 65'536 + 6);
}

TEST_CASE_FIXTURE(fixture, "records without content do not go on for ever") {
  tls::session server{server_context, tls::side::server};
  std::string plaintext;
  auto x = connect();
  CHECK(!x.client.start());
  CHECK(!server.receive(x.client.take_output(), plaintext));
  caf::error failure;
  for (int i = 0; i < 100 && !failure; ++i)
    failure = server.receive(std::string_view{"\x14\x03\x03\x00\x01\x01", 6}, plaintext);
  CHECK(code_of(failure) == ec::malformed);
}

TEST_CASE_FIXTURE(fixture, "a client without a certificate is refused") {
  openssl_client client{{}};
  tls::session server{server_context, tls::side::server};
  CHECK(code_of(serve(client, server)) == ec::unauthenticated);
  CHECK(!server.established());
  CHECK(server.has_output()); // the alert
}

TEST_CASE_FIXTURE(fixture, "a client that speaks TLS 1.2 alone is refused") {
  openssl_client client{{{client_identity.certificate_der}, client_identity.private_key_pem, true}};
  tls::session server{server_context, tls::side::server};
  CHECK(code_of(serve(client, server)) == ec::protocol_mismatch);
}

TEST_CASE_FIXTURE(fixture, "a client with exactly one certificate is served") {
  openssl_client client{{{client_identity.certificate_der}, client_identity.private_key_pem}};
  tls::session server{server_context, tls::side::server};
  CHECK(!serve(client, server));
  CHECK(server.established());
}

TEST_CASE_FIXTURE(fixture, "a client with a chain of two certificates is refused") {
  auto key = make_key(key_kind::ed25519);
  auto authority = make_key(key_kind::ed25519);
  auto leaf = make_certificate(key, "leaf", authority, "ca", false);
  auto root = make_certificate(authority, "ca", authority, "ca", true);
  openssl_client client{{{leaf, root}, key.pem}};
  tls::session server{server_context, tls::side::server};
  CHECK(code_of(serve(client, server)) == ec::unauthenticated);
  CHECK(!server.established());
}

TEST_CASE_FIXTURE(fixture, "a client with a key of another kind is refused") {
  auto id = make_identity(key_kind::p384);
  openssl_client client{{{id.certificate_der}, id.private_key_pem}};
  tls::session server{server_context, tls::side::server};
  CHECK(serve(client, server));
  CHECK(!server.established());
}

TEST_CASE("dates of certificates do not count") {
  auto key = make_key(key_kind::ed25519);
  auto ctx = make_context({make_certificate(key, "x", key, "x", false, true), key.pem});
  connection x{ctx, ctx};
  CHECK(x.shake_hands());
}

TEST_CASE("a CA file pins the issuer and nothing is sent along") {
  auto authority = make_key(key_kind::p256);
  auto root = make_certificate(authority, "ca", authority, "ca", true);
  char path[] = "/tmp/rvi-tls-test-XXXXXX";
  auto fd = mkstemp(path);
  REQUIRE(fd >= 0);
  ::close(fd);
  std::ofstream{path} << certificate_pem(root);
  auto key = make_key(key_kind::ed25519);
  tls::identity issued{make_certificate(key, "leaf", authority, "ca", false, true), key.pem};
  tls::options pinned;
  pinned.ca_file = path;
  auto server = make_context(issued, pinned);
  connection good{make_context(issued, pinned), server};
  CHECK(good.shake_hands());
  connection foreign{make_context(make_identity(key_kind::ed25519, "leaf")), server};
  CHECK(!foreign.shake_hands());
  CHECK(code_of(foreign.server_failure) == ec::unauthenticated);
  CHECK(code_of(foreign.client_failure) == ec::unauthenticated);
  std::remove(path);
  CHECK(code_of(tls::context::make(issued, pinned).error()) == ec::config_invalid);
}

TEST_CASE_FIXTURE(fixture, "an identity that does not fit together is refused") {
  auto refused = [](const tls::identity& id) { return code_of(tls::context::make(id).error()); };
  auto& x = client_identity;
  CHECK(refused({x.certificate_der, server_identity.private_key_pem}) == ec::config_invalid);
  CHECK(refused({x.certificate_der + "x", x.private_key_pem}) == ec::config_invalid);
  CHECK(refused({"", x.private_key_pem}) == ec::config_invalid);
  CHECK(refused({x.certificate_der, ""}) == ec::config_invalid);
  CHECK(refused(make_identity(key_kind::p384)) == ec::config_invalid);
}

TEST_CASE_FIXTURE(fixture, "a second connection resumes and still knows the peer") {
  auto first = connect("server:8810");
  REQUIRE(first.shake_hands());
  CHECK(!first.server.resumed());
  auto second = connect("server:8810");
  REQUIRE(second.shake_hands());
  CHECK(second.client.resumed());
  CHECK(second.server.resumed());
  CHECK(second.client.peer_spki() == first.client.peer_spki());
  CHECK(second.server.peer_spki() == first.server.peer_spki());
  CHECK(second.server.peer_certificate() == client_identity.certificate_der);
  CHECK(*second.client.exporter("EXPORTER-rvi-2", "", 32)
        == *second.server.exporter("EXPORTER-rvi-2", "", 32));
  CHECK(*second.client.exporter("EXPORTER-rvi-2", "", 32)
        != *first.client.exporter("EXPORTER-rvi-2", "", 32));
  auto third = connect("server:8810"); // with the ticket of the second
  REQUIRE(third.shake_hands());
  CHECK(third.server.resumed());
}

TEST_CASE_FIXTURE(fixture, "a link that broke without close_notify can be resumed") {
  {
    auto first = connect("x");
    REQUIRE(first.shake_hands());
    first.client.transport_closed();
    first.server.transport_closed();
  }
  auto second = connect("x");
  REQUIRE(second.shake_hands());
  CHECK(second.server.resumed());
}

TEST_CASE_FIXTURE(fixture, "who is turned away before the server answers keeps its ticket") {
  auto first = connect("x");
  REQUIRE(first.shake_hands());
  auto refused = [this] {
    auto second = connect("x");
    CHECK(!second.client.start());
    second.client.transport_closed();
  };
  refused();
  refused();
  auto third = connect("x");
  REQUIRE(third.shake_hands());
  CHECK(third.server.resumed());
  client_context->flush_sessions();
  refused();
  auto fourth = connect("x");
  REQUIRE(fourth.shake_hands());
  CHECK(!fourth.server.resumed());
}

TEST_CASE_FIXTURE(fixture, "a ticket that was taken before a flush does not come back") {
  auto first = connect("x");
  REQUIRE(first.shake_hands());
  {
    auto second = connect("x");
    CHECK(!second.client.start());
    client_context->flush_sessions();
    second.client.transport_closed();
  }
  auto third = connect("x");
  REQUIRE(third.shake_hands());
  CHECK(!third.server.resumed());
}

TEST_CASE_FIXTURE(fixture, "tickets belong to the address they came from") {
  auto first = connect("x");
  REQUIRE(first.shake_hands());
  auto other = connect("y");
  REQUIRE(other.shake_hands());
  CHECK(!other.client.resumed());
  auto none = connect();
  REQUIRE(none.shake_hands());
  CHECK(!none.client.resumed());
}

TEST_CASE_FIXTURE(fixture, "a server that flushes its sessions asks for the certificate again") {
  auto first = connect("x");
  REQUIRE(first.shake_hands());
  server_context->flush_sessions();
  auto second = connect("x");
  REQUIRE(second.shake_hands());
  CHECK(!second.client.resumed());
  CHECK(!second.server.resumed());
  CHECK(second.server.peer_certificate() == client_identity.certificate_der);
  auto third = connect("x");
  REQUIRE(third.shake_hands());
  CHECK(third.server.resumed());
}

TEST_CASE_FIXTURE(fixture, "a client that flushes its sessions forgets tickets, late ones too") {
  auto first = connect("x");
  REQUIRE(first.shake_hands());
  client_context->flush_sessions();
  auto second = connect("x");
  CHECK(!second.client.start());
  client_context->flush_sessions(); // before the ticket of this session arrives
  second.settle();
  REQUIRE(second.server.established());
  CHECK(!second.server.resumed());
  auto third = connect("x");
  REQUIRE(third.shake_hands());
  CHECK(!third.server.resumed());
}

TEST_CASE_FIXTURE(fixture, "a ticket of another server or of an older context is useless") {
  auto first = connect("x");
  REQUIRE(first.shake_hands());
  server_context = make_context(server_identity); // reloaded
  auto second = connect("x");
  REQUIRE(second.shake_hands());
  CHECK(!second.server.resumed());
}

TEST_CASE_FIXTURE(fixture, "without tickets every handshake is a full one") {
  tls::options opts;
  opts.session_tickets = false;
  server_context = make_context(server_identity, opts);
  auto first = connect("x");
  REQUIRE(first.shake_hands());
  auto second = connect("x");
  REQUIRE(second.shake_hands());
  CHECK(!second.server.resumed());
}

TEST_CASE_FIXTURE(fixture, "a session outlives the context it began with") {
  auto x = connect();
  REQUIRE(x.shake_hands());
  client_context = nullptr;
  server_context = nullptr;
  auto moved = std::move(x.client);
  CHECK(!moved.send("still here"));
  x.carry(moved.take_output(), x.server, x.server_received, x.server_failure);
  CHECK(x.server_received == "still here");
}

TEST_CASE("SHA-1 of the example of RFC 6455") {
  auto digest = tls::sha1("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  CHECK(digest
        == "\xb3\x7a\x4f\x2c\xc0\x62\x4f\x16\x90\xf6\x46\x06\xcf\x38\x59\x45\xb2\xbe\xc4\xea");
}
