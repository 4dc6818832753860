// SPDX-License-Identifier: MPL-2.0
//
// HTTP/1.1 and WebSocket (RFC 6455) as codecs: bytes in, events out, bytes out. Without sockets, so
// that they run inside a broker. Servers are strict, because a message that two parsers read
// differently is an attack.

#pragma once

#include "runtime/error.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace rvi::http {

struct limits {
  size_t header_bytes_max = size_t{16} << 10; // request line and headers; trailers alike
  size_t body_bytes_max = size_t{12} << 20;
  size_t message_bytes_max = size_t{12} << 20; // of WebSocket
  size_t pipelined_max = 64;                   // requests not yet answered
};

using header_list = std::vector<std::pair<std::string, std::string>>;

/// Value of the first header of that name; empty if there is none.
std::string_view find_header(const header_list& headers, std::string_view lowercase_name);

struct request {
  uint64_t sequence = 0;
  std::string method;
  std::string target;  // path and query, or "*"
  header_list headers; // names in lowercase
  std::string body;
  bool keep_alive = true;
  bool websocket_upgrade = false; // to be answered by `accept_websocket`, or `respond` to refuse
  std::string_view header(std::string_view lowercase_name) const;
};

struct text_message {
  std::string text; // valid UTF-8
};

/// Comes at most once and last: nothing more will be read from this connection.
struct closed {
  std::string reason;
};

using event = std::variant<request, text_message, closed>;

/// The server's end of one connection. It answers protocol errors itself (400, 413, 417, 426, 431,
/// 501, 503, 505; WebSocket 1002, 1003, 1007, 1009) and then wants to be closed.
class server_connection {
public:
  explicit server_connection(limits bounds = {});
  server_connection(server_connection&&) noexcept;
  server_connection& operator=(server_connection&&) noexcept;
  ~server_connection();

  void receive(std::string_view bytes);
  std::optional<event> next();

  /// Answers leave in the order of the requests, whatever order they come in. An unknown or already
  /// answered sequence is ignored, and so are extra headers with control characters. An empty
  /// content type sends none.
  void respond(uint64_t sequence, int status, std::string_view content_type, std::string_view body,
               const header_list& extra = {});

  /// Answers 101; later bytes are frames. `subprotocol` must be one the client offered.
  void accept_websocket(uint64_t sequence, std::string_view subprotocol = {});
  bool is_websocket() const;
  /// These three do nothing unless the WebSocket is open. Text must be UTF-8.
  void send_text(std::string_view text);
  void send_ping();
  /// Starts the close handshake; the connection wants to be closed once the peer has answered.
  void close_websocket(uint16_t code, std::string_view reason);
  uint64_t pongs() const; // received so far

  void take_output(std::vector<char>& out); // appends
  std::string take_output();
  size_t pending_output() const;
  size_t unanswered() const; // requests
  /// Close the connection as soon as the output is written.
  bool wants_close() const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

struct response {
  int status = 0;
  header_list headers; // names in lowercase
  std::string body;
  bool keep_alive = true;
  std::string_view header(std::string_view lowercase_name) const;
};

/// The client's end of one connection. Not for HEAD requests, whose answers carry no body.
class client_connection {
public:
  /// Adds Host and, unless the method is GET and the body empty, Content-Length. Headers with
  /// control characters are left out; the result is empty if the method, target or host is empty or
  /// holds a space or control character.
  static std::string
  encode_request(std::string_view method, std::string_view target, std::string_view host,
                 const header_list& headers, std::string_view body);

  explicit client_connection(limits bounds = {});
  client_connection(client_connection&&) noexcept;
  client_connection& operator=(client_connection&&) noexcept;
  ~client_connection();

  void receive(std::string_view bytes);
  /// The transport ended: completes a response whose end is the end of the connection.
  void transport_closed();
  std::optional<response> next();
  /// `malformed`, `limit_exceeded`, or `link_down` if the transport ended inside a response.
  caf::error failure() const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

/// The server agreed: messages may be sent.
struct opened {
  std::string subprotocol;
};

using websocket_event = std::variant<opened, text_message, closed>;

/// The client's end of one WebSocket.
class websocket_client {
public:
  explicit websocket_client(limits bounds = {});
  websocket_client(websocket_client&&) noexcept;
  websocket_client& operator=(websocket_client&&) noexcept;
  ~websocket_client();

  /// The opening request, to be sent first.
  std::string
  handshake(std::string_view host, std::string_view target, const header_list& headers = {}) const;
  void receive(std::string_view bytes);
  std::optional<websocket_event> next();
  /// These do nothing unless the WebSocket is open.
  void send_text(std::string_view text);
  void send_ping();
  void close(uint16_t code, std::string_view reason);
  uint64_t pongs() const; // received so far

  void take_output(std::vector<char>& out); // appends
  std::string take_output();
  size_t pending_output() const;
  bool wants_close() const;
  /// `refused` if the server answered otherwise than 101 (the detail has the status), `malformed`,
  /// `limit_exceeded`; none after an orderly close.
  caf::error failure() const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace rvi::http
