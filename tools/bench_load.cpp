// SPDX-License-Identifier: MPL-2.0
//
// Pipelining: all that may be sent is queued first, then leaves in one write.

#include "tools/bench_load.hpp"

#include "tools/report.hpp"
#include "tools/stop_signal.hpp"
#include "tools/times.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <poll.h>

namespace rvi {

namespace {

constexpr uint64_t memory_timeout_ms = 30'000; // durability none lives 60 s at most
constexpr uint64_t poll_ms_max = 100;          // a stop signal is seen by then
constexpr json::limits text_limits{size_t{16} << 20, 64, 10'000};

void append_receipt(std::string& out, json::value id) {
  out.assign(R"({"jsonrpc":"2.0","id":)").append(id.raw()).append(R"(,"result":{"status":"ok"}})");
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

bench_load::bench_load(load_config config, node_stream driver)
  : config_(std::move(config)),
    driver_(std::move(driver)) {
  if (config_.durability == "none")
    config_.timeout_ms = memory_timeout_ms;
  constexpr size_t frame_bytes = sizeof R"({"seq":123456,"pad":""})" - 1;
  padding_.assign(config_.size > frame_bytes ? config_.size - frame_bytes : 0, 'x');
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
  auto timeout = std::to_string(wall_now_ms() + config_.timeout_ms);
  auto begun_us = steady_now_us();
  std::string text;
  for (; outstanding_ < config_.outstanding && more_max > 0; ++outstanding_, --more_max) {
    auto number = std::to_string(next_++);
    text.assign(R"({"jsonrpc":"2.0","id":)").append(number);
    text.append(R"(,"method":"invoke","params":{"timeout":)").append(timeout);
    text.append(R"(,"requesting_service":")").append(config_.source);
    text.append(R"(","target":")").append(config_.target);
    text.append(R"(","durability":")").append(config_.durability);
    text.append(R"(","arguments":{"seq":)").append(number);
    text.append(R"(,"pad":")").append(padding_).append(R"("}}})");
    driver_->send(text);
    records_.emplace_back().begun_us = begun_us;
  }
}

caf::error bench_load::poll_once(uint64_t timeout_ms) {
  if (stop_requested())
    return caf::make_error(ec::shutting_down, std::string{"interrupted"});
  pollfd polled[2];
  std::optional<node_stream>* streams[] = {&driver_, &service_};
  for (int i = 0; i < 2; ++i) {
    auto& stream = *streams[i];
    polled[i] = {-1, 0, 0}; // poll passes over it
    if (!stream)
      continue;
    if (auto error = stream->flush())
      return error;
    polled[i] = {stream->fd(), short(POLLIN | (stream->wants_write() ? POLLOUT : 0)), 0};
  }
  if (::poll(polled, 2, int(timeout_ms)) <= 0)
    return {};
  for (int i = 0; i < 2; ++i) {
    if (polled[i].revents == 0)
      continue;
    auto& stream = *streams[i];
    auto error = stream->read();
    while (auto text = stream->next()) {
      if (i == 0)
        take_for_driver(*text);
      else
        take_for_service(*text);
    }
    if (error)
      return error;
  }
  return broken_;
}

// -- what comes -----------------------------------------------------------------------------------

void bench_load::take_for_driver(const std::string& text) {
  auto document = json::parse(text, text_limits);
  if (!document) {
    broken_ = std::move(document.error());
    return;
  }
  auto root = document->root();
  if (!root["method"])
    return take_answer(root["id"].as_uint().value_or(0), root);
  std::string receipt;
  append_receipt(receipt, root["id"]);
  driver_->send(receipt);
  take_outcome(root["params"]);
}

void bench_load::take_answer(uint64_t sequence, json::value root) {
  if (sequence == 0 || sequence >= next_ || records_[sequence].accepted
      || records_[sequence].refused)
    return;
  auto& x = records_[sequence];
  if (root["error"]) {
    x.refused = true;
    ++counts_.refused;
    --outstanding_;
    if (counts_.refused > 1'000 && counts_.accepted == 0)
      broken_ = caf::make_error(ec::refused, "the node refuses everything: "
                                               + text_of(root["error"]["message"]));
    return;
  }
  x.accepted = true;
  ++counts_.accepted;
  if (!config_.rpc) {
    --outstanding_;
    measure(sequence);
  } else if (!x.ended) {
    sequences_[text_of(root["result"]["transaction_id"])] = sequence;
  }
}

void bench_load::take_outcome(json::value params) {
  auto id = text_of(params["transaction_id"]);
  auto known = sequences_.find(id);
  auto sequence
    = params["arguments"]["seq"].as_uint().value_or(known == sequences_.end() ? 0 : known->second);
  if (known != sequences_.end())
    sequences_.erase(known);
  if (sequence == 0 || sequence >= next_)
    return;
  auto& x = records_[sequence];
  if (x.ended) {
    ++counts_.doubled;
    return;
  }
  x.ended = true;
  ++counts_.outcomes;
  if (params["status"].as_string() != "ok")
    ++counts_.failed;
  --outstanding_;
  measure(sequence);
}

void bench_load::measure(uint64_t sequence) {
  if (sequence >= measuring_from_ && sequence < measuring_until_)
    latencies_.add(steady_now_us() - records_[sequence].begun_us);
}

void bench_load::take_for_service(const std::string& text) {
  auto document = json::parse(text, text_limits);
  if (!document) {
    broken_ = std::move(document.error());
    return;
  }
  auto root = document->root();
  if (!root["method"]) {
    counts_.reply_errors += root["error"] ? 1 : 0;
    return;
  }
  std::string out;
  append_receipt(out, root["id"]);
  service_->send(out);
  auto params = root["params"];
  auto sequence = params["arguments"]["seq"].as_uint().value_or(0);
  if (root["method"].as_string() != "invoke" || sequence == 0 || sequence >= next_)
    return;
  auto& x = records_[sequence];
  if (x.delivered)
    ++counts_.doubled;
  else if (++counts_.delivered == 1)
    first_delivery_us_ = steady_now_us();
  last_delivery_us_ = steady_now_us();
  x.delivered = true;
  if (!config_.rpc)
    return;
  out.assign(R"({"jsonrpc":"2.0","id":)").append(std::to_string(++reply_id_));
  out.append(R"(,"method":"reply","params":{"transaction_id":)");
  out.append(params["transaction_id"].raw()).append(R"(,"arguments":)");
  out.append(params["arguments"].raw()).append("}}");
  service_->send(out);
}

} // namespace rvi
