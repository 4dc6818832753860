// SPDX-License-Identifier: MPL-2.0
//
// The server's end of a connection: pipelined requests in pieces of any size, each answered, and
// WebSocket for those who ask.

#include "runtime/http/http.hpp"

#include "runtime/json/utf8.hpp"
#include "test/fuzz/fuzz.hpp"

using namespace rvi;

namespace {

constexpr std::string_view upgrade
  = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

void answer(http::server_connection& connection) {
  while (auto event = connection.next()) {
    if (auto request = std::get_if<http::request>(&*event)) {
      if (request->websocket_upgrade)
        connection.accept_websocket(request->sequence);
      else
        connection.respond(request->sequence, 200, "application/json", request->body);
    } else if (auto message = std::get_if<http::text_message>(&*event)) {
      assert(json::is_utf8(message->text));
      connection.send_text(message->text);
    }
  }
  (void)connection.take_output();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::input in{data, size};
  http::server_connection connection;
  auto how = in.byte();
  if ((how & 1) != 0)
    connection.receive(upgrade);
  answer(connection);
  size_t piece = (how >> 1) == 0 ? size : how >> 1;
  while (!in.empty() && !connection.wants_close()) {
    connection.receive(in.take(piece));
    answer(connection);
  }
  return 0;
}
