// SPDX-License-Identifier: MPL-2.0
//
// Pipelining: all that may be sent is queued first, then leaves in one write.

#include "tools/bench_load.hpp"

#include "tools/stop_signal.hpp"
#include "tools/times.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <poll.h>

namespace rvi {

namespace {

constexpr uint64_t memory_timeout_ms = 30'000; // durability none lives 60 s at most
constexpr uint64_t poll_ms_max = 100;          // a stop signal is seen by then
constexpr std::string_view sequence_key = R"({"seq":)";

/// Of arguments that this bench has made; 0: of others.
uint64_t sequence_of(std::string_view arguments) {
  uint64_t result = 0;
  if (arguments.starts_with(sequence_key))
    std::from_chars(arguments.data() + sequence_key.size(), arguments.data() + arguments.size(),
                    result);
  return result;
}

} // namespace

// -- latencies ------------------------------------------------------------------------------------

size_t latency_histogram::place_of(uint64_t us) {
  if (us < 2 * steps)
    return size_t(us);
  auto shift = uint64_t(std::bit_width(us)) - 8; // leaves `steps` to 2 * `steps` - 1
  return size_t(std::min(shift, uint64_t{38}) * steps + (us >> shift));
}

uint64_t latency_histogram::top_of(size_t place) {
  if (place < 2 * steps)
    return place;
  auto shift = place / steps - 1;
  auto mantissa = place - shift * steps;
  return ((mantissa + 1) << shift) - 1;
}

void latency_histogram::add(uint64_t us) {
  ++counts_[std::min(place_of(us), counts_.size() - 1)];
  ++count_;
}

uint64_t latency_histogram::quantile(double share) const {
  if (count_ == 0)
    return 0;
  auto wanted = uint64_t(std::ceil(share * double(count_)));
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= wanted)
      return top_of(i);
  }
  return top_of(counts_.size() - 1);
}

// -- the loop -------------------------------------------------------------------------------------

bench_load::bench_load(load_config config) : config_(std::move(config)) {
  if (config_.durability == "none")
    config_.timeout_ms = memory_timeout_ms;
  if (config_.kind == load_kind::metric)
    for (auto i = uint32_t(config_.targets.size()); i > 0; --i)
      free_targets_.push_back(i - 1);
  constexpr size_t frame_bytes = sizeof R"({"seq":123456,"pad":""})" - 1;
  padding_.assign(config_.size > frame_bytes ? config_.size - frame_bytes : 0, 'x');
}

void bench_load::add_driver(std::unique_ptr<bench_connection> x, std::string service) {
  x->on_answer = [this](uint64_t sequence, std::string_view id, std::string_view refused) {
    take_answer(sequence, id, refused);
  };
  x->on_outcome = [this](const client::outcome& outcome) { take_outcome(outcome); };
  drivers_.push_back({std::move(x), std::move(service)});
}

void bench_load::add_service(std::unique_ptr<bench_connection> x) {
  auto& service = *x;
  x->on_request
    = [this, &service](const client::request& request) { take_request(service, request); };
  x->on_metric = [this](const client::metric& metric) { take_metric(metric); };
  x->on_reply_refused = [this] { ++counts_.reply_errors; };
  services_.push_back(std::move(x));
}

caf::error bench_load::drive(uint64_t duration_ms) {
  auto deadline = steady_now_ms() + duration_ms;
  for (auto now = steady_now_ms(); now < deadline; now = steady_now_ms()) {
    send_some();
    if (auto error = poll_once(std::min(deadline - now, poll_ms_max)))
      return error;
  }
  return {};
}

caf::error bench_load::drive_until_accepted(uint64_t requests) {
  while (counts_.accepted < requests) {
    send_some(requests - counts_.accepted - outstanding_);
    if (auto error = poll_once(poll_ms_max))
      return error;
  }
  return {};
}

caf::error bench_load::drain(uint64_t patience_ms) {
  auto progress = [this] { return counts_.delivered + counts_.outcomes + counts_.accepted; };
  auto last = progress();
  auto deadline = steady_now_ms() + patience_ms;
  while (steady_now_ms() < deadline && (outstanding_ > 0 || lost() > 0)) {
    if (auto error = poll_once(poll_ms_max))
      return error;
    if (progress() != std::exchange(last, progress()))
      deadline = steady_now_ms() + patience_ms;
  }
  return {};
}

uint64_t bench_load::lost() const {
  return counts_.accepted > completed() ? counts_.accepted - completed() : 0;
}

void bench_load::send_some(uint64_t more_max) {
  if (outstanding_ >= config_.outstanding)
    return;
  client::invocation x;
  x.timeout_ms = wall_now_ms() + config_.timeout_ms;
  x.durable = config_.durability != "none";
  auto begun_us = steady_now_us();
  for (; outstanding_ < config_.outstanding && more_max > 0; ++outstanding_, --more_max) {
    x.arguments.assign(sequence_key).append(std::to_string(next_));
    x.arguments.append(R"(,"pad":")").append(padding_).append(R"("})");
    auto& record = records_.emplace_back();
    record.begun_us = begun_us;
    record.target = uint32_t(next_ % config_.targets.size());
    auto& by = drivers_[next_ % drivers_.size()];
    if (config_.kind == load_kind::metric) {
      record.target = free_targets_.back();
      free_targets_.pop_back();
      by.connection->publish(next_++, by.service, config_.targets[record.target], x.arguments);
    } else {
      x.target = config_.targets[record.target];
      x.requesting_service = by.service;
      by.connection->invoke(next_++, x);
    }
  }
}

caf::error bench_load::poll_once(uint64_t timeout_ms) {
  if (stop_requested())
    return caf::make_error(ec::shutting_down, std::string{"interrupted"});
  std::vector<bench_connection*> connections;
  for (auto& x : drivers_)
    connections.push_back(x.connection.get());
  for (auto& x : services_)
    connections.push_back(x.get());
  std::vector<pollfd> polled;
  for (auto x : connections) {
    if (auto error = x->flush())
      return error;
    polled.push_back({x->fd(), short(POLLIN | (x->wants_write() ? POLLOUT : 0)), 0});
  }
  if (::poll(polled.data(), polled.size(), int(timeout_ms)) <= 0)
    return {};
  for (size_t i = 0; i < polled.size(); ++i)
    if ((polled[i].revents & ~POLLOUT) != 0)
      if (auto error = connections[i]->receive())
        return error;
  return broken_;
}

// -- what comes -----------------------------------------------------------------------------------

void bench_load::take_answer(uint64_t sequence, std::string_view transaction_id,
                             std::string_view refused) {
  if (sequence == 0 || sequence >= next_ || records_[sequence].accepted
      || records_[sequence].refused)
    return;
  auto& x = records_[sequence];
  if (!refused.empty()) {
    x.refused = true;
    ++counts_.refused;
    --outstanding_;
    if (config_.kind == load_kind::metric)
      free_targets_.push_back(x.target);
    if (counts_.refused > 1'000 && counts_.accepted == 0)
      broken_
        = caf::make_error(ec::refused, "the node refuses everything: " + std::string{refused});
    return;
  }
  x.accepted = true;
  ++counts_.accepted;
  if (config_.kind == load_kind::metric)
    return; // under way until it is delivered
  if (config_.kind == load_kind::message) {
    --outstanding_;
    measure(sequence);
  } else if (!x.ended) {
    sequences_[std::string{transaction_id}] = sequence;
  }
}

void bench_load::take_outcome(const client::outcome& outcome) {
  auto sequence = sequence_of(outcome.arguments);
  auto known = sequences_.find(std::string{outcome.transaction_id});
  if (known != sequences_.end()) {
    sequence = sequence != 0 ? sequence : known->second;
    sequences_.erase(known);
  }
  if (sequence == 0 || sequence >= next_)
    return;
  auto& x = records_[sequence];
  if (x.ended) {
    ++counts_.doubled;
    return;
  }
  x.ended = true;
  ++counts_.outcomes;
  if (outcome.status != "ok")
    ++counts_.failed;
  --outstanding_;
  measure(sequence);
}

void bench_load::measure(uint64_t sequence) {
  if (sequence >= measuring_from_ && sequence < measuring_until_)
    latencies_.add(steady_now_us() - records_[sequence].begun_us);
}

/// Its sequence number; 0 if it is none of ours.
uint64_t bench_load::take_delivery(std::string_view content) {
  auto sequence = sequence_of(content);
  if (sequence == 0 || sequence >= next_)
    return 0;
  last_delivery_us_ = steady_now_us();
  if (std::exchange(records_[sequence].delivered, true)) {
    ++counts_.doubled;
    return sequence;
  }
  if (++counts_.delivered == 1)
    first_delivery_us_ = last_delivery_us_;
  if (config_.kind == load_kind::metric) {
    --outstanding_;
    free_targets_.push_back(records_[sequence].target);
    measure(sequence);
  }
  return sequence;
}

void bench_load::take_request(bench_connection& service, const client::request& request) {
  service.take(request.delivery);
  if (take_delivery(request.arguments) != 0 && config_.kind == load_kind::rpc)
    service.reply(request.transaction_id, request.arguments);
}

void bench_load::take_metric(const client::metric& x) {
  take_delivery(x.value);
}

} // namespace rvi
