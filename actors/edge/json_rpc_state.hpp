// SPDX-License-Identifier: MPL-2.0
//
// The state of the JSON RPC server. Runs in the multiplexer's thread only.

#pragma once

#include "actors/edge/json_rpc.hpp"
#include "actors/sockets/sockets.hpp"
#include "actors/wake_timer.hpp"

#include <caf/io/broker.hpp>

#include <memory>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace rvi {

struct json_rpc_state {
  static constexpr const char* name = "json-rpc";
  using handle = caf::io::connection_handle;

  struct measures {
    metrics::gauge* connections = nullptr;
    metrics::counter* calls = nullptr;
    metrics::counter* answers = nullptr;
    metrics::counter* errors = nullptr;
    metrics::counter* deliveries = nullptr;
    metrics::counter* refused_requests = nullptr;
    metrics::counter* refused_connections = nullptr;
    metrics::counter* slow_consumers = nullptr;
    metrics::counter* reports = nullptr;
    metrics::counter* reports_left_out = nullptr;
    metrics::counter* timeouts = nullptr;
    metrics::counter* metrics_replaced = nullptr;
    metrics::counter* signature_checks = nullptr;
  };

  explicit json_rpc_state(caf::io::broker* self) : self(self) {}
  ~json_rpc_state();

  // json_rpc.cpp: connections come and go
  void start(std::shared_ptr<const json_rpc_config> x, const std::vector<listening_socket_ptr>& on);
  void take(accepted_socket& x);
  void ended(handle h);
  void transferred(handle h, uint64_t written);
  void check_deadlines();
  void check_deadline(handle h, service_connection& c);
  /// When there is something to do about this connection if nothing comes before; 0: never.
  uint64_t deadline_ms(const service_connection& c) const;
  /// Sees to it that its deadline is met. Traffic moves that away and needs no call: the wake-up
  /// finds nothing due and is set anew.
  void watch(handle h, service_connection& c);
  /// Steady time since the start.
  uint64_t now_ms() const;

  // json_rpc_traffic.cpp: what they carry
  void receive(handle h, const std::vector<char>& bytes);
  void respond(const std::vector<call_result>& results);
  void invoke(const std::vector<invocation>& requests);
  void outcome(const std::vector<outcome_delivery>& outcomes);
  void available(const std::vector<availability_report>& reports);
  void publish(const std::vector<metric_delivery>& values);

  // json_rpc_traffic.cpp, inner steps
  void read_events(handle h, service_connection& c);
  void read_frames(handle h, service_connection& c);
  void greet(handle h, service_connection& c);
  void meet(handle h, service_connection& c, const service_frame::received& first);
  void serve(handle h, service_connection& c, http::request& x, text_effects& effects);
  void upgrade(handle h, service_connection& c, const http::request& x);
  void expose_metrics(service_connection& c, const http::request& x);
  void refuse(service_connection& c, const http::request& x, http_refusal why);
  void count_refusal(const service_connection& c, http_refusal why);
  void send_to_edge(text_effects& effects);
  template <class Delivery, class Content>
  void
  deliver(const std::vector<Delivery>& list, Content content, std::vector<Delivery>& by_address);
  service_connection* find(client_id client, handle& h);

  // json_rpc.cpp, output and ends
  void mark(handle h, service_connection& c);
  void flush();
  void flush_one(handle h, service_connection& c);
  void close_orderly(handle h, service_connection& c);
  void abort(handle h, service_connection& c);
  void forget(service_connection& c, uint64_t sent);

  caf::io::broker* self;
  std::shared_ptr<const json_rpc_config> config;
  std::shared_ptr<metrics::registry> registry;
  measures counts;
  std::vector<listener> listeners;
  json_rpc_actor callback;
  std::unordered_map<handle, std::unique_ptr<service_connection>> connections;
  std::unordered_map<client_id, handle> clients;
  std::vector<handle> dirty;                 // output waits
  std::set<std::pair<uint64_t, handle>> due; // when to look at whom, at the latest; see due_ms
  wake_timer timer;
  caf::actor_clock::time_point started;
};

} // namespace rvi
