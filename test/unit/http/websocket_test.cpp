// SPDX-License-Identifier: MPL-2.0
//
// The WebSocket rules of RFC 6455, one by one, and both ends against each other.

#include "runtime/crypto/crypto.hpp"
#include "test/unit/http/transcript.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;

namespace {

using strings = std::vector<std::string>;

/// The frames must be answered by a close of this code, after these messages.
void check_violation(std::string_view frames, unsigned code, const strings& before = {},
                     const http::limits& bounds = {}) {
  auto x = serve_frames(frames, bounds);
  REQUIRE(x.events.size() == before.size() + 1);
  CHECK(strings{x.events.begin(), x.events.end() - 1} == before);
  CHECK(x.events.back().starts_with("closed " + std::to_string(code)));
  CHECK(x.wants_close);
  REQUIRE(x.output.size() > 4);
  CHECK(x.output.substr(0, 1) == "\x88");
  auto sent = static_cast<unsigned>(static_cast<unsigned char>(x.output[2])) << 8
              | static_cast<unsigned char>(x.output[3]);
  CHECK(sent == code);
}

std::string without(std::string request, const std::string& line) {
  auto at = request.find(line);
  REQUIRE(at != std::string::npos);
  return request.erase(at, request.find("\r\n", at) + 2 - at);
}

std::string with(std::string request, const std::string& line, const std::string& other) {
  request = without(request, line);
  return request.insert(request.size() - 2, other + "\r\n");
}

struct pair_of_ends {
  http::server_connection server;
  http::websocket_client client;
  strings at_server;
  strings at_client;
  size_t piece = SIZE_MAX;

  void note(http::event x) {
    if (auto* request = std::get_if<http::request>(&x))
      server.accept_websocket(request->sequence, request->header("sec-websocket-protocol"));
    else if (auto* message = std::get_if<http::text_message>(&x))
      at_server.push_back(std::move(message->text));
    else
      at_server.push_back("closed " + std::get<http::closed>(x).reason);
  }

  void note(http::websocket_event x) {
    if (auto* start = std::get_if<http::opened>(&x))
      at_client.push_back("opened " + start->subprotocol);
    else if (auto* message = std::get_if<http::text_message>(&x))
      at_client.push_back(std::move(message->text));
    else
      at_client.push_back("closed " + std::get<http::closed>(x).reason);
  }

  template <class End>
  void carry(const std::string& bytes, End& to) {
    for (size_t i = 0; i < bytes.size(); i += std::min(piece, bytes.size() - i))
      to.receive(std::string_view{bytes}.substr(i, piece));
    while (auto x = to.next())
      note(std::move(*x));
  }

  void settle() {
    while (client.pending_output() > 0 || server.pending_output() > 0) {
      carry(client.take_output(), server);
      carry(server.take_output(), client);
    }
  }

  void open() {
    carry(client.handshake("a", "/ws", {{"Sec-WebSocket-Protocol", "VISSv2"}}), server);
    settle();
    REQUIRE(server.is_websocket());
    REQUIRE(at_client == strings{"opened VISSv2"});
    at_client.clear();
  }
};

} // namespace

TEST_CASE("the handshake of RFC 6455 is answered as it says") {
  auto x = serve(upgrade_request);
  CHECK(x.events == strings{"GET /ws"});
  CHECK(x.output
        == "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
  CHECK(!x.wants_close);
}

TEST_CASE("a handshake that is not right is refused") {
  auto& good = upgrade_request;
  auto x = serve(with(good, "Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"));
  CHECK(first_status(x.output) == 426);
  CHECK(x.output.find("Sec-WebSocket-Version: 13\r\n") != std::string::npos);
  CHECK(refusal(without(good, "Sec-WebSocket-Version")) == 426);
  CHECK(refusal(without(good, "Sec-WebSocket-Key")) == 400);
  CHECK(refusal(with(good, "Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ=")) == 400);
  CHECK(refusal(with(good, "Sec-WebSocket-Key", "Sec-WebSocket-Key: %%%")) == 400);
  CHECK(refusal(with(good, "Host", "Host: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        == 400);
  CHECK(refusal(with(good, "Connection", "Connection: keep-alive")) == 400);
  CHECK(refusal(with(good, "GET", "Content-Length: 0").insert(0, "POST /ws HTTP/1.1\r\n")) == 400);
  CHECK(refusal(with(good, "Host", "Host: a\r\nContent-Length: 2")) == 400);
}

TEST_CASE("a handshake may be refused by the owner") {
  http::server_connection x;
  x.receive(upgrade_request + encode({1, "too early"}));
  x.respond(1, 403, "text/plain", "no");
  CHECK(first_status(x.take_output()) == 403);
  CHECK(x.wants_close());
  CHECK(!x.is_websocket());
  x.accept_websocket(1);
  CHECK(!x.is_websocket());
}

TEST_CASE("frames before the handshake is answered wait within a bound") {
  http::limits bounds;
  bounds.header_bytes_max = 400;
  auto early = encode({1, std::string(100, 'x')});
  http::server_connection x{bounds};
  x.receive(upgrade_request + early + early);
  CHECK(std::holds_alternative<http::request>(*x.next()));
  x.accept_websocket(1);
  CHECK(std::get<http::text_message>(*x.next()).text.size() == 100);
  CHECK(std::holds_alternative<http::text_message>(*x.next()));
  http::server_connection y{bounds};
  y.receive(upgrade_request);
  for (int i = 0; i < 4; ++i)
    y.receive(early);
  CHECK(y.wants_close());
  y.accept_websocket(1);
  CHECK(!y.is_websocket());
}

TEST_CASE("text arrives, in one frame, in fragments, with control frames in between") {
  auto x = serve_frames(encode({1, "one"}) + encode({1, ""}) + encode({1, "tw", false})
                        + encode({9, "ping"}) + encode({0, "", false}) + encode({10, "pong"})
                        + encode({0, "o"}));
  CHECK(x.events == strings{"text one", "text ", "text two"});
  CHECK(x.output == encode({10, "ping", true, false}));
  CHECK(!x.wants_close);
}

TEST_CASE("every length of frame arrives") {
  http::limits bounds;
  bounds.header_bytes_max = 1 << 20; // the frames come in one piece with the handshake
  for (size_t n : {125, 126, 127, 4096, 65535, 65536, 200'000}) {
    auto x = serve_frames(encode({1, std::string(n, 'x')}) + encode({1, "end"}), bounds);
    REQUIRE(x.events.size() == 2);
    CHECK(x.events[0].size() == n + 5);
    CHECK(x.events[1] == "text end");
  }
}

TEST_CASE("frames without a mask are refused") {
  check_violation(encode({1, "ok"}) + encode({1, "text", true, false}), 1002, {"text ok"});
  check_violation(encode({9, "ping", true, false}), 1002);
}

TEST_CASE("binary messages are refused") {
  check_violation(encode({2, "binary"}), 1003);
}

TEST_CASE("frames that RFC 6455 forbids are refused") {
  check_violation(encode({1, "x", true, true, 4}), 1002); // reserved bit
  check_violation(encode({3, "x"}), 1002);                // reserved opcodes
  check_violation(encode({11, "x"}), 1002);
  check_violation(encode({0, "x"}), 1002);                           // nothing to continue
  check_violation(encode({1, "a", false}) + encode({1, "b"}), 1002); // not continued
  check_violation(encode({1, "a", false}) + encode({2, "b"}), 1002);
  check_violation(encode({9, std::string(126, 'x')}), 1002); // long control frame
  check_violation(encode({9, "x", false}), 1002);            // fragmented control frame
  check_violation(std::string{"\x81\xfe\x00\x05\x00\x00\x00\x00hello", 13}, 1002); // long length
}

TEST_CASE("text that is not UTF-8 is refused wherever it is cut") {
  check_violation(encode({1, "\xff"}), 1007);
  check_violation(encode({1, "\xc3"}), 1007);
  check_violation(encode({1, "\xed\xa0\x80"}), 1007); // a surrogate
  check_violation(encode({1, "\xc0\x80"}), 1007);     // overlong
  check_violation(encode({1, "\xc3", false}) + encode({0, "("}), 1007);
  auto x = serve_frames(encode({1, "\xe2\x82", false}) + encode({0, "\xac"}));
  CHECK(x.events == strings{"text \xe2\x82\xac"});
}

TEST_CASE("a message may fill its bound but not pass it") {
  http::limits bounds;
  bounds.message_bytes_max = 10;
  auto x = serve_frames(
    encode({1, "0123456789"}) + encode({1, "01234", false}) + encode({0, "56789"}), bounds);
  CHECK(x.events == strings{"text 0123456789", "text 0123456789"});
  check_violation(encode({1, "0123456789a"}), 1009, {}, bounds);
  check_violation(encode({1, "01234", false}) + encode({0, "56789a"}), 1009, {}, bounds);
  // A length nobody can send is refused when the first byte arrives.
  check_violation(std::string{"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00x", 15},
                  1009);
}

TEST_CASE("a close is answered with its code and ends the connection") {
  auto close = [](const std::string& payload) { return encode({8, payload}); };
  auto x = serve_frames(encode({1, "a"})
                        + close("\x03\xe8"
                                "bye")
                        + encode({1, "b"}));
  CHECK(x.events == strings{"text a", "closed 1000 from the peer: bye"});
  CHECK(x.output == close_frame(1000, ""));
  CHECK(x.wants_close);
  x = serve_frames(close(""));
  CHECK(x.events == strings{"closed closed by the peer"});
  CHECK(x.output == encode({8, "", true, false}));
  x = serve_frames(encode({1, "a", false}) + close("\x0f\xa0"));
  CHECK(x.events == strings{"closed 4000 from the peer"});
}

TEST_CASE("a close that is not right is refused") {
  auto close = [](const std::string& payload) { return encode({8, payload}); };
  check_violation(close("x"), 1002);
  check_violation(close("\x03\xed"), 1002); // 1005 must not be sent
  check_violation(close("\x03\xee"), 1002); // 1006 neither
  check_violation(close(std::string{"\x00\x01", 2}), 1002);
  check_violation(close("\x13\x88"), 1002);     // 5000
  check_violation(close("\x03\xe8\xff"), 1007); // the reason is not UTF-8
  check_violation(close("\x03\xe8"
                        "ab\xff"
                        "cd"),
                  1007);
}

TEST_CASE("messages go both ways, byte by byte as well") {
  for (size_t piece : {SIZE_MAX, size_t{1}, size_t{1000}}) {
    pair_of_ends x;
    x.piece = piece;
    x.open();
    x.client.send_text("from the client");
    x.client.send_text("");
    x.server.send_text("from the server \xe2\x82\xac");
    x.server.send_ping();
    x.client.send_ping();
    x.settle();
    CHECK(x.at_server == strings{"from the client", ""});
    CHECK(x.at_client == strings{"from the server \xe2\x82\xac"});
    CHECK(x.server.pongs() == 1);
    CHECK(x.client.pongs() == 1);
    x.client.close(1000, "done");
    x.client.send_text("never sent");
    x.settle();
    CHECK(x.at_server.back() == "closed 1000 from the peer: done");
    CHECK(x.at_client.back() == "closed 1000 from the peer");
    CHECK(x.server.wants_close());
    CHECK(x.client.wants_close());
    CHECK(!x.client.failure());
  }
}

TEST_CASE("a server may close, and drops what still comes") {
  pair_of_ends x;
  x.open();
  x.server.close_websocket(1001, "going away");
  x.client.send_text("crosses the close");
  CHECK(!x.server.wants_close());
  x.settle();
  CHECK(x.at_client == strings{"closed 1001 from the peer: going away"});
  CHECK(x.at_server == strings{"closed 1001 from the peer"});
  CHECK(x.server.wants_close());
}

TEST_CASE("messages of a megabyte go both ways") {
  std::string large(1 << 20, 'x');
  for (size_t i = 0; i < large.size(); i += 101)
    large[i] = static_cast<char>('a' + i % 26);
  pair_of_ends x;
  x.piece = 9'999;
  x.open();
  x.client.send_text(large);
  x.server.send_text(large);
  x.settle();
  REQUIRE(x.at_server.size() == 1);
  REQUIRE(x.at_client.size() == 1);
  CHECK(x.at_server[0] == large);
  CHECK(x.at_client[0] == large);
}

TEST_CASE("a client masks each frame with a new key") {
  pair_of_ends x;
  x.open();
  std::vector<std::string> keys;
  for (int i = 0; i < 600; ++i) {
    x.client.send_text("same");
    auto bytes = x.client.take_output();
    REQUIRE(bytes.size() == 10);
    CHECK((bytes[1] & 0x80) != 0);
    keys.push_back(bytes.substr(2, 4));
  }
  std::sort(keys.begin(), keys.end());
  CHECK(std::adjacent_find(keys.begin(), keys.end()) == keys.end());
}

TEST_CASE("a client believes only the answer to its own handshake") {
  auto answer = [](const std::string& head) {
    http::websocket_client x;
    x.receive(head);
    CHECK(x.wants_close());
    CHECK(std::holds_alternative<http::closed>(*x.next()));
    x.send_text("nothing");
    CHECK(x.pending_output() == 0);
    return code_of(x.failure());
  };
  const std::string foreign = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
  CHECK(answer(foreign) == ec::malformed);
  CHECK(answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") == ec::refused);
  CHECK(answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") == ec::refused);
  CHECK(answer("garbage") == ec::malformed);
  CHECK(answer("HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'x')) == ec::limit_exceeded);
}

TEST_CASE("a client refuses masked frames") {
  pair_of_ends x;
  x.open();
  x.client.receive(encode({1, "masked"}));
  CHECK(code_of(x.client.failure()) == ec::malformed);
  CHECK(x.client.wants_close());
  CHECK(x.client.pending_output() > 0);
}

TEST_CASE("a client refuses messages over its bound") {
  http::limits bounds;
  bounds.message_bytes_max = 10;
  pair_of_ends x;
  x.client = http::websocket_client{bounds};
  x.open();
  x.server.send_text("0123456789");
  x.settle();
  CHECK(x.at_client == strings{"0123456789"});
  x.server.send_text("0123456789a");
  x.settle();
  CHECK(code_of(x.client.failure()) == ec::limit_exceeded);
  CHECK(x.at_server == strings{"closed 1009 from the peer: message too large"});
}

TEST_CASE("random frames never do harm") {
  for (int i = 0; i < 500; ++i) {
    auto bytes = crypto::random_bytes(static_cast<size_t>(i) + 1);
    if (i % 2)
      bytes[0] = '\x81';
    serve_frames(bytes);
  }
}
