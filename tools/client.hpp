// SPDX-License-Identifier: MPL-2.0
//
// A command's connection to its node: calls one after another, each with a deadline. Not for use by
// several threads.

#pragma once

#include "runtime/error.hpp"
#include "runtime/json/json.hpp"
#include "tools/client/rvi/client.hpp"
#include "tools/node_endpoint.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace rvi {

inline constexpr uint64_t call_timeout_ms = 10'000;

/// The answer to a call. The value lives as long as the document.
struct node_answer {
  json::document text;
  json::value result;
};

/// An error of the library as one of ours; none stays none.
caf::error error_from(const client::error& x);

class node_client {
public:
  /// Errors: `unreachable`, `unauthenticated`, `timeout`, `protocol_mismatch`.
  static expected<node_client>
  connect(const node_endpoint& to, uint64_t timeout_ms = call_timeout_ms);

  /// Waits for the answer; what comes meanwhile goes to the functions of `node`. Errors: the node's
  /// own with its code, `timeout`, `link_down`, `shutting_down` after a stop signal.
  expected<node_answer>
  call(std::string_view method, std::string_view params, uint64_t timeout_ms = call_timeout_ms);

  /// Waits once and handles what came. Error: why the connection ended.
  caf::error step(uint64_t timeout_ms);
  void close() { node_->close(); }

  /// What is behind it: its functions, receipts and replies.
  client& node() { return *node_; }

private:
  explicit node_client(std::unique_ptr<client> node) : node_(std::move(node)) {}

  std::unique_ptr<client> node_;
};

/// Connects to the node the options name.
expected<node_client> connect_node(const node_options& options);

/// A failed command's exit, with advice: how to start the node, or what the node's error asks for.
int fail_with_advice(std::string_view command, const caf::error& why, const node_options& options);

} // namespace rvi
