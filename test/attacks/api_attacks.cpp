// SPDX-License-Identifier: MPL-2.0
//
// The service API: pages in a browser on the same machine, programs without the token, and services
// that act as others.

#include "test/attacks/api_stranger.hpp"
#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <filesystem>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace rvi;
using namespace rvi::test;
using namespace std::literals;

namespace {

constexpr auto token = "a token of 24 characters"; // node_process writes it
constexpr auto call = R"({"jsonrpc":"2.0","id":1,"method":"get_node_address"})"sv;
constexpr auto post = "POST / HTTP/1.1\r\n";
constexpr auto host = "Host: localhost\r\n";
constexpr auto upgrade
  = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
constexpr auto json = "Content-Type: application/json\r\n";

struct fixture : attack {
  fixture() { signatures_max = 0; }

  /// The status of the answer to a request as written.
  int status(const std::string& head, std::string_view body = call) {
    api_stranger x{at.api_port};
    x.send(head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n"
           + std::string{body});
    auto answer = x.answer();
    CHECK(answer.header("access-control-allow-origin").empty());
    CHECK(answer.body.find("jlr.com") == answer.body.npos);
    return answer.status;
  }
  void denied_websocket(const std::string& head, int code) {
    api_stranger x{at.api_port};
    x.send("GET / HTTP/1.1\r\n"s + host + head + upgrade);
    CHECK(x.answer().status == code);
    check_refusal_recorded(at.cloud, std::to_string(code), "connection of a service");
  }
  std::string bearer(const std::string& text = token) const {
    return "Authorization: Bearer " + text + "\r\n";
  }
  void denied(const std::string& head, int code) {
    CHECK(status(head) == code);
    check_refusal_recorded(at.cloud, std::to_string(code), "connection of a service");
  }

  std::string code_of(const std::string& method, const std::string& params) {
    return api_stranger{at.api_port}.code_of_call(token, method, params);
  }
  /// By the holder of the token, who is not the user that has the media server.
  void unauthorized(const std::string& method, const std::string& params) {
    CHECK(code_of(method, params) == "unauthorized");
    check_refusal_recorded(at.cloud, "unauthorized", R"("principal":"token:default")");
  }

  static std::string params_of_invoke(const std::string& from, const std::string& target) {
    return R"({"timeout":)" + std::to_string(wall_ms() + 60'000) + R"(,"requesting_service":")"
           + from + R"(","target":")" + target + R"(","arguments":"attack"})";
  }
};

} // namespace

TEST_SUITE_BEGIN("attacks: service API" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a good call passes, so that the refusals below mean something") {
  api_stranger x{at.api_port};
  auto answer = x.call(token, "get_node_address", "{}");
  CHECK(answer.status == 200);
  CHECK(answer.body.find("jlr.com/cloud") != answer.body.npos);
}

// -- who gets in --------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "no token") {
  denied(post + ""s + host + json, 401);
}

TEST_CASE_FIXTURE(fixture, "a wrong token of the same length") {
  denied(post + ""s + host + json + bearer("b token of 24 characters"), 401);
}

TEST_CASE_FIXTURE(fixture, "the first part of the token") {
  denied(post + ""s + host + json + bearer("a token of 24"), 401);
}

TEST_CASE_FIXTURE(fixture, "the token and more") {
  denied(post + ""s + host + json + bearer(token + "s"s), 401);
}

TEST_CASE_FIXTURE(fixture, "an empty token") {
  denied(post + ""s + host + json + "Authorization: Bearer \r\n", 401);
}

TEST_CASE_FIXTURE(fixture, "the token by another scheme") {
  denied(post + ""s + host + json + "Authorization: Basic " + token + "\r\n", 401);
}

TEST_CASE_FIXTURE(fixture, "the token in the address, where logs would keep it") {
  denied("POST /?token=a%20token%20of%2024%20characters HTTP/1.1\r\n"s + host + json, 401);
}

TEST_CASE_FIXTURE(fixture, "the token in a cookie, which a browser would send by itself") {
  denied(post + ""s + host + json + "Cookie: token=" + token + "\r\n", 401);
}

TEST_CASE_FIXTURE(fixture, "two Authorization headers, one of them good") {
  CHECK(status(post + ""s + host + json + bearer("wrong") + bearer()) == 400);
}

TEST_CASE_FIXTURE(fixture, "the metrics without a token") {
  denied("GET /metrics HTTP/1.1\r\n"s + host, 401);
}

TEST_CASE_FIXTURE(fixture, "a WebSocket without a token") {
  denied_websocket("", 401);
}

TEST_CASE_FIXTURE(fixture, "the Unix socket of a node and its folder are for one user") {
  struct stat x {};
  REQUIRE(::stat(at.cloud.socket().c_str(), &x) == 0);
  CHECK((x.st_mode & 07) == 0);
  for (auto* file : {"token", "node.key", "audit.log"}) {
    REQUIRE(::stat(at.cloud.path(file).c_str(), &x) == 0);
    CHECK_MESSAGE((x.st_mode & 077) == 0, file);
  }
}

// -- a page in a browser ------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "a name that was rebound to this machine") {
  denied(post + "Host: evil.example\r\n"s + json + bearer(), 421);
}

TEST_CASE_FIXTURE(fixture, "a name that only begins like ours") {
  denied(post + "Host: localhost.evil.example\r\n"s + json + bearer(), 421);
}

TEST_CASE_FIXTURE(fixture, "two names") {
  CHECK(status(post + ""s + host + "Host: evil.example\r\n" + json + bearer()) == 400);
}

TEST_CASE_FIXTURE(fixture, "a page of a foreign origin") {
  denied(post + ""s + host + "Origin: https://evil.example\r\n" + json + bearer(), 403);
}

TEST_CASE_FIXTURE(fixture, "a page of an origin that only looks like the listed one") {
  denied(post + ""s + host + "Origin: https://hmi.example.evil.org\r\n" + json + bearer(), 403);
  denied(post + ""s + host + "Origin: http://hmi.example\r\n" + json + bearer(), 403);
}

TEST_CASE_FIXTURE(fixture, "a page without an origin of its own") {
  denied(post + ""s + host + "Origin: null\r\n" + json + bearer(), 403);
}

TEST_CASE_FIXTURE(fixture, "a WebSocket of a foreign page") {
  denied_websocket("Origin: https://evil.example\r\n" + bearer(), 403);
}

TEST_CASE_FIXTURE(fixture, "a form, which a page may send anywhere") {
  CHECK(status(post + ""s + host + "Content-Type: text/plain\r\n" + bearer()) == 415);
  CHECK(status(post + ""s + host + "Content-Type: application/x-www-form-urlencoded\r\n" + bearer())
        == 415);
}

TEST_CASE_FIXTURE(fixture, "a question whether a page may ask") {
  CHECK(
    status("OPTIONS / HTTP/1.1\r\n"s + host + bearer() + "Access-Control-Request-Method: POST\r\n")
    == 405);
}

// -- HTTP, WebSocket and JSON that mean two things ------------------------------------------------

TEST_CASE_FIXTURE(fixture, "two lengths, to smuggle a request behind the other") {
  api_stranger x{at.api_port};
  x.send(post + ""s + host + json + bearer() + "Content-Length: 5\r\nContent-Length: 60\r\n\r\n"
         + std::string(60, ' '));
  CHECK(x.answer().status == 400);
  CHECK(x.rest());
}

TEST_CASE_FIXTURE(fixture, "a length and chunks, to smuggle a request behind the other") {
  api_stranger x{at.api_port};
  x.send(post + ""s + host + json + bearer()
         + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + post + host + json
         + "Content-Length: 0\r\n\r\n");
  CHECK(x.answer().status == 400);
  CHECK(x.rest());
}

TEST_CASE_FIXTURE(fixture, "a header folded over two lines") {
  api_stranger x{at.api_port};
  x.send(post + ""s + host + json + "Authorization: Bearer\r\n a token of 24 characters\r\n"
         + "Content-Length: 0\r\n\r\n");
  auto status = x.answer().status;
  CHECK((status == 400 || status == 401));
}

TEST_CASE_FIXTURE(fixture, "headers without end") {
  api_stranger x{at.api_port};
  x.send(post + ""s + host);
  for (int i = 0; i < 1'000; ++i)
    x.send("X-" + std::to_string(i) + ": " + std::string(200, 'x') + "\r\n");
  auto status = x.answer().status;
  CHECK_MESSAGE((status == 431 || status == 400), status);
  CHECK(x.rest());
}

TEST_CASE_FIXTURE(fixture, "a body over the limit") {
  api_stranger x{at.api_port};
  x.send(post + ""s + host + json + bearer() + "Content-Length: 99999999999\r\n\r\n");
  CHECK(x.answer().status == 413);
}

TEST_CASE_FIXTURE(fixture, "members given twice in a call") {
  api_stranger x{at.api_port};
  auto answer = x.request(
    "POST", "/", {{"Content-Type", "application/json"}, {"Authorization", "Bearer "s + token}},
    R"({"jsonrpc":"2.0","id":1,"method":"get_node_address","method":"get_status"})");
  CHECK(answer.status == 200);
  CHECK(answer.body.find("malformed") != answer.body.npos);
}

TEST_CASE_FIXTURE(fixture, "a call nested deeper than any reader needs") {
  api_stranger x{at.api_port};
  auto answer = x.request(
    "POST", "/", {{"Content-Type", "application/json"}, {"Authorization", "Bearer "s + token}},
    std::string(100'000, '['));
  CHECK(answer.body.find("limit_exceeded") != answer.body.npos);
}

TEST_CASE_FIXTURE(fixture, "a WebSocket frame without a mask") {
  api_stranger x{at.cloud.socket()};
  x.send("GET / HTTP/1.1\r\n"s + host + upgrade + std::string{"\x81\x02{}", 4});
  CHECK(x.says("\x03\xea")); // 1002, protocol error
}

TEST_CASE_FIXTURE(fixture, "a WebSocket message of more bytes than there are") {
  api_stranger x{at.cloud.socket()};
  x.send("GET / HTTP/1.1\r\n"s + host + upgrade
         + std::string{"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0body", 18});
  CHECK(x.says("\x03\xf1")); // 1009, too big
}

// -- services that act as others ------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "register a name that another principal holds") {
  unauthorized("register_service",
               R"({"service":"media_server","network_address":"http://127.0.0.1:9/"})");
}

TEST_CASE_FIXTURE(fixture, "take away another principal's name") {
  unauthorized("unregister_service", R"({"service":"media_server"})");
}

TEST_CASE_FIXTURE(fixture, "invoke in the name of another principal's service") {
  unauthorized("invoke",
               params_of_invoke("media_server", "rpc:jlr.com/vin/1234/services/media_player/echo"));
}

TEST_CASE_FIXTURE(fixture, "invoke in the name of another node's service") {
  unauthorized("invoke", params_of_invoke("jlr.com/vin/1234/services/media_player", echo_target));
}

TEST_CASE_FIXTURE(fixture, "publish in the name of another principal's service") {
  unauthorized("publish", R"({"source":"media_server","target":"metric:jlr.com/cloud/load",)"
                          R"("value":"attack"})");
}

TEST_CASE_FIXTURE(fixture, "register a reserved name") {
  unauthorized("register_service",
               R"({"service":"provisioning","network_address":"http://127.0.0.1:9/"})");
}

TEST_CASE_FIXTURE(fixture, "answer an rpc that was given to another principal") {
  std::string answered;
  auto echo = std::exchange(at.media_server.on_invoke, [&](const handed_over& given) {
    answered = api_stranger{at.api_port}.code_of_call(
      token, "reply", R"({"transaction_id":")" + given.transaction_id + R"(","arguments":1})");
    at.media_server.send_call("reply", R"({"transaction_id":")" + given.transaction_id
                                         + R"(","arguments":)" + given.arguments + "}");
  });
  at.use_each_other();
  at.media_server.on_invoke = echo;
  not_counted();
  CHECK(answered == "unauthorized");
  check_refusal_recorded(at.cloud, "unauthorized", R"("principal":"token:default")");
}

TEST_CASE_FIXTURE(fixture, "a callback to the node itself") {
  auto own = "http://127.0.0.1:" + std::to_string(at.api_port) + "/";
  unauthorized("register_service", R"({"service":"x","network_address":")" + own + "\"}");
}

TEST_CASE_FIXTURE(fixture, "a callback to the network behind the node") {
  for (auto* address : {"http://10.0.0.1/", "http://169.254.169.254/latest/", "http://intranet/",
                        "http://127.0.0.1.evil.example/"})
    unauthorized("register_service", R"({"service":"x","network_address":")"s + address + "\"}");
}

TEST_CASE_FIXTURE(fixture, "a callback to a file") {
  auto code
    = code_of("register_service", R"({"service":"x","network_address":"file:///etc/passwd"})");
  CHECK_MESSAGE(code == "bad_request", code);
}

// -- what is left behind --------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "no token, credential or key in any log or trail") {
  api_stranger{at.api_port}.call(token, "get_status", "{}");
  api_stranger{at.api_port}.call("wrong "s + token, "get_status", "{}");
  refuses_credential(attacker.credential->text + "A", "credential_invalid");
  for (auto* node : {&at.cloud, &at.vehicle}) {
    auto shown = run_rvi("audit --config " + node->path("rvi.toml"));
    CHECK_MESSAGE(shown.code == 0, shown.output);
    CHECK(shown.output.find("The chain holds: records 1 to ") != std::string::npos);
    for (auto& text : {node->log(), shown.output, trail(*node)})
      for (auto* secret : {token, "eyJ", "PRIVATE KEY"})
        CHECK_MESSAGE(text.find(secret) == text.npos, secret);
  }
}

TEST_CASE_FIXTURE(fixture, "text of an attacker that would be a line of its own in the trail") {
  auto body = attacker.body();
  body.set_protocol("x\"}\n{\"event\":\"credential_added\",\"forged\":\"");
  refuses(body.SerializeAsString(), "protocol_mismatch");
  CHECK_FALSE(recorded(at.cloud, {R"("event":"credential_added","forged")"}));
  CHECK(run_rvi("audit --config " + at.cloud.path("rvi.toml")).code == 0);
}

TEST_SUITE_END();
