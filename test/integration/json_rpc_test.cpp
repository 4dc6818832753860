// SPDX-License-Identifier: MPL-2.0
//
// The JSON RPC server over real sockets: who gets in, and what calls lead to.

#include "integration/json_rpc_fixture.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

using namespace rvi;
using namespace rvi::test;
using namespace std::literals;

namespace {

const std::string echo = call_text("5", "invoke", R"({"target":"x","arguments":[ 1.0 ]})");
const std::string echoed = R"({"jsonrpc":"2.0","id":5,"result":[ 1.0 ]})";

/// Sends a request as written, on a connection of its own.
http::response raw(json_rpc_fixture& f, const std::string& head, std::string_view body = echo) {
  auto client = f.http();
  client.on.send(head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n"
                 + std::string(body));
  return client.read();
}

constexpr auto token = "Authorization: Bearer secret\r\n";
constexpr auto json = "Content-Type: application/json\r\n";
constexpr auto post = "POST /rvi HTTP/1.1\r\n";

} // namespace

TEST_CASE_FIXTURE(json_rpc_fixture, "answers calls over HTTP, many on one connection") {
  start();
  auto client = http();
  for (int i = 0; i < 3; ++i) {
    auto x = client.post(echo, headers());
    CHECK(x.status == 200);
    CHECK(x.header("content-type") == "application/json");
    CHECK(x.body == echoed);
  }
  auto who = client.post(call_text("1", "get_available_services", "{}"), headers());
  CHECK(who.body.find("\"token:test\"") != std::string::npos);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "lets nobody in over TCP without a token") {
  start();
  auto host = "Host: localhost\r\n"s;
  for (auto wrong : {"", "Authorization: Bearer Secret\r\n", "Authorization: Bearer secret2\r\n",
                     "Authorization: Bearer \r\n", "Authorization: Basic secret\r\n",
                     "Authorization: secret\r\n", "Cookie: token=secret\r\n"}) {
    auto x = raw(*this, post + host + json + wrong);
    CHECK(x.status == 401);
    CHECK(x.header("www-authenticate") == "Bearer");
  }
  CHECK(raw(*this, "POST /?token=secret HTTP/1.1\r\n" + host + json).status == 401);
  CHECK(raw(*this, post + host + json + "Authorization: bearer  secret\r\n").status == 200);
  websocket ws{client_socket::tcp(server.port), http::websocket_client{}};
  CHECK(code_of(ws.open(this->host(), {})) == ec::refused);
  websocket by_protocol{client_socket::tcp(server.port), http::websocket_client{}};
  CHECK(code_of(by_protocol.open(this->host(), {{"Sec-WebSocket-Protocol", "secret"}}))
        == ec::refused);
  CHECK(seen->calls() == 1);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "takes only the names it is known by") {
  start([](json_rpc_config& x) { x.access.hosts.push_back("hmi.local"); });
  auto port = ":" + std::to_string(server.port);
  auto status = [this](const std::string& host) {
    return raw(*this, post + ("Host: " + host + "\r\n") + json + token).status;
  };
  for (auto good : {"127.0.0.1"s, "127.0.0.1" + port, "localhost"s, "LOCALHOST" + port, "[::1]"s,
                    "[::1]" + port, "hmi.local"s})
    CHECK(status(good) == 200);
  for (auto bad : {"evil.example"s, "localhost:1"s, "localhost.evil.example"s, "10.0.0.1"s,
                   "127.0.0.1" + port + "0"})
    CHECK(status(bad) == 421);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "takes only pages of listed origins") {
  start([](json_rpc_config& x) { x.access.origins = {"https://hmi.example"}; });
  auto status = [this](const std::string& origin) {
    return raw(*this, post + "Host: localhost\r\nOrigin: "s + origin + "\r\n" + json + token)
      .status;
  };
  CHECK(status("https://hmi.example") == 200);
  CHECK(status("https://evil.example") == 403);
  CHECK(status("http://hmi.example") == 403);
  CHECK(status("null") == 403);
  CHECK(status("http://localhost:" + std::to_string(server.port)) == 403);
  websocket ws{client_socket::tcp(server.port), http::websocket_client{}};
  CHECK(code_of(ws.open(host(), {{"Authorization", "Bearer secret"}, {"Origin", "https://e.vil"}}))
        == ec::refused);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "takes only JSON, only by POST") {
  start();
  auto head = "Host: localhost\r\n"s + token;
  CHECK(raw(*this, post + head).status == 415);
  CHECK(raw(*this, post + head + "Content-Type: text/plain\r\n").status == 415);
  CHECK(raw(*this, post + head + json + "Content-Encoding: gzip\r\n").status == 415);
  CHECK(raw(*this, post + head + "Content-Type: Application/JSON; charset=utf-8\r\n").status
        == 200);
  for (auto method : {"GET", "PUT", "DELETE", "OPTIONS"}) {
    auto x = raw(*this, method + " / HTTP/1.1\r\n"s + head + json);
    CHECK(x.status == 405);
    CHECK(x.header("allow") == "POST");
    CHECK(x.header("access-control-allow-origin").empty());
  }
}

TEST_CASE_FIXTURE(json_rpc_fixture, "shows its metrics to those who may come in") {
  start();
  auto client = http();
  client.post(echo, headers());
  client.on.send("GET /metrics?x HTTP/1.1\r\nHost: localhost\r\n"s + token + "\r\n");
  auto x = client.read();
  CHECK(x.status == 200);
  CHECK(x.header("content-type").substr(0, 10) == "text/plain");
  CHECK(x.body.find("rvi_api_calls_total 1") != std::string::npos);
  client.on.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(client.read().status == 401);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "answers wrong texts with JSON-RPC errors") {
  start();
  auto client = http();
  auto number = [&](std::string_view body) {
    auto x = client.post(body, headers());
    CHECK(x.status == 200);
    auto text = rvi::json::parse(x.body);
    REQUIRE(text);
    return text->root()["error"]["code"].as_int().value_or(0);
  };
  CHECK(number("{") == -32700);
  CHECK(number("{\"a\":\"\xff\"}") == -32700);
  CHECK(number(std::string(100'000, '[')) != 0);
  CHECK(number("[]") == -32600);
  CHECK(number(R"({"jsonrpc":"2.0","id":1,"result":1})") == -32600);
  CHECK(number(call_text("1", "nonsense", "{}")) == -32601);
  CHECK(number(call_text("1", "invoke", "{}")) == -32602);
  auto busy = client.post(call_text("1", "invoke", R"({"target":"busy"})"), headers());
  CHECK(busy.body.find(R"("data":{"code":"busy","retry_after_ms":70})") != std::string::npos);
  CHECK(seen->calls() == 1);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "refuses bodies over the limit") {
  start([](json_rpc_config& x) { x.connection.http.body_bytes_max = 1'000; });
  CHECK(http().post(std::string(1'001, ' '), headers()).status == 413);
  CHECK(http().post(std::string(1'000, ' '), headers()).status == 200);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "answers batches in order, notifications not at all") {
  start();
  auto client = http();
  auto note = R"({"method":"invoke","params":{"target":"x"}})"s;
  auto a = call_text("\"a\"", "invoke", R"({"target":"x","arguments":1})");
  auto b = call_text("\"b\"", "invoke", R"({"target":"x","arguments":2})");
  auto x = client.post("[" + a + "," + note + ",7," + b + "]", headers());
  CHECK(x.body
        == R"([{"jsonrpc":"2.0","id":"a","result":1},{"jsonrpc":"2.0","id":null,"error":{"code":)"
           R"(-32600,"message":"a request must be an object","data":{"code":"bad_request"}}},)"
           R"({"jsonrpc":"2.0","id":"b","result":2}])");
  CHECK(client.post(note, headers()).status == 204);
  CHECK(client.post("[" + note + "," + note + "]", headers()).status == 204);
  REQUIRE(seen->wait([this] { return seen->calls() == 6; }));
  std::lock_guard guard{seen->mutex};
  CHECK(seen->messages[0].size() == 3); // one event, one message
}

TEST_CASE_FIXTURE(json_rpc_fixture, "answers pipelined requests in their order") {
  start();
  auto client = http();
  std::string many;
  for (int i = 0; i < 20; ++i)
    many += http::client_connection::encode_request(
      "POST", "/", "localhost", headers(),
      call_text(std::to_string(i), "invoke", R"({"target":"x","arguments":0})"));
  client.on.send(many);
  for (int i = 0; i < 20; ++i)
    CHECK(client.read().body == R"({"jsonrpc":"2.0","id":)" + std::to_string(i) + ",\"result\":0}");
}

TEST_CASE_FIXTURE(json_rpc_fixture, "reads requests that come byte by byte") {
  start();
  auto client = http();
  auto text = http::client_connection::encode_request("POST", "/", "localhost", headers(), echo);
  for (auto c : text)
    client.on.send({&c, 1});
  CHECK(client.read().body == echoed);
  auto ws = open_websocket();
  ws.codec.send_text(echo);
  for (auto c : ws.codec.take_output())
    ws.on.send({&c, 1});
  CHECK(ws.read() == echoed);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "tells the edge when a connection ends") {
  start();
  auto ws = open_websocket();
  auto client = register_service(ws, "lock");
  ws.on.close();
  CHECK(seen->wait([&] { return seen->closed == std::vector{client}; }));
  seen->closed.clear();
  { // a request that still waits counts too
    auto waiting = http();
    waiting.on.send(http::client_connection::encode_request(
      "POST", "/", "localhost", headers(), call_text("1", "invoke", R"({"target":"hold"})")));
    REQUIRE(seen->wait([&] { return seen->calls() == 2; }));
  }
  CHECK(seen->wait([&] { return seen->closed.size() == 1; }));
  { // one that is answered does not
    auto done = http();
    done.post(echo, headers());
  }
  auto last = open_websocket();
  auto last_client = register_service(last, "lock");
  last.on.close();
  CHECK(seen->wait([&] { return seen->closed.size() == 2; }));
  CHECK(seen->closed.back() == last_client);
  CHECK(last_client != client);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "bounds the calls in flight of one connection") {
  start([](json_rpc_config& x) { x.connection.calls_in_flight_max = 2; });
  auto ws = open_websocket();
  auto hold = call_text("1", "invoke", R"({"target":"hold"})");
  ws.send(hold);
  ws.send(hold);
  ws.send(call_text("3", "invoke", R"({"target":"hold"})"));
  CHECK(
    ws.read()
    == R"({"jsonrpc":"2.0","id":3,"error":{"code":-32015,"message":)"
       R"("too many calls wait for their answers","data":{"code":"busy","retry_after_ms":100}}})");
}

TEST_CASE_FIXTURE(json_rpc_fixture, "closes connections over the limit") {
  start([](json_rpc_config& x) { x.connections_max = 2; });
  auto a = http();
  auto b = http();
  CHECK(a.post(echo, headers()).status == 200);
  CHECK(b.post(echo, headers()).status == 200);
  CHECK(client_socket::tcp(server.port).ends());
  CHECK(a.post(echo, headers()).status == 200);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "closes silent and half-open connections") {
  start([](json_rpc_config& x) {
    x.tick_ms = 10;
    x.handshake_timeout_ms = x.idle_timeout_ms = 50;
    x.ping_interval_ms = 30;
    x.pong_timeout_ms = 100;
  });
  auto nothing = client_socket::tcp(server.port);
  auto half = client_socket::tcp(server.port);
  half.send("POST / HTTP/1.1\r\nHost: loc");
  CHECK(nothing.ends());
  CHECK(half.ends());
  auto idle = http();
  CHECK(idle.post(echo, headers()).status == 200);
  CHECK(idle.on.ends());
  auto dead = open_websocket(); // it never answers pings
  auto client = register_service(dead, "lock");
  CHECK(dead.on.ends());
  CHECK(seen->wait([&] { return seen->closed == std::vector{client}; }));
}

TEST_CASE_FIXTURE(json_rpc_fixture, "keeps a silent WebSocket that answers pings") {
  start([](json_rpc_config& x) {
    x.tick_ms = 10;
    x.ping_interval_ms = 20;
    x.pong_timeout_ms = 500;
  });
  auto ws = open_websocket();
  for (int pings = 0; pings < 5; ++pings) { // each wakes us with some bytes
    ws.codec.receive(ws.on.receive());
    CHECK(!ws.codec.next());
    ws.on.send(ws.codec.take_output());
  }
  ws.send(echo);
  CHECK(ws.read() == echoed);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "closes the WebSocket in order") {
  start();
  auto ws = open_websocket();
  auto client = register_service(ws, "lock");
  ws.codec.close(1000, "bye");
  ws.on.send(ws.codec.take_output());
  CHECK(ws.read().substr(0, 6) == "closed");
  CHECK(ws.on.ends());
  CHECK(seen->wait([&] { return seen->closed == std::vector{client}; }));
}

TEST_CASE_FIXTURE(json_rpc_fixture, "knows the user behind a Unix socket") {
  auto path = folder + "/run/rvi.sock";
  start([&](json_rpc_config& x) { x.unix_socket = path; });
  struct stat found {};
  REQUIRE(::stat(path.c_str(), &found) == 0);
  CHECK((found.st_mode & 0777) == 0660);
  REQUIRE(::stat((folder + "/run").c_str(), &found) == 0);
  CHECK((found.st_mode & 0777) == 0750);
  http_client client{client_socket::local(path), http::client_connection{}};
  auto who = client.post(call_text("1", "get_available_services", "{}"),
                         {{"Content-Type", "application/json"}});
  CHECK(who.body.find("\"uid:" + std::to_string(::geteuid()) + "\"") != std::string::npos);
  auto administrator
    = client.post(call_text("1", "get_status", "{}"), {{"Content-Type", "application/json"}});
  CHECK(administrator.body == R"({"jsonrpc":"2.0","id":1,"result":true})");
  CHECK(client.post(echo, {}).status == 415);
  client.on.send("POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n");
  CHECK(client.read().status == 421);
  websocket ws{client_socket::local(path), http::websocket_client{}};
  CHECK(!ws.open("localhost", {}));
  ws.send(echo);
  CHECK(ws.read() == echoed);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "knows which tokens are an administrator's") {
  start();
  auto client = http();
  auto ask = call_text("1", "get_status", "{}");
  CHECK(client.post(ask, headers()).body == R"({"jsonrpc":"2.0","id":1,"result":false})");
  CHECK(
    client
      .post(ask, {{"Authorization", "Bearer more secret"}, {"Content-Type", "application/json"}})
      .body
    == R"({"jsonrpc":"2.0","id":1,"result":true})");
}

TEST_CASE_FIXTURE(json_rpc_fixture, "does not wait for ever for a peer to close") {
  start([](json_rpc_config& x) {
    x.connections_max = 1;
    x.connection.http.body_bytes_max = 10;
    x.linger_ms = 50;
    x.tick_ms = 10;
  });
  auto stubborn = http();
  CHECK(stubborn.post(std::string(11, ' '), headers()).status == 413);
  CHECK(stubborn.on.ends()); // the server's side; ours stays open
  auto deadline = std::chrono::steady_clock::now() + patience;
  auto free = false;
  while (!free && std::chrono::steady_clock::now() < deadline)
    free = !client_socket::tcp(server.port).readable(50ms); // a refused one would end at once
  CHECK(free);
}
