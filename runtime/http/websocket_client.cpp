// SPDX-License-Identifier: MPL-2.0
//
// The client's end of a WebSocket: the handshake of RFC 6455 4.1, then frames.

#include "runtime/crypto/crypto.hpp"
#include "runtime/http/encode.hpp"
#include "runtime/http/event_queue.hpp"
#include "runtime/http/http.hpp"
#include "runtime/http/message_reader.hpp"
#include "runtime/http/websocket_codec.hpp"

namespace rvi::http {

struct websocket_client::state {
  limits bounds;
  message_reader reader;
  event_queue<websocket_event> events;
  std::string key = crypto::base64(crypto::random_bytes(16));
  std::string output;
  std::unique_ptr<websocket_codec> socket;
  std::vector<std::string> messages;
  caf::error failure;
  bool over = false;

  explicit state(limits x) : bounds{x}, reader{message_kind::response, x} {}

  void receive(std::string_view bytes) {
    while (!over) {
      if (socket)
        return receive_frames(bytes);
      switch (reader.read(bytes)) {
        case message_reader::progress::more:
          return;
        case message_reader::progress::head:
          break;
        case message_reader::progress::complete:
          answer();
          break;
        case message_reader::progress::failed: {
          auto& error = reader.error();
          auto large = error.status == 413 || error.status == 431;
          end(large ? ec::limit_exceeded : ec::malformed,
              std::string{"WebSocket handshake: "} + error.reason);
          break;
        }
      }
    }
  }

  void answer() {
    auto& head = reader.head();
    auto& headers = head.headers;
    if (head.status / 100 == 1 && head.status != 101)
      return;
    if (head.status != 101)
      return end(ec::refused, "WebSocket handshake: HTTP " + std::to_string(head.status));
    if (!header_has_token(headers, "upgrade", "websocket")
        || !header_has_token(headers, "connection", "upgrade")
        || count_headers(headers, "sec-websocket-accept") != 1
        || find_header(headers, "sec-websocket-accept") != websocket_accept(key)
        || count_headers(headers, "sec-websocket-extensions") != 0)
      return end(ec::malformed, "WebSocket handshake: not the answer to ours");
    socket
      = std::make_unique<websocket_codec>(websocket_side::client, bounds.message_bytes_max, output);
    events.push(opened{std::string{find_header(headers, "sec-websocket-protocol")}});
  }

  void receive_frames(std::string_view bytes) {
    socket->receive(bytes, messages);
    for (auto& x : messages)
      events.push(text_message{std::move(x)});
    messages.clear();
    if (!socket->over())
      return;
    auto code = socket->violation();
    end(code == 0 ? ec::none : code == 1009 ? ec::limit_exceeded : ec::malformed, socket->reason());
  }

  void end(ec code, const std::string& reason) {
    over = true;
    if (code != ec::none)
      failure = caf::make_error(code, reason);
    events.push(closed{reason});
  }
};

websocket_client::websocket_client(limits bounds) : state_{std::make_unique<state>(bounds)} {}

websocket_client::websocket_client(websocket_client&&) noexcept = default;

websocket_client& websocket_client::operator=(websocket_client&&) noexcept = default;

websocket_client::~websocket_client() = default;

std::string websocket_client::handshake(std::string_view host, std::string_view target,
                                        const header_list& headers) const {
  header_list all{{"Upgrade", "websocket"},
                  {"Connection", "Upgrade"},
                  {"Sec-WebSocket-Key", state_->key},
                  {"Sec-WebSocket-Version", "13"}};
  all.insert(all.end(), headers.begin(), headers.end());
  return client_connection::encode_request("GET", target, host, all, {});
}

void websocket_client::receive(std::string_view bytes) {
  state_->receive(bytes);
}

std::optional<websocket_event> websocket_client::next() {
  return state_->events.pop();
}

void websocket_client::send_text(std::string_view text) {
  if (state_->socket)
    state_->socket->send_text(text);
}

void websocket_client::send_ping() {
  if (state_->socket)
    state_->socket->send_ping();
}

void websocket_client::close(uint16_t code, std::string_view reason) {
  if (state_->socket)
    state_->socket->close(code, reason);
}

uint64_t websocket_client::pongs() const {
  return state_->socket ? state_->socket->pongs() : 0;
}

void websocket_client::take_output(std::vector<char>& out) {
  drain(state_->output, out);
}

std::string websocket_client::take_output() {
  return std::exchange(state_->output, {});
}

size_t websocket_client::pending_output() const {
  return state_->output.size();
}

bool websocket_client::wants_close() const {
  return state_->over;
}

caf::error websocket_client::failure() const {
  return state_->failure;
}

} // namespace rvi::http
