// SPDX-License-Identifier: MPL-2.0
//
// Somebody at a node's service API who sends what they like, over TCP or its Unix socket.

#pragma once

#include "runtime/http/http.hpp"
#include "test/integration/node_process.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace rvi::test {

class api_stranger {
public:
  explicit api_stranger(uint16_t port);
  explicit api_stranger(const std::string& socket_path);
  ~api_stranger();
  api_stranger(const api_stranger&) = delete;
  api_stranger& operator=(const api_stranger&) = delete;

  void send(std::string_view bytes);
  /// Status 0: the connection ended without an answer.
  http::response answer();
  http::response request(std::string_view method, std::string_view target,
                         const http::header_list& headers, std::string_view body);
  /// A JSON-RPC call with a token, as good clients make it.
  http::response call(std::string_view token, const std::string& method, const std::string& params);
  /// The code in the error of that answer; empty: it worked.
  std::string
  code_of_call(std::string_view token, const std::string& method, const std::string& params);
  /// What comes until the node closes; nothing if it does not in time.
  std::optional<std::string> rest(milliseconds time = node_patience);
  /// Reads until this has come; false if the connection ends before, or it does not in time.
  bool says(std::string_view part);

private:
  int fd_ = -1;
  http::client_connection codec_;
};

} // namespace rvi::test
