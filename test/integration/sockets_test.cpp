// SPDX-License-Identifier: MPL-2.0
//
// Listening and connecting, with real sockets.

#include "actors/sockets/sockets.hpp"
#include "integration/json_rpc_fixture.hpp"

#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <doctest/doctest.h>

#include <fcntl.h>
#include <fstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace rvi;
using namespace rvi::test;
using namespace std::literals;

namespace {

struct connected {
  uint64_t number = 0;
  socket_fd fd;
  std::string detail;
};

struct connector_fixture : json_rpc_fixture {
  connector_fixture() : self(*system) {
    connector = start_connector(*system, {.dials_max = 3, .lookups_max = 1, .tick_ms = 10});
  }
  ~connector_fixture() { caf::anon_send_exit(connector, caf::exit_reason::user_shutdown); }

  void dial(uint64_t number, const std::string& host, uint16_t port, uint64_t timeout_ms = 5'000) {
    self->send(connector, atom::setup_v, dial_request{number, host, port, timeout_ms});
  }

  connected answer(std::chrono::milliseconds time = patience) {
    connected result;
    self->receive(
      [&](atom::connected, uint64_t number, int fd, std::string& detail) {
        result = {number, socket_fd{fd}, std::move(detail)};
      },
      caf::after(time) >> [] {});
    return result;
  }

  caf::scoped_actor self;
  connector_actor connector;
};

/// A port that drops what tries to connect: its backlog is full.
struct deaf_port {
  deaf_port() {
    listening = client_socket::listening(port);
    ::listen(listening.fd(), 0);
    waiting = client_socket::tcp(port);
  }
  uint16_t port = 0;
  client_socket listening;
  client_socket waiting;
};

std::string error_of(const expected<listening_socket_ptr>& x) {
  REQUIRE(!x);
  CHECK(code_of(x.error()) == ec::io_failed);
  return detail_of(x.error());
}

} // namespace

TEST_CASE("names address and port when it cannot listen") {
  auto first = listen_tcp("127.0.0.1", 0);
  REQUIRE(first);
  auto port = (*first)->port;
  CHECK(port != 0);
  CHECK(error_of(listen_tcp("127.0.0.1", port))
        == "cannot listen on 127.0.0.1 port " + std::to_string(port) + ": Address already in use");
  CHECK(error_of(listen_tcp("nonsense", 1))
        == "cannot listen on nonsense port 1: not an IP address");
  CHECK(error_of(listen_tcp("192.0.2.1", 0)).find("192.0.2.1 port 0: ") != std::string::npos);
  first->reset();
  CHECK(listen_tcp("127.0.0.1", port));
  CHECK(listen_tcp("localhost", 0));
}

TEST_CASE_FIXTURE(json_rpc_fixture, "says so when its port is taken") {
  start();
  json_rpc_config second;
  second.port = server.port;
  second.edge = edge;
  auto result = start_json_rpc(*system, second);
  REQUIRE(!result);
  CHECK(describe(result.error()).find("port " + std::to_string(server.port)) != std::string::npos);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "takes over a socket file only if nobody answers on it") {
  auto path = folder + "/a/rvi.sock";
  auto first = listen_unix(path);
  REQUIRE(first);
  CHECK(error_of(listen_unix(path)) == path + ": somebody already listens there");
  auto stale = dup((*first)->fd.get());
  ::shutdown(stale, SHUT_RDWR); // as if its process had died
  ::close(stale);
  auto second = listen_unix(path);
  REQUIRE(second);
  first->reset(); // does not remove the file of its successor
  struct stat found {};
  CHECK(::stat(path.c_str(), &found) == 0);
  second->reset();
  CHECK(::stat(path.c_str(), &found) != 0);
  std::ofstream{path} << "precious";
  CHECK(error_of(listen_unix(path)) == path + ": exists and is no socket");
  CHECK(error_of(listen_unix(folder + "/b/c/rvi.sock")).find("folder") != std::string::npos);
  CHECK(error_of(listen_unix("/tmp/" + std::string(120, 'x'))).find("107") != std::string::npos);
}

TEST_CASE_FIXTURE(connector_fixture, "connects to literals and names") {
  uint16_t port = 0;
  auto listening = client_socket::listening(port);
  for (auto host : {"127.0.0.1", "localhost"}) {
    dial(4, host, port);
    auto x = answer();
    CHECK(x.number == 4);
    CHECK(x.fd);
    CHECK(x.detail == "127.0.0.1:" + std::to_string(port));
    listening.accept();
  }
}

TEST_CASE_FIXTURE(connector_fixture, "says why it cannot connect") {
  uint16_t port = 0;
  client_socket::listening(port);
  dial(1, "127.0.0.1", port);
  auto x = answer();
  CHECK(!x.fd);
  CHECK(x.detail == "127.0.0.1:" + std::to_string(port) + ": Connection refused");
  dial(2, "no-such-host.invalid", port);
  auto unknown = answer(20s);
  CHECK(!unknown.fd);
  CHECK(unknown.detail.find("no-such-host.invalid: ") == 0);
}

TEST_CASE_FIXTURE(connector_fixture, "gives up in time, or when told") {
  deaf_port deaf;
  dial(1, "127.0.0.1", deaf.port, 50);
  auto x = answer();
  CHECK(x.number == 1);
  CHECK(!x.fd);
  CHECK(x.detail == "127.0.0.1: no answer in time");
  dial(2, "127.0.0.1", deaf.port, 100);
  self->send(connector, atom::close_v, uint64_t{2});
  dial(3, "127.0.0.1", deaf.port, 200);
  CHECK(answer().number == 3); // and nothing for 2
}

TEST_CASE_FIXTURE(connector_fixture, "bounds the dials under way") {
  deaf_port deaf;
  for (uint64_t i = 1; i <= 4; ++i)
    dial(i, "127.0.0.1", deaf.port, 1'000);
  auto x = answer();
  CHECK(x.number == 4);
  CHECK(x.detail == "too many dials under way");
}

TEST_CASE_FIXTURE(connector_fixture, "ends with dials under way") {
  deaf_port deaf;
  for (uint64_t i = 1; i <= 3; ++i)
    dial(i, "127.0.0.1", deaf.port, 60'000);
}
