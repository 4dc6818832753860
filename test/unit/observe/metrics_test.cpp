// SPDX-License-Identifier: MPL-2.0
//
// The registry and its text.

#include "runtime/observe/metrics.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <thread>

using namespace rvi;

TEST_CASE("shows counters, gauges and histograms in the Prometheus text format") {
  metrics::registry registry;
  registry.get_counter("rvi_requests_total", "Requests taken.", {{"kind", "rpc"}}).add(3);
  registry.get_counter("rvi_requests_total", "Requests taken.", {{"kind", "message"}}).add();
  auto& depth = registry.get_gauge("rvi_queue_depth", "Items waiting.");
  depth.set(5);
  depth.add(-1.5);
  auto& latency = registry.get_histogram("rvi_ack_seconds", "Time to custody.", {0.001, 0.01, 0.1});
  for (auto x : {0.0005, 0.001, 0.05, 7.0})
    latency.observe(x);
  CHECK(registry.expose() == R"(# HELP rvi_ack_seconds Time to custody.
# TYPE rvi_ack_seconds histogram
rvi_ack_seconds_count 4
rvi_ack_seconds_sum 7.0515
rvi_ack_seconds_bucket{le="0.001"} 2
rvi_ack_seconds_bucket{le="0.01"} 2
rvi_ack_seconds_bucket{le="0.1"} 3
rvi_ack_seconds_bucket{le="+Inf"} 4
# HELP rvi_queue_depth Items waiting.
# TYPE rvi_queue_depth gauge
rvi_queue_depth 3.5
# HELP rvi_requests_total Requests taken.
# TYPE rvi_requests_total counter
rvi_requests_total{kind="message"} 1
rvi_requests_total{kind="rpc"} 3
)");
  CHECK(metrics::registry().expose().empty());
}

TEST_CASE("gives the same object for the same name and labels, and another registry another") {
  metrics::registry registry, other;
  auto& x = registry.get_counter("rvi_x", "X.", {{"a", "1"}, {"b", "2"}});
  CHECK(&x == &registry.get_counter("rvi_x", "X.", {{"b", "2"}, {"a", "1"}}));
  CHECK(&x != &registry.get_counter("rvi_x", "X.", {{"a", "1"}, {"b", "3"}}));
  CHECK(&x != &other.get_counter("rvi_x", "X.", {{"a", "1"}, {"b", "2"}}));
  auto& h = registry.get_histogram("rvi_h", "H.", {1, 2}, {{"a", "1"}});
  CHECK(&h == &registry.get_histogram("rvi_h", "H.", {5}, {{"a", "1"}}));
  CHECK(registry.get_histogram("rvi_h", "H.", {5}, {{"a", "2"}}).bounds()
        == std::vector<double>{1, 2});
}

TEST_CASE("escapes label values") {
  metrics::registry registry;
  registry.get_counter("rvi_x", "X.", {{"peer", "a\"b\\c\nd"}}).add();
  CHECK(registry.expose().find(R"(rvi_x{peer="a\"b\\c\nd"} 1)") != std::string::npos);
}

TEST_CASE("holds the limit of series per metric") {
  metrics::registry registry;
  for (size_t i = 0; i < metrics::series_per_metric_max + 50; ++i)
    registry.get_counter("rvi_x", "X.", {{"topic", std::to_string(i)}}).add();
  auto text = registry.expose();
  CHECK(text.find("rvi_x{topic=\"999\"} 1\n") != std::string::npos);
  CHECK(text.find("rvi_x{topic=\"1000\"}") == std::string::npos);
  CHECK(text.find("rvi_x{topic=\"other\"} 50\n") != std::string::npos);
}

TEST_CASE("counts from several threads, and cheaply") {
  metrics::registry registry;
  auto& counter = registry.get_counter("rvi_x", "X.");
  auto& histogram = registry.get_histogram("rvi_h", "H.", {0.001, 0.01, 0.1, 1, 10});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 10'000; ++n) {
        counter.add();
        histogram.observe(0.5);
      }
    });
  for (auto& x : threads)
    x.join();
  CHECK(counter.value() == 40'000);
  CHECK(histogram.read().counts == std::vector<uint64_t>{0, 0, 0, 40'000, 0, 0});
  CHECK(histogram.read().sum == 20'000);

  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1'000'000; ++i)
    counter.add();
  std::chrono::duration<double, std::nano> add = std::chrono::steady_clock::now() - start;
  start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1'000'000; ++i)
    histogram.observe(0.5);
  std::chrono::duration<double, std::nano> observe = std::chrono::steady_clock::now() - start;
  MESSAGE("add: " << add.count() / 1e6 << " ns, observe: " << observe.count() / 1e6 << " ns");
}
