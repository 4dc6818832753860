// SPDX-License-Identifier: MPL-2.0
//
// What the drivers of all peers have in common, so that none has better clients than another: the
// options, the payload, the account of every message, the clocks and the report. The report has the
// members of `rvi bench --format json`, as far as a peer has them.

#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <thread>
#include <utility>
#include <vector>

namespace peers {

using namespace std::chrono_literals;

// The same as of `rvi bench`.
constexpr auto warm_up = 1s;
constexpr auto drain_patience = 15s;
constexpr size_t size_min = 32;

// -- options --------------------------------------------------------------------------------------

struct options {
  std::string scenario;
  uint32_t outstanding = 1;
  size_t size = 256; // bytes of a payload
  uint32_t seconds = 3;
  std::string host = "localhost"; // as the certificate has it
  uint16_t port = 0;
  std::string ca; // file
};

/// Throws `std::invalid_argument`; the numbers of `std::stoul` as well.
inline options parse_options(int argc, char** argv) {
  options x;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string_view name = argv[i];
    std::string value = argv[i + 1];
    if (name == "--scenario")
      x.scenario = value;
    else if (name == "--outstanding")
      x.outstanding = uint32_t(std::stoul(value));
    else if (name == "--size")
      x.size = std::stoul(value);
    else if (name == "--seconds")
      x.seconds = uint32_t(std::stoul(value));
    else if (name == "--port")
      x.port = uint16_t(std::stoul(value));
    else if (name == "--ca")
      x.ca = value;
    else
      throw std::invalid_argument("unknown option " + std::string{name});
  }
  if (argc % 2 == 0 || x.scenario.empty() || x.port == 0 || x.outstanding == 0 || x.size < size_min)
    throw std::invalid_argument("needs --scenario NAME --port N --ca FILE, and takes "
                                "--outstanding N --size BYTES (32 or more) --seconds N");
  return x;
}

// -- payload --------------------------------------------------------------------------------------

constexpr std::string_view sequence_key = R"({"seq":)";

/// One buffer for all payloads: only the number in it changes, and the x after it are in place.
class payload {
public:
  explicit payload(size_t size) : text_(size, 'x') {
    text_.replace(0, sequence_key.size(), sequence_key);
    text_.replace(size - 2, 2, R"("})");
  }

  /// Sequence numbers only grow, so what follows them only moves to the right.
  std::string_view with(uint64_t sequence) {
    auto end
      = std::to_chars(text_.data() + sequence_key.size(), text_.data() + text_.size() - 2, sequence)
          .ptr;
    constexpr std::string_view after = R"(,"pad":")";
    std::memcpy(end, after.data(), after.size());
    return text_;
  }

private:
  std::string text_;
};

/// 0: not a payload of these drivers.
inline uint64_t sequence_of(const void* data, size_t size) {
  std::string_view text{static_cast<const char*>(data), size};
  uint64_t result = 0;
  if (text.starts_with(sequence_key))
    std::from_chars(text.data() + sequence_key.size(), text.data() + text.size(), result);
  return result;
}

// -- account --------------------------------------------------------------------------------------

inline uint64_t now_us() {
  auto x = std::chrono::steady_clock::now().time_since_epoch();
  return uint64_t(std::chrono::duration_cast<std::chrono::microseconds>(x).count());
}

inline uint64_t own_cpu_us() {
  rusage x{};
  ::getrusage(RUSAGE_SELF, &x);
  auto us = [](const timeval& t) { return uint64_t(t.tv_sec) * 1'000'000 + uint64_t(t.tv_usec); };
  return us(x.ru_utime) + us(x.ru_stime);
}

/// How far a message may come. What a peer has no acknowledgement for counts as accepted when its
/// library took it.
enum stage : uint8_t { accepted, delivered, answered, stages };

/// Knows of each message when it began and how far it came. One thread begins messages at a time;
/// each stage is noted by one thread, not always the same.
class account {
public:
  /// `timed`: what ends the latency; `finished`: what the rate counts.
  account(const options& o, stage timed, stage finished)
    : timed_(timed),
      finished_(finished),
      capacity_((o.seconds + 15) * records_per_second_max),
      records_(static_cast<record*>(std::calloc(capacity_, sizeof(record))), &std::free) {
    if (!records_)
      throw std::bad_alloc();
    latencies_.reserve(1 << 20);
  }

  bool sending() const { return sending_.load(std::memory_order_relaxed); }
  void stop_sending() { sending_ = false; }

  /// The next sequence number, from 1; 0 when the account is full, which fails the run.
  uint64_t begin() {
    auto sequence = next_.load(std::memory_order_relaxed);
    if (sequence == capacity_) {
      fail("more messages than there are records for");
      return 0;
    }
    records_.get()[sequence].begun_us = now_us();
    next_.store(sequence + 1, std::memory_order_release);
    return sequence;
  }

  /// False for a number that was never sent, or that came so far before.
  bool note(uint64_t sequence, stage reached) {
    if (sequence == 0 || sequence >= next_.load(std::memory_order_acquire))
      return false;
    auto& x = records_.get()[sequence];
    if ((x.reached.fetch_or(uint8_t(1 << reached)) & (1 << reached)) != 0) {
      ++doubled_;
      return false;
    }
    counts_[reached].fetch_add(1, std::memory_order_relaxed);
    if (reached == timed_ && sequence >= measuring_from_ && sequence < measuring_until_)
      latencies_.push_back(uint32_t(std::min<uint64_t>(now_us() - x.begun_us, UINT32_MAX)));
    return true;
  }

  uint64_t begun() const { return next_ - 1; }
  uint64_t count(stage x) const { return counts_[x]; }
  uint64_t finished() const { return counts_[finished_]; }
  uint64_t doubled() const { return doubled_; }
  void note_doubled(uint64_t more) { doubled_ += more; }
  /// Accepted, and neither delivered nor answered.
  uint64_t lost() const {
    auto taken = count(accepted), arrived = count(finished_ == answered ? answered : delivered);
    return taken > arrived ? taken - arrived : 0;
  }
  bool all_done() const { return count(accepted) == begun() && finished() == begun(); }

  /// Only what is sent from now on is timed.
  void begin_measuring() { measuring_from_ = next_.load(); }
  void end_measuring() { measuring_until_ = next_.load(); }

  /// From a thread of a library, where nothing may be thrown.
  void fail(const std::string& why) {
    if (!failed_.exchange(true))
      failure_ = why;
    failure_told_ = true;
  }
  void check() const {
    if (failure_told_)
      throw std::runtime_error(failure_);
  }

  /// p50, p99, p999; after the last message.
  std::array<uint64_t, 3> latencies_us() {
    std::array<uint64_t, 3> result{};
    std::sort(latencies_.begin(), latencies_.end());
    constexpr std::array<double, 3> shares{0.5, 0.99, 0.999};
    for (size_t i = 0; i < shares.size() && !latencies_.empty(); ++i)
      result[i] = latencies_[size_t(std::ceil(shares[i] * double(latencies_.size()))) - 1];
    return result;
  }

private:
  struct record {
    uint64_t begun_us;
    std::atomic<uint8_t> reached;
  };
  static_assert(std::atomic<uint8_t>::is_always_lock_free); // so that zeroed memory is one

  // A record nobody wrote to takes no memory.
  static constexpr uint64_t records_per_second_max = 1'000'000;

  stage timed_;
  stage finished_;
  uint64_t capacity_;
  std::unique_ptr<record, decltype(&std::free)> records_;
  std::atomic<bool> sending_ = true;
  std::atomic<uint64_t> next_ = 1;
  std::atomic<uint64_t> measuring_from_ = UINT64_MAX;
  std::atomic<uint64_t> measuring_until_ = UINT64_MAX;
  std::array<std::atomic<uint64_t>, stages> counts_{};
  std::atomic<uint64_t> doubled_ = 0;
  std::vector<uint32_t> latencies_; // of the one thread that notes `timed_`
  std::atomic<bool> failed_ = false;
  std::atomic<bool> failure_told_ = false;
  std::string failure_;
};

// -- measurement and report -----------------------------------------------------------------------

struct measurement {
  double duration_s = 0;
  uint64_t accepted = 0;
  uint64_t finished = 0;
  uint64_t cpu_us = 0;
};

/// For whom reads the CPU time of the broker: at this line, not before and not after.
inline void tell(const char* line) {
  std::puts(line);
  std::fflush(stdout);
}

inline void rest(const account& a, std::chrono::milliseconds time) {
  auto until = std::chrono::steady_clock::now() + time;
  for (; std::chrono::steady_clock::now() < until; a.check())
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(
      20ms, std::max<std::chrono::nanoseconds>(until - std::chrono::steady_clock::now(), 0ns)));
}

/// While other threads carry messages: warm-up, measurement between two readings, drain.
inline measurement measure(const options& o, account& a) {
  rest(a, warm_up);
  tell("begin");
  a.begin_measuring();
  auto begin_us = now_us();
  measurement before{0, a.count(accepted), a.finished(), own_cpu_us()};
  rest(a, std::chrono::seconds{o.seconds});
  measurement x{double(now_us() - begin_us) / 1e6, a.count(accepted) - before.accepted,
                a.finished() - before.finished, own_cpu_us() - before.cpu_us};
  a.end_measuring();
  tell("end");
  a.stop_sending();
  auto progress = [&a] { return a.count(accepted) + a.finished(); };
  auto last = progress();
  for (auto left = drain_patience / 20ms; left > 0 && !a.all_done(); --left) {
    rest(a, 20ms);
    if (progress() != std::exchange(last, progress()))
      left = drain_patience / 20ms;
  }
  return x;
}

/// One JSON object, after everything has ended.
inline void report(const options& o, const measurement& m, account& a) {
  auto per_message = m.finished > 0 ? double(m.cpu_us) / double(m.finished) : 0.0;
  auto latencies = a.latencies_us();
  auto number = [](uint64_t x) { return static_cast<unsigned long long>(x); };
  std::printf(R"({"scenario":"%s","outstanding":%u,"size_bytes":%zu,"duration_s":%.3f,)"
              R"("messages_per_s":%.2f,"accepted_per_s":%.2f,)",
              o.scenario.c_str(), o.outstanding, o.size, m.duration_s,
              double(m.finished) / m.duration_s, double(m.accepted) / m.duration_s);
  std::printf(R"("latency_us":{"p50":%llu,"p99":%llu,"p999":%llu},)", number(latencies[0]),
              number(latencies[1]), number(latencies[2]));
  std::printf(R"("cpu_us_per_message":{"client":%.2f},)", per_message);
  std::printf(R"("accepted":%llu,"delivered":%llu,"lost":%llu,"doubled":%llu})"
              "\n",
              number(a.count(accepted)), number(a.count(delivered)), number(a.lost()),
              number(a.doubled()));
}

/// Runs a driver's `main`: what it throws becomes one line and an exit code.
template <class F>
int run(const char* name, int argc, char** argv, F&& driver) {
  try {
    driver(parse_options(argc, argv));
    return 0;
  } catch (const std::invalid_argument& x) {
    std::fprintf(stderr, "%s: %s\n", name, x.what());
    return 2;
  } catch (const std::exception& x) {
    std::fprintf(stderr, "%s: %s\n", name, x.what());
    return 1;
  }
}

} // namespace peers
