// SPDX-License-Identifier: MPL-2.0
//
// The HTTP client, alone and against the server.

#include "runtime/http/http.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

struct outcome {
  std::vector<std::string> responses; // "200 body"
  caf::error failure;
};

outcome read(const std::string& input, bool ended, const http::limits& bounds, size_t piece) {
  http::client_connection x{bounds};
  outcome result;
  for (size_t i = 0; i < input.size(); i += piece)
    x.receive(std::string_view{input}.substr(i, piece));
  if (ended)
    x.transport_closed();
  while (auto response = x.next())
    result.responses.push_back(std::to_string(response->status) + " " + response->body);
  result.failure = x.failure();
  return result;
}

outcome read(const std::string& input, bool ended = false, const http::limits& bounds = {}) {
  auto result = read(input, ended, bounds, input.size() + 1);
  auto bytewise = read(input, ended, bounds, 1);
  CHECK(result.responses == bytewise.responses);
  CHECK(result.failure == bytewise.failure);
  return result;
}

using strings = std::vector<std::string>;

} // namespace

TEST_CASE("requests are written as the server reads them") {
  CHECK(http::client_connection::encode_request("GET", "/a", "h", {}, "")
        == "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(http::client_connection::encode_request(
          "POST", "/a", "h:1", {{"Content-Type", "application/json"}, {"X", "a\nb"}}, "{}")
        == "POST /a HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/json\r\n"
           "Content-Length: 2\r\n\r\n{}");
  CHECK(http::client_connection::encode_request("GET", "/a b", "h", {}, "").empty());
  CHECK(http::client_connection::encode_request("GET", "/a", "h\r\nX: y", {}, "").empty());
  CHECK(http::client_connection::encode_request("", "/a", "h", {}, "").empty());
}

TEST_CASE("responses are cut by length, by chunks and by the end of the connection") {
  auto x = read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
                "HTTP/1.1 100 Continue\r\n\r\n"
                "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
                "HTTP/1.1 204 No Content\r\n\r\n"
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"
                "HTTP/1.0 200 OK\r\n\r\nuntil the end",
                true);
  CHECK(x.responses == strings{"200 one", "500 two", "204 ", "304 ", "200 until the end"});
  CHECK(!x.failure);
}

TEST_CASE("a response tells whether the connection can be used again") {
  http::client_connection x;
  x.receive("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\r\n\r\n"
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  auto first = x.next();
  REQUIRE(first);
  CHECK(first->keep_alive);
  CHECK(first->header("x-a") == "b");
  auto second = x.next();
  REQUIRE(second);
  CHECK(!second->keep_alive);
}

TEST_CASE("responses that are not HTTP or smuggle are failures") {
  for (std::string input :
       {"garbage", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n"}) {
    auto x = read(input);
    CHECK(code_of(x.failure) == ec::malformed);
    CHECK(x.responses.empty());
  }
}

TEST_CASE("responses over their bounds are failures") {
  http::limits bounds;
  bounds.body_bytes_max = 3;
  bounds.header_bytes_max = 50;
  CHECK(read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none", false, bounds).responses
        == strings{"200 one"});
  CHECK(read("HTTP/1.1 200 OK\r\n\r\none", true, bounds).responses == strings{"200 one"});
  for (std::string input :
       {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour", "HTTP/1.1 200 OK\r\n\r\nfour",
        "HTTP/1.1 200 OK\r\nX: 0123456789012345678901234567890\r\n\r\n"})
    CHECK(code_of(read(input, true, bounds).failure) == ec::limit_exceeded);
}

TEST_CASE("a transport that ends inside a response is a failure") {
  CHECK(!read("", true).failure);
  CHECK(!read("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", true).failure);
  for (std::string input :
       {"H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"})
    CHECK(code_of(read(input, true).failure) == ec::link_down);
}

TEST_CASE("client and server understand each other") {
  http::server_connection server;
  http::client_connection client;
  for (size_t n : {0, 1, 1000, 100'000}) {
    std::string body(n, 'x');
    server.receive(http::client_connection::encode_request("POST", "/echo", "h", {}, body));
    auto event = server.next();
    REQUIRE(event);
    auto& request = std::get<http::request>(*event);
    server.respond(request.sequence, 200, "text/plain", request.body);
    client.receive(server.take_output());
    auto response = client.next();
    REQUIRE(response);
    CHECK(response->body == body);
  }
}
