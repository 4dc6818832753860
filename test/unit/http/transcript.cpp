// SPDX-License-Identifier: MPL-2.0
//
// The recorder, and frames built by hand.

#include "test/unit/http/transcript.hpp"

#include <doctest/doctest.h>

namespace rvi::test {

namespace {

struct recorder {
  http::server_connection connection;
  answering when;
  transcript result;

  void operator()(const http::request& x) {
    result.events.push_back(x.method + " " + x.target + (x.body.empty() ? "" : " " + x.body));
    if (x.websocket_upgrade)
      connection.accept_websocket(x.sequence);
    else if (when == answering::at_once)
      connection.respond(x.sequence, 200, "text/plain", x.body);
  }
  void operator()(const http::text_message& x) { result.events.push_back("text " + x.text); }
  void operator()(const http::closed& x) { result.events.push_back("closed " + x.reason); }

  void feed(std::string_view input, size_t piece) {
    while (!input.empty()) {
      connection.receive(input.substr(0, piece));
      input.remove_prefix(std::min(piece, input.size()));
      while (auto event = connection.next())
        std::visit(*this, *event);
      result.output += connection.take_output();
    }
    result.wants_close = connection.wants_close();
  }
};

transcript
record(std::string_view input, const http::limits& bounds, answering when, size_t piece) {
  recorder x{http::server_connection{bounds}, when, {}};
  x.feed(input, piece);
  return x.result;
}

} // namespace

transcript serve(std::string_view input, const http::limits& bounds, answering when) {
  auto result = record(input, bounds, when, input.size());
  CHECK(result == record(input, bounds, when, 1));
  CHECK(result == record(input, bounds, when, 7));
  return result;
}

int first_status(const std::string& output) {
  REQUIRE(output.starts_with("HTTP/1.1 "));
  return std::stoi(output.substr(9, 3));
}

int refusal(std::string_view input, const http::limits& bounds) {
  auto result = serve(input, bounds);
  CHECK(result.wants_close);
  REQUIRE(result.events.size() == 1);
  CHECK(result.events[0].starts_with("closed "));
  CHECK(result.output.find("Connection: close\r\n") != std::string::npos);
  return first_status(result.output);
}

std::string encode(const frame& x) {
  std::string out;
  out += static_cast<char>((x.fin ? 0x80 : 0) | x.rsv << 4 | x.opcode);
  auto mask_bit = x.masked ? 0x80 : 0;
  auto n = x.payload.size();
  if (n < 126) {
    out += static_cast<char>(mask_bit | static_cast<int>(n));
  } else {
    auto length_bytes = n < 65536 ? 2 : 8;
    out += static_cast<char>(mask_bit | (length_bytes == 2 ? 126 : 127));
    for (int i = length_bytes - 1; i >= 0; --i)
      out += static_cast<char>(n >> (8 * i));
  }
  if (!x.masked)
    return out + x.payload;
  const char mask[] = {'\x12', '\x34', '\x56', '\x78'};
  out.append(mask, 4);
  for (size_t i = 0; i < n; ++i)
    out += static_cast<char>(x.payload[i] ^ mask[i % 4]);
  return out;
}

const std::string upgrade_request = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                                    "Connection: keep-alive, Upgrade\r\n"
                                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                    "Sec-WebSocket-Version: 13\r\n\r\n";

transcript serve_frames(std::string_view frames, const http::limits& bounds) {
  auto result = serve(upgrade_request + std::string{frames}, bounds);
  REQUIRE(!result.events.empty());
  CHECK(result.events.front() == "GET /ws");
  result.events.erase(result.events.begin());
  CHECK(first_status(result.output) == 101);
  result.output.erase(0, result.output.find("\r\n\r\n") + 4);
  return result;
}

std::string close_frame(unsigned code, std::string_view reason) {
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code)};
  return encode({8, payload.append(reason), true, false});
}

} // namespace rvi::test
