// SPDX-License-Identifier: MPL-2.0
//
// The client's end of HTTP: responses out of bytes.

#include "runtime/http/event_queue.hpp"
#include "runtime/http/http.hpp"
#include "runtime/http/message_reader.hpp"

namespace rvi::http {

struct client_connection::state {
  message_reader reader;
  event_queue<response> responses;
  caf::error failure;

  explicit state(limits bounds) : reader{message_kind::response, bounds} {}

  void complete() {
    auto& head = reader.head();
    if (head.status == 101) {
      failure = caf::make_error(ec::malformed, "HTTP response: an upgrade nobody asked for");
      return;
    }
    if (head.status / 100 == 1) // interim
      return;
    responses.push(
      {head.status, std::move(head.headers), std::move(reader.body()), head.keep_alive});
  }

  void fail() {
    auto& error = reader.error();
    auto code = error.status == 413 || error.status == 431 ? ec::limit_exceeded : ec::malformed;
    failure = caf::make_error(code, std::string{"HTTP response: "} + error.reason);
  }
};

client_connection::client_connection(limits bounds) : state_{std::make_unique<state>(bounds)} {}

client_connection::client_connection(client_connection&&) noexcept = default;

client_connection& client_connection::operator=(client_connection&&) noexcept = default;

client_connection::~client_connection() = default;

void client_connection::receive(std::string_view bytes) {
  while (!state_->failure) {
    switch (state_->reader.read(bytes)) {
      case message_reader::progress::more:
        return;
      case message_reader::progress::head:
        break;
      case message_reader::progress::complete:
        state_->complete();
        break;
      case message_reader::progress::failed:
        state_->fail();
        break;
    }
  }
}

void client_connection::transport_closed() {
  if (state_->failure)
    return;
  switch (state_->reader.end()) {
    case message_reader::progress::complete:
      state_->complete();
      break;
    case message_reader::progress::failed:
      state_->failure = caf::make_error(ec::link_down, "HTTP response: cut short");
      break;
    default:
      break;
  }
}

std::optional<response> client_connection::next() {
  return state_->responses.pop();
}

caf::error client_connection::failure() const {
  return state_->failure;
}

} // namespace rvi::http
