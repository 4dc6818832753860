// SPDX-License-Identifier: MPL-2.0
//
// A service on a node's Unix socket: JSON-RPC over WebSocket, one thread, every wait with a
// deadline. What the node hands over gets its receipt while the test waits for something else.

#pragma once

#include "runtime/http/http.hpp"
#include "test/integration/node_process.hpp"

#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rvi::test {

/// The answer to a call of ours.
struct call_answer {
  std::string code;    // data.code of an error; empty: it worked
  std::string message; // of an error
  std::string result;  // JSON
  std::string transaction_id;
  std::string service;
};

/// A request (`invoke`) or an outcome (`reply`) the node handed to us.
struct handed_over {
  std::string transaction_id;
  std::string target;
  std::string requesting_service;
  std::string arguments; // JSON
  std::string status;    // of an outcome
  std::string error;
  std::string dispatched;
  uint64_t timeout_ms = 0;
  uint64_t received_ms = 0; // wall clock
};

class service_client {
public:
  explicit service_client(std::string socket_path) : socket_path_(std::move(socket_path)) {}
  ~service_client() { disconnect(); }
  service_client(const service_client&) = delete;
  service_client& operator=(const service_client&) = delete;

  /// One try; false if nobody listens there.
  bool connect();
  void disconnect();
  bool connected() const { return fd_ >= 0; }

  /// Sends a call and returns its id.
  uint64_t send_call(const std::string& method, const std::string& params);
  void send_text(std::string_view text);
  std::optional<call_answer> take_answer(uint64_t id);
  /// The same and waits; an answer with the code "no answer" if none comes in time.
  call_answer call(const std::string& method, const std::string& params);

  /// Connects if need be; the full name.
  std::string register_service(const std::string& name);
  call_answer invoke(const std::string& from, const std::string& target,
                     const std::string& arguments, uint64_t expires_ms);

  /// Reads what has come, at most that long; false if the connection ended.
  bool pump(milliseconds time);
  int fd() const { return fd_; }

  /// What is done with a request after its receipt; nothing by default.
  std::function<void(const handed_over&)> on_invoke;
  bool gives_receipts = true;
  std::vector<handed_over> invoked;
  std::vector<handed_over> outcomes;
  std::vector<std::string> texts; // that are neither answer nor request

private:
  void take_text(const std::string& text);
  void flush();

  std::string socket_path_;
  int fd_ = -1;
  bool open_ = false;
  http::websocket_client codec_;
  uint64_t last_call_ = 0;
  std::map<uint64_t, call_answer> answers_;
};

/// Serves all clients until the condition holds; false if it does not in time.
bool wait_for(std::initializer_list<service_client*> clients, const std::function<bool()>& holds,
              milliseconds time = node_patience);

/// Answers each request with its own arguments.
void make_echo(service_client& x);

/// The outcome with this transaction id, null if there is none; fails if there are two.
const handed_over* outcome_of(const service_client& x, const std::string& transaction_id);

} // namespace rvi::test
