// SPDX-License-Identifier: MPL-2.0
//
// A service's connection to its node, in frames (rvi.proto, part 2, ServiceFrame): what JSON-RPC
// over WebSocket does, for a fraction of its cost. One thread, no callback but from `wait`,
// `receive` and the functions that say so; the socket never blocks.
//
//   rvi::client node;
//   if (auto why = node.connect({.socket_path = "/run/rvi/rvi.sock"}, std::chrono::seconds{5}))
//     return report(why);
//   node.on_request = [&](const rvi::client::request& x) {
//     node.take(x.delivery);                    // from here on it is ours
//     node.reply(x.transaction_id, answer_to(x.arguments));
//   };
//   node.call("register_service", R"({"service":"media_player"})", {});
//   while (!node.wait(std::chrono::seconds{60})) {
//   }
//
// All arguments, values and results are JSON texts. Times are Unix milliseconds.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#if defined(__GNUC__)
#define RVI_CLIENT_API __attribute__((visibility("default")))
#else
#define RVI_CLIENT_API
#endif

namespace rvi {

class RVI_CLIENT_API client {
public:
  /// Why something failed. `code` is the name to act on: the node's own (README, "Errors"), or
  /// `unreachable`, `link_down`, `timeout`, `io_failed`, `malformed` of the connection. Empty: it
  /// did not.
  struct error {
    std::string code;
    std::string message;
    uint64_t retry_after_ms = 0; // 0: nothing is said
    explicit operator bool() const { return !code.empty(); }
  };

  /// Where the node is: its Unix socket, where the user of this process says who asks, or its TCP
  /// port with a token.
  struct address {
    std::string socket_path = {}; // empty: TCP
    std::string host = "127.0.0.1";
    uint16_t port = 8801;
    std::string token = {};
  };

  /// HLD 3.2.6: the user a request is made for.
  struct user {
    std::string name; // to services: the node's pseudonym for them
    std::string role;
    uint64_t authenticated_ms = 0; // 0: not known
    std::string method;
  };

  /// HLD 8.1: a request. What is left as it is here has the node's default.
  struct invocation {
    std::string target;                  // "rpc:jlr.com/cloud/media_server/list", "message:..."
    std::string arguments = "{}";        // JSON
    std::string requesting_service = {}; // a name of ours
    uint64_t timeout_ms = 0;             // when its time is up; 0: the node's default
    int priority = -1;                   // 0 (first) to 7
    std::string channel = {};
    bool durable = true; // false: in memory only, for services that take it
    std::string data_class = {};
    bool delivery_report = false;
    const user* on_behalf_of = nullptr; // read when it is sent
    uint64_t service_transaction_id = 0;
    std::string service_signature = {};
  };

  struct accepted {
    std::string_view transaction_id;
    bool repeated = false;
  };

  /// How a request of ours ended (HLD 8.20).
  struct outcome {
    std::string_view transaction_id;
    std::string_view status; // ok, error, timeout, outcome_unknown, refused
    std::string_view target;
    std::string_view arguments;  // with ok: the reply
    std::string_view error;      // with error, refused: a JSON object
    std::string_view dispatched; // with timeout: no, unknown
    std::string_view service_signature;
  };

  /// What the node hands to a service of ours (HLD 8.19).
  struct request {
    uint64_t delivery = 0; // for `take` and `refuse`
    std::string_view transaction_id;
    std::string_view target;
    std::string_view requesting_service;
    std::string_view arguments;
    uint64_t timeout_ms = 0;
    const user* on_behalf_of = nullptr;
    std::string_view service_signature;
  };

  /// HLD 6.1.3.
  struct metric {
    std::string_view target;
    std::string_view value;
    std::string_view source;
    uint64_t published_ms = 0;
  };

  using done = std::function<void(const error&)>;

  client();
  client(client&&) noexcept;
  client& operator=(client&&) noexcept;
  ~client();

  /// Returns when the node knows who asks. Errors: `unreachable`, `unauthenticated`, `timeout`,
  /// `protocol_mismatch`.
  error connect(const address& to, std::chrono::milliseconds timeout);
  void close();
  bool connected() const;

  // Each of these is sent with the next `wait` or `flush`. Its function is called once, with the
  // answer or why there will be none, at once if there is no connection; it may be empty. Whatever
  // functions this client calls may call back into it, but not destroy, connect, close or move it.

  /// `accepted` holds if there is no error: from then on the node has it, durably if it was to be.
  void invoke(const invocation& x, std::function<void(const error&, const accepted&)> answered);
  /// Waits for the outcome instead.
  void invoke_synch(const invocation& x, std::function<void(const error&, const outcome&)> ended);
  /// To an rpc that was handed to us.
  void reply(std::string_view transaction_id, std::string_view arguments, done answered = {});
  /// `timeout_ms` 0: the value holds until it is replaced.
  void publish(std::string_view source, std::string_view target, std::string_view value,
               uint64_t timeout_ms = 0, bool retain = false, done answered = {});
  /// Any other method of the service API, as in JSON-RPC: `register_service`, `subscribe`, ... The
  /// result is its JSON.
  void call(std::string_view method, std::string_view params,
            std::function<void(const error&, std::string_view result)> answered);
  /// Calls without an answer yet.
  size_t outstanding() const;

  /// Requests for services of ours; each must be taken or refused, now or later. Without a function
  /// they are refused.
  std::function<void(const request&)> on_request;
  void take(uint64_t delivery);
  /// `error_object`: {"code":N,"message":"..."}.
  void refuse(uint64_t delivery, std::string_view error_object);
  /// Outcomes of requests made with `invoke`; they are taken when it returns.
  std::function<void(const outcome&)> on_outcome;
  std::function<void(const metric&)> on_metric;
  /// Other notifications: `services_available`, `services_unavailable`.
  std::function<void(std::string_view method, std::string_view params)> on_notification;

  /// Sends what waits, waits once for something to come, at most that long, and hands it over. A
  /// signal ends it too. Error: why the connection ended; what had no answer has heard so.
  error wait(std::chrono::milliseconds timeout);

  // For those who poll themselves.
  int fd() const;
  bool wants_write() const;
  error flush();
  error receive();

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace rvi
