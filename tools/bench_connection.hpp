// SPDX-License-Identifier: MPL-2.0
//
// A service's connection as the bench uses it: in frames, or in JSON-RPC over a WebSocket. Requests
// are known by a sequence number.

#pragma once

#include "runtime/error.hpp"
#include "tools/client/rvi/client.hpp"
#include "tools/node_endpoint.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace rvi {

enum class bench_api { frames, json };

class bench_connection {
public:
  /// Errors: `unreachable`, `unauthenticated`, `timeout`.
  static expected<std::unique_ptr<bench_connection>>
  open(const node_endpoint& to, bench_api api, uint64_t timeout_ms);
  virtual ~bench_connection() = default;

  /// Waits for the answer: its JSON. Errors: the node's, `timeout`.
  virtual expected<std::string>
  ask(std::string_view method, std::string_view params, uint64_t timeout_ms) = 0;
  /// The full name.
  expected<std::string>
  register_service(std::string_view name, std::string_view durability_min, uint64_t timeout_ms);
  caf::error subscribe(std::string_view service, std::string_view pattern, uint64_t timeout_ms);
  virtual void invoke(uint64_t sequence, const client::invocation& x) = 0;
  virtual void publish(uint64_t sequence, std::string_view source, std::string_view topic,
                       std::string_view value)
    = 0;
  /// Receipt of a delivery.
  virtual void take(uint64_t delivery) = 0;
  /// `on_reply_refused` is told of errors.
  virtual void reply(std::string_view transaction_id, std::string_view arguments) = 0;

  /// To an invoke: its transaction id; to a publish: nothing; or why it is refused.
  std::function<void(uint64_t sequence, std::string_view transaction_id, std::string_view refused)>
    on_answer;
  std::function<void(const client::outcome&)> on_outcome;
  std::function<void(const client::request&)> on_request;
  std::function<void(const client::metric&)> on_metric;
  std::function<void()> on_reply_refused;

  virtual int fd() const = 0;
  virtual bool wants_write() const = 0;
  virtual caf::error flush() = 0;
  virtual caf::error receive() = 0;
};

} // namespace rvi
