// SPDX-License-Identifier: MPL-2.0
//
// Services that registered an HTTP address: real POSTs to a server in the test.

#include "integration/json_rpc_fixture.hpp"

#include <caf/send.hpp>
#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;
using namespace std::literals;

namespace {

struct callback_fixture : json_rpc_fixture {
  callback_fixture() : service(client_socket::listening(port)) {
    start([](json_rpc_config& x) {
      x.callback.reply_timeout_ms = 300;
      x.callback.tick_ms = 10;
    });
  }

  std::string address() const { return "http://127.0.0.1:" + std::to_string(port) + "/door?x=1"; }

  void call(uint64_t number, const std::string& to) { invoke(0, number, "{}", to); }

  /// The next request on a connection of the node.
  std::string request(client_socket& on, http::server_connection& codec) {
    for (;;) {
      if (auto x = codec.next()) {
        last = std::get<http::request>(*x);
        return last.body;
      }
      auto bytes = on.receive();
      REQUIRE(!bytes.empty());
      codec.receive(bytes);
    }
  }

  void
  respond(client_socket& on, http::server_connection& codec, int status, std::string_view body) {
    codec.respond(last.sequence, status, "application/json", body);
    on.send(codec.take_output());
  }

  receipt next_receipt() {
    REQUIRE(seen->wait([this] { return seen->receipts.size() > read; }));
    std::lock_guard guard{seen->mutex};
    return seen->receipts[read++];
  }

  uint16_t port = 0;
  client_socket service;
  http::request last;
  size_t read = 0;
};

} // namespace

TEST_CASE_FIXTURE(callback_fixture, "posts requests in order over one connection") {
  for (uint64_t i = 1; i <= 3; ++i)
    call(i, address());
  auto on = service.accept();
  http::server_connection codec;
  for (uint64_t i = 1; i <= 3; ++i) {
    auto body = request(on, codec);
    CHECK(body.find("\"method\":\"invoke\"") != std::string::npos);
    CHECK(body.find("0000" + std::to_string(i) + "\",\"target\"") != std::string::npos);
    CHECK(last.method == "POST");
    CHECK(last.target == "/door?x=1");
    CHECK(last.header("host") == "127.0.0.1:" + std::to_string(port));
    CHECK(last.header("content-type") == "application/json");
    respond(on, codec, 200, R"({"jsonrpc":"2.0","id":1,"result":{"status":0}})");
    auto end = next_receipt();
    CHECK(end.id.seq == i);
    CHECK(end.what == receipt::status::taken);
  }
  outcome_delivery x{0, address(), {{}, "caller", "rpc:a.b/c/d", "ok", "", "[1]", ""}};
  x.notice.service_signature = "a.b.d";
  caf::anon_send(server.actor, atom::outcome_v, std::vector<outcome_delivery>{x});
  auto told = request(on, codec);
  CHECK(told.find("\"method\":\"reply\"") != std::string::npos);
  CHECK(told.find("\"service_signature\":\"a.b.d\"") != std::string::npos);
  respond(on, codec, 204, "");
  auto end = next_receipt();
  CHECK(end.outcome);
  CHECK(end.what == receipt::status::taken);
}

TEST_CASE_FIXTURE(callback_fixture, "posts the node's signature with a request") {
  std::vector<invocation> list{{0, address(), make_request(1, "1"), "a.b.c"}};
  caf::anon_send(server.actor, atom::invoke_v, std::move(list));
  auto on = service.accept();
  http::server_connection codec;
  CHECK(request(on, codec).find("\"service_signature\":\"a.b.c\"") != std::string::npos);
}

TEST_CASE_FIXTURE(callback_fixture, "connects anew after a service that closes each connection") {
  for (uint64_t i = 1; i <= 2; ++i) {
    call(i, address());
    auto on = service.accept();
    on.receive();
    on.send("HTTP/1.0 200 OK\r\n\r\n{\"result\":1}"); // ends with the connection
    on.close();
    CHECK(next_receipt().what == receipt::status::taken);
  }
}

TEST_CASE_FIXTURE(callback_fixture, "reports what services refuse") {
  call(1, address());
  auto on = service.accept();
  http::server_connection codec;
  request(on, codec);
  respond(on, codec, 200, R"({"jsonrpc":"2.0","id":1,"error":{"code":4}})");
  auto refused = next_receipt();
  CHECK(refused.what == receipt::status::refused);
  CHECK(refused.error == R"({"code":4})");
  for (auto status : {302, 404, 500}) { // a redirect is not followed
    call(2, address());
    request(on, codec);
    respond(on, codec, status, "x");
    auto end = next_receipt();
    CHECK(end.what == receipt::status::refused);
    CHECK(end.error.find(std::to_string(status)) != std::string::npos);
  }
}

TEST_CASE_FIXTURE(callback_fixture, "gives up on a service that does not answer") {
  call(1, address());
  call(2, address());
  auto silent = service.accept();
  CHECK(!silent.receive().empty());
  auto end = next_receipt();
  CHECK(end.id.seq == 1);
  CHECK(end.what == receipt::status::lost);
  CHECK(!end.untouched);
  CHECK(silent.ends());
  auto on = service.accept(); // the next one gets its chance
  http::server_connection codec;
  request(on, codec);
  respond(on, codec, 200, "{}");
  CHECK(next_receipt().id.seq == 2);
}

TEST_CASE_FIXTURE(callback_fixture, "knows what cannot have reached a service") {
  service.close();
  call(1, address());
  auto end = next_receipt();
  CHECK(end.what == receipt::status::lost);
  CHECK(end.untouched);
}

TEST_CASE_FIXTURE(callback_fixture, "reads no endless answers") {
  call(1, address());
  auto on = service.accept();
  on.receive();
  on.send("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + std::string(70'000, 'x'));
  auto end = next_receipt();
  CHECK(end.what == receipt::status::lost);
  CHECK(!end.untouched);
  CHECK(on.ends());
}

TEST_CASE_FIXTURE(callback_fixture, "calls only loopback addresses, and not itself") {
  uint64_t number = 0;
  for (auto& wrong : {"http://10.1.2.3/x"s,
                      "http://localhost:1/x"s,
                      "http://example.org/"s,
                      "http://[::2]/"s,
                      "http://127.0.0.1.evil.example/"s,
                      "http://0x7f000001/"s,
                      "http://2130706433/"s,
                      "http://[::ffff:10.0.0.1]/"s,
                      "https://127.0.0.1/"s,
                      "ftp://127.0.0.1/"s,
                      "127.0.0.1:80"s,
                      "http://"s,
                      "http://user@127.0.0.1/"s,
                      "http://127.0.0.1:0/"s,
                      "http://127.0.0.1:70000/"s,
                      "http://127.0.0.1:80x/"s,
                      "http://[::1/"s,
                      "http://127.0.0.1/a b"s,
                      "http://127.0.0.1/a\r\nX: y"s,
                      "http://127.0.0.1/#f"s,
                      "http://127.0.0.1:" + std::to_string(server.port) + "/"}) {
    INFO(wrong);
    call(++number, wrong);
    auto end = next_receipt();
    CHECK(end.id.seq == number);
    CHECK(end.what == receipt::status::refused);
    CHECK(end.error.find("network_address") != std::string::npos);
  }
}

TEST_CASE("takes callback addresses apart") {
  auto read = [](const std::string& x, std::vector<std::string> hosts = {}) {
    auto result = check_callback_address(x, hosts, {8801});
    REQUIRE(result);
    return result->authority() + " " + result->path;
  };
  CHECK(read("http://127.0.0.1") == "127.0.0.1:80 /");
  CHECK(read("http://127.8.9.1:20001/a/b?c") == "127.8.9.1:20001 /a/b?c");
  CHECK(read("http://[::1]:99?q") == "[::1]:99 /?q");
  CHECK(read("http://hmi.local:99/", {"hmi.local"}) == "hmi.local:99 /");
}
