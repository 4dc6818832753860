// SPDX-License-Identifier: MPL-2.0
//
// The HTTP server's rules, one by one.

#include "test/unit/http/transcript.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;

namespace {

using strings = std::vector<std::string>;

std::string get(const std::string& headers) {
  return "GET /x HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n";
}

std::string post(const std::string& headers, const std::string& body) {
  return "POST /x HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" + body;
}

std::string chunked(const std::string& chunks) {
  return post("Transfer-Encoding: chunked\r\n", chunks);
}

std::string response(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "
         + std::to_string(body.size()) + "\r\n\r\n" + body;
}

} // namespace

TEST_CASE("a request gives its parts and a response with its length") {
  http::server_connection x;
  x.receive("POST /rpc?a=b HTTP/1.1\r\nHost: a:1\r\nX-Some:\r\nX-Other:  v w \t\r\n"
            "Content-Length: 5\r\n\r\nhello");
  auto event = x.next();
  REQUIRE(event);
  auto& request = std::get<http::request>(*event);
  CHECK(request.sequence == 1);
  CHECK(request.method == "POST");
  CHECK(request.target == "/rpc?a=b");
  CHECK(request.body == "hello");
  CHECK(request.keep_alive);
  CHECK(!request.websocket_upgrade);
  CHECK(request.headers.size() == 4);
  CHECK(request.header("host") == "a:1");
  CHECK(request.header("x-some").empty());
  CHECK(request.header("x-other") == "v w");
  CHECK(request.header("absent").empty());
  CHECK(!x.next());
  x.respond(1, 200, "application/json", "{}", {{"X-Trace", "7"}, {"Bad", "a\r\nInjected: b"}});
  std::vector<char> out;
  x.take_output(out);
  CHECK(std::string{out.begin(), out.end()}
        == "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
           "X-Trace: 7\r\n\r\n{}");
  CHECK(x.pending_output() == 0);
  CHECK(!x.wants_close());
}

TEST_CASE("requests follow each other on one connection") {
  auto x = serve(post("Content-Length: 3\r\n", "one") + get("") + "\r\n"
                 + post("Content-Length: 5\r\n", "three"));
  CHECK(x.events == strings{"POST /x one", "GET /x", "POST /x three"});
  CHECK(x.output == response("one") + response("") + response("three"));
  CHECK(!x.wants_close);
}

TEST_CASE("answers leave in the order of the requests") {
  http::server_connection x;
  x.receive(get("") + get("") + get(""));
  CHECK(x.unanswered() == 3);
  x.respond(3, 200, "text/plain", "third");
  x.respond(2, 200, "text/plain", "second");
  CHECK(x.pending_output() == 0);
  x.respond(1, 200, "text/plain", "first");
  CHECK(x.take_output() == response("first") + response("second") + response("third"));
  x.respond(2, 200, "text/plain", "again");
  x.respond(9, 200, "text/plain", "never asked");
  CHECK(x.pending_output() == 0);
  CHECK(x.unanswered() == 0);
}

TEST_CASE("a mistake is answered after the requests before it") {
  http::server_connection x;
  x.receive(get("") + get("") + "nonsense\r\n\r\n");
  CHECK(x.pending_output() == 0);
  CHECK(!x.wants_close());
  x.respond(2, 200, "text/plain", "second");
  x.respond(1, 200, "text/plain", "first");
  auto output = x.take_output();
  CHECK(output.starts_with(response("first") + response("second") + "HTTP/1.1 400 Bad Request"));
  CHECK(x.wants_close());
}

TEST_CASE("Connection: close and HTTP/1.0 end the connection after the answer") {
  for (std::string input : {get("Connection: close\r\n"), get("Connection: x, Close\r\n"),
                            std::string{"GET /x HTTP/1.0\r\n\r\n"},
                            std::string{"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"}}) {
    auto x = serve(input + get(""));
    CHECK(x.events == strings{"GET /x"});
    CHECK(x.output.find("Connection: close\r\n\r\n") != std::string::npos);
    CHECK(x.wants_close);
  }
}

TEST_CASE("chunks are put together, extensions and trailers dropped") {
  auto x = serve(chunked("5\r\nhello\r\n0006;a=b;c=\"d\"\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n")
                 + chunked("0\r\n\r\n") + get(""));
  CHECK(x.events == strings{"POST /x hello world", "POST /x", "GET /x"});
}

TEST_CASE("broken chunks are refused") {
  for (std::string chunks :
       {"5\nhello\r\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "5\r\nhello\n0\r\n\r\n",
        "5\rXhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n", "5 x\r\nhello\r\n0\r\n\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n", "5\r\nhello\r\n0\r\n X: folded\r\n\r\n",
        "5\r\nhello\r\n0\r\nA b: c\r\n\r\n", "5\r\nhello\r\n0\r\nA: b\n\r\n"})
    CHECK(refusal(chunked(chunks)) == 400);
  CHECK(refusal(chunked("5;" + std::string(300, 'x') + "\r\nhello\r\n0\r\n\r\n")) == 400);
  CHECK(refusal(chunked("5;a" + std::string(1, '\0') + "\r\nhello\r\n0\r\n\r\n")) == 400);
}

TEST_CASE("two ways to tell the length are refused") {
  CHECK(refusal(post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")) == 400);
  CHECK(refusal(post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n")) == 400);
  CHECK(refusal(post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc")) == 400);
  CHECK(refusal(post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc")) == 400);
  CHECK(refusal(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"))
        == 400);
}

TEST_CASE("a length that is no plain number is refused") {
  for (std::string value : {"", "+3", "-3", "3,3", "3, 3", "3 3", "0x3", "3a", "\"3\"", "3.0",
                            "99999999999999999999", "18446744073709551619"})
    CHECK(refusal(post("Content-Length: " + value + "\r\n", "abc")) == 400);
  CHECK(refusal(post("Content-Length : 3\r\n", "abc")) == 400);
}

TEST_CASE("transfer codings other than chunked are not implemented") {
  for (std::string value : {"gzip", "gzip, chunked", "chunked, gzip", "identity", "xchunked",
                            "chunked, chunked", "\"chunked\""})
    CHECK(refusal(post("Transfer-Encoding: " + value + "\r\n", "0\r\n\r\n")) == 501);
  CHECK(refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == 400);
  CHECK(serve(post("transfer-encoding: CHUNKED\r\n", "1\r\nx\r\n0\r\n\r\n")).events
        == strings{"POST /x x"});
}

TEST_CASE("folded headers and bare line ends are refused") {
  CHECK(refusal("GET /x HTTP/1.1\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET /x HTTP/1.1\r\nHost: a\n\r\n") == 400);
  CHECK(refusal("GET /x HTTP/1.1\r\nHost: a\r\n\n") == 400);
  CHECK(refusal("GET /x HTTP/1.1\r\nHost: a\r\rX: b\r\n\r\n") == 400);
  CHECK(refusal("GET /x HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n") == 400);
  CHECK(refusal("GET /x HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n") == 400);
  CHECK(refusal("GET /x HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n") == 400);
  CHECK(refusal("GET /x HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n") == 400);
  CHECK(refusal("GET /x HTTP/1.1\r\n Host: a\r\n\r\n") == 400);
  CHECK(refusal("\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(serve("\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n").events == strings{"GET /x"});
}

TEST_CASE("NUL and other control characters are refused") {
  std::string nul(1, '\0');
  CHECK(refusal(get("X: a" + nul + "b\r\n")) == 400);
  CHECK(refusal(get("X" + nul + ": b\r\n")) == 400);
  CHECK(refusal(get("X: a\x01\r\n")) == 400);
  CHECK(refusal(get("X: a\x7f\r\n")) == 400);
  CHECK(refusal("GET /" + nul + " HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET /\t HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(serve(get("X: \xc3\xa4\tb\r\n")).events == strings{"GET /x"});
}

TEST_CASE("header names are tokens without space") {
  for (std::string header :
       {"X : a", "X Y: a", ": a", "X\t: a", "no colon", "X(: a", "\xc3\xa4: a"})
    CHECK(refusal(get(header + "\r\n")) == 400);
}

TEST_CASE("HTTP/1.1 needs Host once") {
  CHECK(refusal("GET /x HTTP/1.1\r\n\r\n") == 400);
  CHECK(refusal("GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET /x HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n") == 400);
  CHECK(refusal("GET /x HTTP/1.1\r\nHost : a\r\n\r\n") == 400);
}

TEST_CASE("request lines are taken in one form only") {
  CHECK(refusal("GET  /x HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET /x  HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET /x y HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("get /x HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("FLY /x HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET x HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET * HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("SOURCE /x ICE/1.0\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n") == 501);
  CHECK(refusal("\x16\x03\x01") == 400); // TLS
  CHECK(serve("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").events == strings{"OPTIONS *"});
}

TEST_CASE("a target with an authority must agree with Host") {
  CHECK(serve("GET http://a:1/x?y HTTP/1.1\r\nHost: a:1\r\n\r\n").events == strings{"GET /x?y"});
  CHECK(serve("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n").events == strings{"GET /"});
  CHECK(refusal("GET http://evil/x HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
}

TEST_CASE("other versions are refused") {
  for (std::string version : {"2.0", "1.2", "0.9", "3.1", "11.1", "1.11"})
    CHECK(refusal("GET /x HTTP/" + version + "\r\nHost: a\r\n\r\n") == 505);
  CHECK(refusal("GET /x\r\nHost: a\r\n\r\n") == 505);
  CHECK(refusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 400);
}

TEST_CASE("a head may fill its bound but not pass it") {
  http::limits bounds;
  bounds.header_bytes_max = 100;
  auto head = [](size_t n) {
    auto base = get("X: \r\n");
    return base.insert(base.size() - 4, n - base.size(), 'y');
  };
  CHECK(serve(head(100) + head(100), bounds).events == strings{"GET /x", "GET /x"});
  CHECK(refusal(head(101), bounds) == 431);
  CHECK(refusal("GET /" + std::string(500, 'x'), bounds) == 431);
  CHECK(refusal(get(std::string(500, 'x')), bounds) == 431);
}

TEST_CASE("trailers have the bound of heads") {
  http::limits bounds;
  bounds.header_bytes_max = 100;
  auto trailers = [](int n) {
    std::string lines;
    for (int i = 0; i < n; ++i)
      lines += "X-Name: 1234567890\r\n"; // 20 bytes
    return chunked("1\r\nx\r\n0\r\n" + lines + "\r\n");
  };
  CHECK(serve(trailers(5), bounds).events == strings{"POST /x x"});
  CHECK(refusal(trailers(6), bounds) == 431);
}

TEST_CASE("a body may fill its bound but not pass it") {
  http::limits bounds;
  bounds.body_bytes_max = 10;
  CHECK(serve(post("Content-Length: 10\r\n", "0123456789"), bounds).events
        == strings{"POST /x 0123456789"});
  CHECK(refusal(post("Content-Length: 11\r\n", "01234567890"), bounds) == 413);
  CHECK(refusal(post("Content-Length: 99999999999999999\r\n", ""), bounds) == 413);
  CHECK(serve(chunked("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"), bounds).events
        == strings{"POST /x 0123456789"});
  CHECK(refusal(chunked("5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n"), bounds) == 413);
  CHECK(refusal(chunked("fffffffffffffff\r\n"), bounds) == 413);
}

TEST_CASE("only so many requests may wait for their answers") {
  http::limits bounds;
  bounds.pipelined_max = 2;
  auto x = serve(get("") + get(""), bounds, answering::never);
  CHECK(x.events == strings{"GET /x", "GET /x"});
  CHECK(!x.wants_close);
  x = serve(get("") + get("") + get(""), bounds, answering::never);
  CHECK(x.events.size() == 3);
  CHECK(x.events[2].starts_with("closed 503"));
  CHECK(x.output.empty()); // the two answers come first
  http::server_connection y{bounds};
  y.receive(get("") + get("") + get("") + get(""));
  y.respond(1, 200, "", "");
  y.respond(2, 200, "", "");
  CHECK(y.take_output().find("HTTP/1.1 503") != std::string::npos);
  CHECK(y.wants_close());
}

TEST_CASE("Expect: 100-continue is answered before the body") {
  http::server_connection x;
  x.receive(post("Content-Length: 3\r\nExpect: 100-Continue\r\n", ""));
  CHECK(x.take_output() == "HTTP/1.1 100 Continue\r\n\r\n");
  x.receive("abc");
  CHECK(std::get<http::request>(*x.next()).body == "abc");
  x.respond(1, 204, "", "");
  CHECK(x.take_output() == "HTTP/1.1 204 No Content\r\n\r\n");
  CHECK(refusal(post("Content-Length: 3\r\nExpect: miracles\r\n", "abc")) == 417);
}

TEST_CASE("100 Continue waits for the answers before it") {
  http::server_connection x;
  x.receive(get("") + post("Content-Length: 3\r\nExpect: 100-continue\r\n", ""));
  CHECK(x.pending_output() == 0);
  x.respond(1, 200, "text/plain", "");
  CHECK(x.take_output() == response("") + "HTTP/1.1 100 Continue\r\n\r\n");
  x.receive("abc");
  x.respond(2, 200, "text/plain", "");
  CHECK(x.take_output() == response(""));
}

TEST_CASE("answers to HEAD and some statuses carry no body") {
  http::server_connection x;
  x.receive("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n");
  x.respond(1, 200, "text/plain", "12345");
  CHECK(x.take_output()
        == "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n");
  x.receive(get(""));
  x.respond(2, 304, "", "ignored");
  CHECK(x.take_output() == "HTTP/1.1 304 Not Modified\r\n\r\n");
}

TEST_CASE("an upgrade to something else is served as HTTP/1.1") {
  auto x = serve(get("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n") + get(""));
  CHECK(x.events == strings{"GET /x", "GET /x"});
}

TEST_CASE("a large body arrives as it was") {
  std::string body(3'000'000, 'x');
  for (size_t i = 0; i < body.size(); i += 97)
    body[i] = static_cast<char>(i);
  http::server_connection x;
  auto input = post("Content-Length: " + std::to_string(body.size()) + "\r\n", body);
  for (size_t i = 0; i < input.size(); i += 10'007)
    x.receive(std::string_view{input}.substr(i, 10'007));
  auto event = x.next();
  REQUIRE(event);
  CHECK(std::get<http::request>(*event).body == body);
}
