// SPDX-License-Identifier: MPL-2.0
//
// One WebSocket to a node: texts out, texts in. The socket never blocks; `wait` does, with a bound,
// so that a caller may also poll several of them itself.

#pragma once

#include "runtime/error.hpp"
#include "runtime/http/http.hpp"
#include "tools/descriptor.hpp"
#include "tools/node_endpoint.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

/// GET /metrics. Errors of connect_socket, `timeout`, `refused`.
expected<std::string> fetch_metrics(const node_endpoint& from, uint64_t timeout_ms);

class node_stream {
public:
  /// Connects and opens the WebSocket. Errors: `unreachable`, `unauthenticated`, `refused`,
  /// `timeout`.
  static expected<node_stream> open(const node_endpoint& to, uint64_t timeout_ms);

  int fd() const { return fd_.get(); }
  bool wants_write() const { return written_ < out_.size() || codec_.pending_output() > 0; }

  /// Queues a text; `flush` writes as much as the socket takes.
  void send(std::string_view text) { codec_.send_text(text); }
  caf::error flush();
  /// Reads what is there. Error: `link_down`, `malformed`, `limit_exceeded`.
  caf::error read();
  std::optional<std::string> next();
  /// Waits for either direction, then moves bytes. Not an error if nothing happens in time.
  caf::error wait(uint64_t timeout_ms);
  /// Says good-bye and waits shortly for the node's answer.
  void close();

private:
  node_stream(descriptor fd, http::limits bounds);
  caf::error ended() const;

  descriptor fd_;
  http::websocket_client codec_;
  std::vector<char> out_; // of it, `written_` bytes have left
  size_t written_ = 0;
  bool opened_ = false;
};

} // namespace rvi
