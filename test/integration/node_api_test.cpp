// SPDX-License-Identifier: MPL-2.0
//
// Bad input on a real node's service API: each is answered with a clear error, and the node goes
// on.

#include "runtime/json/json.hpp"
#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace rvi;
using namespace rvi::test;

namespace {

struct fixture : two_nodes {
  fixture() {
    vehicle.start();
    CHECK(code(R"({"jsonrpc":"2.0","id":1,"method":"register_service",)"
               R"("params":{"service":"media_player"}})")
          == "");
  }

  ~fixture() {
    CHECK_MESSAGE(vehicle.running(), vehicle.log_tail());
    CHECK(code(R"({"jsonrpc":"2.0","id":2,"method":"get_node_address"})") == "");
    CHECK_MESSAGE(vehicle.log().find(" supervisor ") == std::string::npos, vehicle.log_tail());
  }

  /// Status 0: the connection ended without an answer.
  http::response post(std::string_view body) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    vehicle.socket().copy(address.sun_path, sizeof address.sun_path - 1);
    int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    auto bytes = http::client_connection::encode_request(
      "POST", "/", "localhost", {{"Content-Type", "application/json"}}, body);
    std::string_view rest = bytes;
    while (!rest.empty()) {
      auto n = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (n <= 0)
        break; // refused before the end; the answer may be there
      rest.remove_prefix(static_cast<size_t>(n));
    }
    http::client_connection codec;
    std::optional<http::response> result;
    char buffer[16 * 1'024];
    while (!(result = codec.next()) && !codec.failure()) {
      pollfd x{fd, POLLIN, 0};
      auto ready = ::poll(&x, 1, static_cast<int>(node_patience.count()));
      auto n = ready == 1 ? ::recv(fd, buffer, sizeof buffer, 0) : 0;
      if (n <= 0)
        break;
      codec.receive({buffer, static_cast<size_t>(n)});
    }
    ::close(fd);
    return result.value_or(http::response{});
  }

  /// The code of the error answered, empty if there is none.
  std::string code(std::string_view body) {
    auto answer = post(body);
    auto text = json::parse(answer.body);
    if (!text)
      return "HTTP " + std::to_string(answer.status);
    auto error = text->root()["error"];
    if (error)
      CHECK(!error["message"].as_string().value_or("").empty());
    return std::string{error["data"]["code"].as_string().value_or("")};
  }

  std::string code_of_invoke(const std::string& target_json, const std::string& arguments = "{}") {
    return code(R"({"jsonrpc":"2.0","id":3,"method":"invoke","params":{"timeout":)"
                + std::to_string(wall_ms() + 60'000)
                + R"(,"requesting_service":"media_player","target":)" + target_json
                + R"(,"arguments":)" + arguments + "}}");
  }
};

} // namespace

TEST_SUITE_BEGIN("bad calls" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "texts that are no calls") {
  CHECK(code("") == "malformed");
  CHECK(code("{") == "malformed");
  CHECK(code(R"({"jsonrpc":"2.0","id":1,"method":"get_node_address"} x)") == "malformed");
  CHECK(code("\"\xff\xfe\"") == "malformed");
  CHECK(code(R"({"id":1,"method":"\ud800"})") == "malformed");
  CHECK(code("7") == "bad_request");
  CHECK(code("{}") == "bad_request");
  CHECK(code(R"({"jsonrpc":"1.0","id":1,"method":"get_node_address"})") == "bad_request");
  CHECK(code(R"({"jsonrpc":"2.0","id":1,"method":7})") == "bad_request");
  CHECK(code(R"({"jsonrpc":"2.0","id":1,"method":"shutdown"})") == "unknown_method");
}

TEST_CASE_FIXTURE(fixture, "texts beyond the limits") {
  CHECK(code(std::string(100'000, '[')) == "limit_exceeded");
  CHECK(code(R"({"jsonrpc":"2.0","id":1,"method":"invoke","params":)" + std::string(65, '[')
             + std::string(65, ']') + "}")
        == "limit_exceeded");
  CHECK(post(std::string(size_t{13} << 20, ' ')).status == 413);
  CHECK(code_of_invoke(R"("rpc:jlr.com/cloud/media_server/x")",
                       "\"" + std::string(9'000'000, 'x') + "\"")
        == "too_large");
}

TEST_CASE_FIXTURE(fixture, "fields of wrong types or none") {
  CHECK(code_of_invoke("7") == "bad_request");
  CHECK(code_of_invoke("null") == "bad_request");
  CHECK(code_of_invoke(R"("rpc:jlr.com/cloud/media_server/x","colour":1)") == "bad_request");
  CHECK(code(R"({"jsonrpc":"2.0","id":1,"method":"invoke","params":{}})") == "bad_request");
  CHECK(code(R"({"jsonrpc":"2.0","id":1,"method":"invoke","params":[1,2]})") == "bad_request");
  CHECK(code(R"({"jsonrpc":"2.0","id":1,"method":"reply","params":{"transaction_id":"x"}})")
        == "bad_request");
  CHECK(code(R"({"jsonrpc":"2.0","id":1,"method":"register_service","params":{"service":[]}})")
        == "bad_request");
}

TEST_CASE_FIXTURE(fixture, "names that are none") {
  for (auto target : {R"("rpc:jlr.com/cloud/+")", R"("rpc:jlr.com/cloud/#")",
                      R"("rpc:jlr.com/cloud/a\u0000b")", R"("rpc:jlr.com//x")", R"("rpc:")",
                      R"("")", R"("rpc:jlr.com/cloud/../x y")", R"("rpc:jlr.com/cloud/ümlaut")"})
    CHECK_MESSAGE(code_of_invoke(target) == "invalid_name", target);
  CHECK(code_of_invoke("\"rpc:jlr.com/cloud/" + std::string(3'000, 'x') + "\"") == "bad_request");
  // Within the text limit, beyond the name's.
  CHECK(code_of_invoke("\"rpc:jlr.com/cloud/" + std::string(2'040, 'x') + "\"") != "");
  CHECK(code_of_invoke(R"("jlr.com/cloud/media_server/x")") == "invalid_name"); // no type
  for (auto name : {"+", "#", "a/+/b", "a\\u0000b", "", "/"}) {
    auto text = std::string{R"({"jsonrpc":"2.0","id":1,"method":"register_service",)"}
                + R"("params":{"service":")" + name + "\"}}";
    CHECK_MESSAGE(code(text) == "invalid_name", name);
  }
}

TEST_CASE_FIXTURE(fixture, "requests in somebody else's name or past their time") {
  auto invoke = [&](const std::string& from, uint64_t timeout) {
    return code(R"({"jsonrpc":"2.0","id":3,"method":"invoke","params":{"timeout":)"
                + std::to_string(timeout) + R"(,"requesting_service":")" + from
                + R"(","target":"rpc:jlr.com/cloud/media_server/x"}})");
  };
  CHECK(invoke("nobody", wall_ms() + 60'000) == "unauthorized");
  CHECK(invoke("jlr.com/vin/1/services/media_player", wall_ms() + 60'000) != "");
  CHECK(invoke("media_player", wall_ms() - 1) == "timeout");
  CHECK(invoke("media_player", 0) == "timeout");
  CHECK(invoke("media_player", wall_ms() + 100ULL * 365 * 86'400'000) == "bad_request");
  CHECK(invoke("media_player", wall_ms() + 60'000) == "");
  auto id = std::string(56, '0');
  CHECK(
    code(R"({"jsonrpc":"2.0","id":1,"method":"reply","params":{"transaction_id":")" + id + "\"}}")
    == "not_found");
  CHECK(code(R"({"jsonrpc":"2.0","id":1,"method":"get_outcome","params":{"transaction_id":")" + id
             + "\"}}")
        == "not_found");
}

TEST_CASE_FIXTURE(fixture, "a batch of calls answers each, good or bad") {
  auto answer = post(R"([{"jsonrpc":"2.0","id":1,"method":"get_node_address"},7,)"
                     R"({"jsonrpc":"2.0","id":2,"method":"nothing"}])");
  auto text = json::parse(answer.body);
  REQUIRE(text);
  REQUIRE(text->root().size() == 3);
  CHECK(text->root().at(0)["result"]);
  CHECK(text->root().at(1)["error"]);
  CHECK(text->root().at(2)["error"]["data"]["code"].as_string() == "unknown_method");
}

TEST_CASE_FIXTURE(fixture, "invalid UTF-8 on a WebSocket ends that connection only") {
  service_client client{vehicle.socket()};
  REQUIRE(client.connect());
  // A masked text frame with one byte, 0xff.
  std::string frame("\x81\x81\x00\x00\x00\x00\xff", 7);
  REQUIRE(::send(client.fd(), frame.data(), frame.size(), MSG_NOSIGNAL) == 7);
  CHECK(wait_for({&client}, [&] { return !client.connected(); }));
}

TEST_CASE_FIXTURE(fixture, "a service that signs what it asks, at the command line (HLD 12.1)") {
  auto key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  auto key_file = world.folder + "/app.key";
  REQUIRE_FALSE(crypto::save_private_key(key_file, key));
  CHECK(run_rvi("credential jwk " + key_file).output == key.public_part().jwk() + "\n");
  cloud.start();
  auto served = popen((rvi_program() + " serve media_server --echo --count 3 --config "
                       + cloud.path("rvi.toml") + " 2>&1")
                        .c_str(),
                      "r");
  REQUIRE(served);
  auto call = [&](const std::string& more) {
    return run_rvi("call --config " + vehicle.path("rvi.toml")
                   + " rpc:jlr.com/cloud/media_server/list '[7]' " + more);
  };
  CHECK(call("--from app --service-key " + key_file).output == "[7]\n");
  auto again = call("--from app --service-key " + key_file); // under its next id
  CHECK_MESSAGE(again.output == "[7]\n", again.output);
  CHECK(call("--service-key " + key_file).code == 2);
  // A name that is held stays with who holds it.
  auto held = call("--from media_player");
  CHECK_MESSAGE(held.output == "[7]\n", held.output);
  auto services = run_rvi("services --config " + vehicle.path("rvi.toml")).output;
  CHECK_MESSAGE(services.find("/media_player ") != std::string::npos, services);
  CHECK(pclose(served) == 0);
}

TEST_SUITE_END();
