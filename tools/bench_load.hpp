// SPDX-License-Identifier: MPL-2.0
//
// A constant number of outstanding requests, or values of metrics, from some connections to
// services on others, all in one loop of this thread; or many into a queue, and out of it when the
// service comes. Each carries a sequence number, so that nothing lost or doubled goes unseen.

#pragma once

#include "tools/bench_connection.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace rvi {

enum class load_kind { rpc, message, metric };

struct load_config {
  load_kind kind = load_kind::rpc;
  uint32_t outstanding = 1;
  size_t size = 256;                // bytes of the arguments, or of the value
  std::vector<std::string> targets; // in turn; of metrics: one for each that is outstanding
  std::string durability = "full";
  uint64_t timeout_ms = 120'000;
};

/// Durations in microseconds, exact to less than one percent.
class latency_histogram {
public:
  void add(uint64_t us);
  /// The duration that this share of all stayed below or at; 0 without any.
  uint64_t quantile(double share) const;
  uint64_t count() const { return count_; }

private:
  static constexpr uint64_t steps = 128; // per power of two
  static size_t place_of(uint64_t us);
  static uint64_t top_of(size_t place);
  std::array<uint64_t, 40 * steps> counts_{};
  uint64_t count_ = 0;
};

struct load_counts {
  uint64_t accepted = 0;
  uint64_t refused = 0;   // by their own node
  uint64_t delivered = 0; // to the services, each once
  uint64_t outcomes = 0;  // of rpcs, each once
  uint64_t failed = 0;    // of them, other than ok
  uint64_t doubled = 0;   // deliveries and outcomes that came again
  uint64_t reply_errors = 0;
};

class bench_load {
public:
  explicit bench_load(load_config config);

  /// Asks from now on, in turn with the others, in the name of this service.
  void add_driver(std::unique_ptr<bench_connection> x, std::string service);
  /// Where requests are delivered from now on.
  void add_service(std::unique_ptr<bench_connection> x);
  void disconnect_services() { services_.clear(); }
  void disconnect_drivers() { drivers_.clear(); }

  /// Keeps the number outstanding until the time has passed. Errors: of the connections,
  /// `shutting_down` after a stop signal.
  caf::error drive(uint64_t duration_ms);
  /// Goes on until so many are accepted, however often others are refused.
  caf::error drive_until_accepted(uint64_t requests);
  /// Sends nothing more and waits until nothing is outstanding or nothing comes for a while.
  caf::error drain(uint64_t patience_ms);

  /// Only what is sent from now on is measured.
  void begin_measuring() { measuring_from_ = next_; }
  void end_measuring() { measuring_until_ = next_; }

  const load_counts& counts() const { return counts_; }
  const latency_histogram& latencies() const { return latencies_; }
  /// Finished from end to end: rpcs with an outcome, messages delivered.
  uint64_t completed() const {
    return config_.kind == load_kind::rpc ? counts_.outcomes : counts_.delivered;
  }
  /// Accepted, and neither delivered nor with an outcome.
  uint64_t lost() const;
  /// When the first and the last were delivered (steady clock).
  uint64_t first_delivery_us() const { return first_delivery_us_; }
  uint64_t last_delivery_us() const { return last_delivery_us_; }

private:
  struct record {
    uint64_t begun_us = 0;
    bool accepted = false;
    bool refused = false;
    bool delivered = false;
    bool ended = false;  // an rpc's outcome came
    uint32_t target = 0; // its place in `targets`
  };
  struct driver {
    std::unique_ptr<bench_connection> connection;
    std::string service;
  };

  void send_some(uint64_t more_max = UINT64_MAX);
  caf::error poll_once(uint64_t timeout_ms);
  uint64_t take_delivery(std::string_view content);
  void take_request(bench_connection& service, const client::request& request);
  void take_metric(const client::metric& x);
  void take_answer(uint64_t sequence, std::string_view transaction_id, std::string_view refused);
  void take_outcome(const client::outcome& outcome);
  void measure(uint64_t sequence);

  load_config config_;
  std::vector<driver> drivers_;
  std::vector<std::unique_ptr<bench_connection>> services_;
  std::vector<uint32_t> free_targets_; // of metrics: those without a value under way
  std::string padding_;
  std::vector<record> records_{1};                      // by sequence number, from 1
  std::unordered_map<std::string, uint64_t> sequences_; // of open rpcs, by transaction id
  uint64_t next_ = 1;
  uint64_t outstanding_ = 0;
  uint64_t measuring_from_ = UINT64_MAX;
  uint64_t measuring_until_ = UINT64_MAX;
  uint64_t first_delivery_us_ = 0;
  uint64_t last_delivery_us_ = 0;
  load_counts counts_;
  latency_histogram latencies_;
  caf::error broken_;
};

} // namespace rvi
