// SPDX-License-Identifier: MPL-2.0
//
// A JSON RPC server on real sockets, a service edge that records and echoes, and clients that block
// with a deadline.

#pragma once

#include "actors/edge/json_rpc.hpp"
#include "runtime/http/http.hpp"
#include "runtime/json/json.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/io/middleman.hpp>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace rvi::test {

inline constexpr std::chrono::milliseconds patience{5'000};

/// A blocking socket of a client; every wait has a deadline.
class client_socket {
public:
  client_socket() = default;
  static client_socket tcp(uint16_t port);
  static client_socket local(const std::string& path);
  /// A listening one, and what it accepts.
  static client_socket listening(uint16_t& port);
  client_socket accept();

  void send(std::string_view bytes);
  /// What has come, at least one byte; empty at the end of the connection. Fails after `patience`.
  std::string receive();
  /// Whether the peer ends the connection in time; throws away what comes before.
  bool ends();
  /// Whether something comes within the time.
  bool readable(std::chrono::milliseconds time);
  void close() { fd_ = socket_fd{}; }
  int fd() const { return fd_.get(); }

private:
  socket_fd fd_;
};

/// POSTs and their answers on one connection.
struct http_client {
  client_socket on;
  http::client_connection codec;
  http::response read();
  http::response post(std::string_view body, const http::header_list& headers);
};

struct websocket {
  client_socket on;
  http::websocket_client codec;
  /// `failure` of the codec if the server refuses.
  caf::error open(const std::string& host, const http::header_list& headers);
  void send(std::string_view text);
  std::string read();
};

/// What the edge has been told.
struct record {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::vector<service_call>> messages;
  std::vector<receipt> receipts;
  std::vector<client_id> closed;
  std::vector<client_id> rooms; // that read again
  std::vector<client_id> takes_again;

  /// Waits until it holds; false after `patience`.
  bool wait(const std::function<bool()>& condition, std::chrono::milliseconds time = patience);
  size_t calls() const;
};
using record_ptr = std::shared_ptr<record>;

class json_rpc_fixture {
public:
  json_rpc_fixture();
  ~json_rpc_fixture();

  /// Starts the server with what the config says; port 0 and one token ("secret") by default.
  void start(const std::function<void(json_rpc_config&)>& change = {});
  http_client http();
  websocket open_websocket();
  http::header_list headers() const; // with token and content type
  std::string host() const { return "127.0.0.1:" + std::to_string(server.port); }

  /// Waits until the edge knows the service and returns its client.
  client_id register_service(websocket& on, const std::string& name);
  void invoke(client_id client, uint64_t number, const std::string& arguments,
              const std::string& address = {});

  std::string folder; // for socket files; removed at the end
  caf::actor_system_config config;
  std::unique_ptr<caf::actor_system> system;
  record_ptr seen = std::make_shared<record>();
  service_edge_actor edge;
  json_rpc_server server;
};

envelope_ptr make_request(uint64_t number, const std::string& arguments);

/// `{"jsonrpc":"2.0","id":ID,"method":METHOD,"params":PARAMS}`
std::string call_text(std::string_view id, std::string_view method, std::string_view params);

} // namespace rvi::test
