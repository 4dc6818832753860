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

bench_load::bench_load(load_config config, std::unique_ptr<bench_connection> driver)
  : config_(std::move(config)),
    driver_(std::move(driver)) {
  driver_->on_answer = [this](uint64_t sequence, std::string_view id, std::string_view refused) {
    take_answer(sequence, id, refused);
  };
  driver_->on_outcome = [this](const client::outcome& x) { take_outcome(x); };
  if (config_.durability == "none")
    config_.timeout_ms = memory_timeout_ms;
  constexpr size_t frame_bytes = sizeof R"({"seq":123456,"pad":""})" - 1;
  padding_.assign(config_.size > frame_bytes ? config_.size - frame_bytes : 0, 'x');
}

void bench_load::connect_service(std::unique_ptr<bench_connection> x) {
  service_ = std::move(x);
  service_->on_request = [this](const client::request& request) { take_request(request); };
  service_->on_reply_refused = [this] { ++counts_.reply_errors; };
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
  auto done = config_.rpc ? counts_.outcomes : counts_.delivered;
  return counts_.accepted > done ? counts_.accepted - done : 0;
}

void bench_load::send_some(uint64_t more_max) {
  if (outstanding_ >= config_.outstanding)
    return;
  client::invocation x;
  x.target = config_.target;
  x.requesting_service = config_.source;
  x.timeout_ms = wall_now_ms() + config_.timeout_ms;
  x.durable = config_.durability != "none";
  auto begun_us = steady_now_us();
  for (; outstanding_ < config_.outstanding && more_max > 0; ++outstanding_, --more_max) {
    x.arguments.assign(sequence_key).append(std::to_string(next_));
    x.arguments.append(R"(,"pad":")").append(padding_).append(R"("})");
    records_.emplace_back().begun_us = begun_us;
    driver_->invoke(next_++, x);
  }
}

caf::error bench_load::poll_once(uint64_t timeout_ms) {
  if (stop_requested())
    return caf::make_error(ec::shutting_down, std::string{"interrupted"});
  pollfd polled[2];
  bench_connection* connections[] = {driver_.get(), service_.get()};
  for (int i = 0; i < 2; ++i) {
    polled[i] = {-1, 0, 0}; // poll passes over it
    if (!connections[i])
      continue;
    if (auto error = connections[i]->flush())
      return error;
    auto events = POLLIN | (connections[i]->wants_write() ? POLLOUT : 0);
    polled[i] = {connections[i]->fd(), short(events), 0};
  }
  if (::poll(polled, 2, int(timeout_ms)) <= 0)
    return {};
  for (int i = 0; i < 2; ++i)
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
    if (counts_.refused > 1'000 && counts_.accepted == 0)
      broken_
        = caf::make_error(ec::refused, "the node refuses everything: " + std::string{refused});
    return;
  }
  x.accepted = true;
  ++counts_.accepted;
  if (!config_.rpc) {
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

void bench_load::take_request(const client::request& request) {
  service_->take(request.delivery);
  auto sequence = sequence_of(request.arguments);
  if (sequence == 0 || sequence >= next_)
    return;
  auto& x = records_[sequence];
  if (x.delivered)
    ++counts_.doubled;
  else if (++counts_.delivered == 1)
    first_delivery_us_ = steady_now_us();
  last_delivery_us_ = steady_now_us();
  x.delivered = true;
  if (config_.rpc)
    service_->reply(request.transaction_id, request.arguments);
}

} // namespace rvi
