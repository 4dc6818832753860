// SPDX-License-Identifier: MPL-2.0
//
// A client of a node: JSON-RPC calls one after another, each with a deadline, and the requests the
// node sends to services on this connection. Not for use by several threads.

#pragma once

#include "runtime/error.hpp"
#include "runtime/json/json.hpp"
#include "tools/node_endpoint.hpp"
#include "tools/node_stream.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace rvi {

inline constexpr uint64_t call_timeout_ms = 10'000;

/// The answer to a call. The value lives as long as the document.
struct node_answer {
  json::document text;
  json::value result;
};

/// A request of the node: `invoke` or `reply`; or the notification `metric`.
struct node_request {
  std::string id; // the JSON value as written; empty: a notification, which has no answer
  std::string method;
  json::value params;
};

class node_client {
public:
  /// Errors of `node_stream::open`.
  static expected<node_client>
  connect(const node_endpoint& to, uint64_t timeout_ms = call_timeout_ms);

  /// Waits for the answer; requests that come meanwhile go to `on_request`. Errors: the node's own
  /// with its code, `timeout`, `link_down`, `shutting_down` after a stop signal.
  expected<node_answer>
  call(std::string_view method, std::string_view params, uint64_t timeout_ms = call_timeout_ms);

  /// Does not wait; the answer's error, or none, goes to `done`.
  void post(std::string_view method, std::string_view params,
            std::function<void(const caf::error&)> done);
  size_t posted() const { return posted_.size(); } // without an answer yet

  /// Every request has to be answered or refused, sooner or later.
  std::function<void(const node_request&)> on_request;
  void answer(std::string_view id);
  void refuse(std::string_view id, std::string_view error_object);

  // For callers that poll themselves.
  int fd() const { return stream_.fd(); }
  bool wants_write() const { return stream_.wants_write(); }
  caf::error flush() { return stream_.flush(); }
  caf::error receive();

  /// Waits once and handles what came.
  caf::error step(uint64_t timeout_ms);
  void close() { stream_.close(); }

private:
  explicit node_client(node_stream stream) : stream_(std::move(stream)) {}
  void take_texts();
  void take(json::document text);

  node_stream stream_;
  uint64_t last_id_ = 0;
  uint64_t awaited_ = 0; // the id `call` waits for; 0: none
  std::optional<json::document> answer_;
  caf::error broken_;
  std::map<uint64_t, std::function<void(const caf::error&)>> posted_;
};

/// Connects to the node the options name.
expected<node_client> connect_node(const node_options& options);

/// A failed command's exit, with advice: how to start the node, or what the node's error asks for.
int fail_with_advice(std::string_view command, const caf::error& why, const node_options& options);

} // namespace rvi
