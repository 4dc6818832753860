// SPDX-License-Identifier: MPL-2.0
//
// A signer and those who ask it, over a real Unix socket.

#include "runtime/crypto/batch_signature.hpp"
#include "runtime/signer/client.hpp"
#include "runtime/signer/frame.hpp"
#include "runtime/signer/server.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace rvi;
using namespace rvi::signer;
using detail::descriptor;

namespace {

using steady = std::chrono::steady_clock;
using namespace std::chrono_literals;

std::string root_input() {
  crypto::batch_root root;
  root.batch_id = std::string(16, 'b');
  root.size = 3;
  root.credential_hash = std::string(32, 'c');
  return crypto::root_signing_input(root, {});
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un result{};
  result.sun_family = AF_UNIX;
  std::memcpy(result.sun_path, path.data(), path.size());
  return result;
}

/// A signer in a thread, which can be ended and started again on the same path.
struct fixture {
  fixture() {
    std::string pattern = "/tmp/rvi-signer-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    folder = pattern;
  }

  ~fixture() {
    stop();
    std::filesystem::remove_all(folder);
  }

  void start() {
    ::unlink(path().c_str());
    listening = descriptor{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    auto address = address_of(path());
    REQUIRE(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listening.get(), 64) == 0);
    stopping = descriptor{::eventfd(0, EFD_CLOEXEC)};
    options.key = key;
    options.listening_fd = listening.get();
    options.stop_fd = stopping.get();
    server = std::thread{[this] { counts = serve(options); }};
  }

  server_counts stop() {
    if (!server.joinable())
      return {};
    uint64_t one = 1;
    REQUIRE(::write(stopping.get(), &one, sizeof one) == sizeof one);
    server.join();
    listening.close();
    REQUIRE(*counts);
    return **counts;
  }

  std::string path() const { return folder + "/signer.sock"; }

  /// Somebody who does not use our client.
  descriptor stranger(bool takes_hello = true) {
    descriptor fd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    auto address = address_of(path());
    REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    if (takes_hello)
      REQUIRE(receive(fd).starts_with("RVI-SIGNER-1"));
    return fd;
  }

  static std::string receive(const descriptor& fd) {
    auto result = detail::receive_packet(fd.get(), 4'096, steady::now() + 5s);
    return result ? *result : "";
  }

  /// The error's code; `none` if it signed.
  static ec ask(const descriptor& fd, purpose what, std::string_view input) {
    REQUIRE(!detail::send_packet(fd.get(), std::string(1, char(what)) + std::string{input}));
    auto answer = detail::signature_in(receive(fd));
    return answer ? ec::none : code_of(answer.error());
  }

  std::string folder;
  crypto::private_key key = *crypto::private_key::generate(crypto::algorithm::es256);
  server_options options{{}, -1, -1, ::geteuid(), 16, 60};
  descriptor listening;
  descriptor stopping;
  std::thread server;
  std::optional<expected<server_counts>> counts;
};

uint64_t drawn(const server_counts& x, purpose what) {
  return x.drawn[static_cast<size_t>(what)];
}

} // namespace

TEST_CASE_FIXTURE(fixture, "a router signs with a key it never has") {
  start();
  auto router = connect(path());
  REQUIRE(router);
  CHECK(router->public_part().spki() == key.public_part().spki());
  REQUIRE(router->external());
  CHECK(router->external()->location() == "signer " + path());
  for (int i = 0; i < 10; ++i) {
    auto signature = router->sign(root_input());
    REQUIRE(signature);
    CHECK(key.public_part().verify(root_input(), *signature));
  }
  auto certificate = router->self_signed_certificate("jlr.com/vin/1234", 1'700'000'000, 30);
  CHECK(certificate);
  auto x = stop();
  CHECK(drawn(x, purpose::batch_root) == 10);
  CHECK(drawn(x, purpose::certificate) == 1);
  CHECK(x.refused == 0);
}

TEST_CASE_FIXTURE(fixture, "what is none of a node's own is not even sent") {
  start();
  auto router = connect(path());
  REQUIRE(router);
  auto refused = router->sign("anything");
  REQUIRE(!refused);
  CHECK(code_of(refused.error()) == ec::bad_request);
  CHECK(stop().refused == 0);
}

TEST_CASE_FIXTURE(fixture, "a signer believes no purpose, but what it sees") {
  start();
  auto peer = stranger();
  CHECK(ask(peer, purpose::batch_root, root_input()) == ec::none);
  CHECK(ask(peer, purpose::authorize, root_input()) == ec::bad_request);
  CHECK(ask(peer, purpose{0}, root_input()) == ec::bad_request);
  CHECK(ask(peer, purpose{99}, root_input()) == ec::bad_request);
  CHECK(ask(peer, purpose::batch_root, root_input().substr(1)) == ec::bad_request);
  CHECK(ask(peer, purpose::batch_root, "") == ec::bad_request);
  auto hash = crypto::sha256("x");
  CHECK(ask(peer, purpose::batch_root, crypto::view(hash)) == ec::bad_request);
  CHECK(ask(peer, purpose::batch_root, root_input()) == ec::none); // still served
  auto x = stop();
  CHECK(drawn(x, purpose::batch_root) == 2);
  CHECK(x.refused == 6);
}

TEST_CASE_FIXTURE(fixture, "an oversized request ends its connection, and no other") {
  start();
  auto other = stranger();
  auto peer = stranger();
  std::string large(1 + input_bytes_max + 1, ' ');
  REQUIRE(!detail::send_packet(peer.get(), large));
  CHECK(receive(peer).empty());
  CHECK(ask(other, purpose::batch_root, root_input()) == ec::none);
  CHECK(stop().refused == 1);
}

TEST_CASE_FIXTURE(fixture, "who asks and does not read, or goes, disturbs nobody") {
  start();
  auto deaf = stranger(false);
  for (int i = 0; i < 10'000; ++i)
    if (detail::send_packet(deaf.get(), char(purpose::batch_root) + root_input()))
      break; // its turn is over: the signer has given it up, or its queue is full
  { auto gone = stranger(false); }
  auto peer = stranger();
  CHECK(ask(peer, purpose::batch_root, root_input()) == ec::none);
}

TEST_CASE_FIXTURE(fixture, "one connection too many ends the oldest") {
  options.connections_max = 2;
  start();
  auto first = stranger();
  auto second = stranger();
  auto third = stranger();
  CHECK(receive(first).empty());
  CHECK(ask(second, purpose::batch_root, root_input()) == ec::none);
  CHECK(ask(third, purpose::batch_root, root_input()) == ec::none);
}

TEST_CASE_FIXTURE(fixture, "another user is not served") {
  options.peer = ::geteuid() + 1;
  start();
  auto refused = connect(path());
  REQUIRE(!refused);
  CHECK(code_of(refused.error()) == ec::unauthenticated);
  CHECK(stop().strangers == 1);
}

TEST_CASE_FIXTURE(fixture,
                  "a process of another user is not served" * doctest::skip(::geteuid() != 0)) {
  start();
  ::chmod(folder.c_str(), 0755);
  ::chmod(path().c_str(), 0666);
  auto child = ::fork();
  if (child == 0) {
    if (::setuid(65'534) != 0)
      ::_exit(2);
    descriptor fd{::socket(AF_UNIX, SOCK_SEQPACKET, 0)};
    auto address = address_of(path());
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      ::_exit(3);
    ::_exit(detail::receive_packet(fd.get(), 4'096, steady::now() + 5s) ? 4 : 0);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(stop().strangers == 1);
}

TEST_CASE_FIXTURE(fixture,
                  "a signer that goes away is an error, and serves again when it is back") {
  start();
  auto router = connect(path());
  REQUIRE(router);
  REQUIRE(router->sign(root_input()));
  stop();
  auto refused = router->sign(root_input());
  REQUIRE(!refused);
  CHECK(code_of(refused.error()) == ec::busy);
  CHECK(detail_of(refused.error()).find(path()) != std::string::npos);
  start();
  expected<std::string> signature = std::move(refused);
  for (auto due = steady::now() + 10s; !signature && steady::now() < due;)
    signature = router->sign(root_input()); // tried again only after a while
  REQUIRE(signature);
  CHECK(key.public_part().verify(root_input(), *signature));
}

TEST_CASE_FIXTURE(fixture, "a signer started anew between two signatures is not noticed") {
  start();
  auto router = connect(path());
  REQUIRE(router);
  REQUIRE(router->sign(root_input()));
  stop();
  start();
  CHECK(router->sign(root_input()));
}

TEST_CASE_FIXTURE(fixture, "a signer that comes back with another key is refused") {
  start();
  auto router = connect(path());
  REQUIRE(router);
  stop();
  key = *crypto::private_key::generate(crypto::algorithm::es256);
  start();
  auto refused = router->sign(root_input());
  REQUIRE(!refused);
  CHECK(code_of(refused.error()) == ec::unauthenticated);
}

TEST_CASE_FIXTURE(fixture, "a signer that stands still fails in time") {
  start();
  auto router = connect(path());
  REQUIRE(router);
  stop();
  // Connections are taken by the kernel, and nobody says anything.
  ::unlink(path().c_str());
  descriptor silent{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
  auto address = address_of(path());
  REQUIRE(::bind(silent.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(silent.get(), 1) == 0);
  auto begin = steady::now();
  auto refused = router->sign(root_input());
  CHECK(code_of(refused.error()) == ec::busy);
  CHECK(steady::now() - begin < 3s);
  begin = steady::now();
  CHECK(code_of(router->sign(root_input()).error()) == ec::busy);
  CHECK(steady::now() - begin < 3s);
}

TEST_CASE_FIXTURE(fixture, "no signer, and something that is none, are told apart") {
  CHECK(code_of(connect(path()).error()) == ec::busy);
  CHECK(code_of(connect("").error()) == ec::config_invalid);
  CHECK(code_of(connect("/" + std::string(200, 'x')).error()) == ec::config_invalid);
}
