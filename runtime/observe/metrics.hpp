// SPDX-License-Identifier: MPL-2.0
//
// Counters, gauges and histograms in the Prometheus text format. One registry per node. Measuring
// is an atomic add and may happen in any thread; keep the references `get_...` returns.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace rvi::metrics {

/// Name and value pairs.
using labels = std::vector<std::pair<std::string, std::string>>;

/// Label sets of one metric; all further ones share a series whose labels are all `other`.
constexpr size_t series_per_metric_max = 1000;

class counter {
public:
  void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
  std::atomic<uint64_t> value_ = 0;
};

class gauge {
public:
  void set(double x) { value_.store(x, std::memory_order_relaxed); }
  void add(double x) { value_.fetch_add(x, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

private:
  std::atomic<double> value_ = 0;
};

class histogram {
public:
  /// Upper bounds, ascending, without the infinite one; they outlive the histogram.
  explicit histogram(const std::vector<double>& bounds);
  explicit histogram(std::vector<double>&&) = delete;
  void observe(double x);

  struct state {
    std::vector<uint64_t> counts; // per bucket, not cumulated; the last is above all bounds
    double sum = 0;
  };
  state read() const;
  const std::vector<double>& bounds() const { return *bounds_; }

private:
  const std::vector<double>* bounds_;
  std::vector<std::atomic<uint64_t>> counts_;
  std::atomic<double> sum_ = 0;
};

/// Gives the same object for the same name and labels. A name keeps its kind, help and buckets of
/// the first call; another kind or a malformed name is an assertion.
class registry {
public:
  registry();
  ~registry();

  counter& get_counter(const std::string& name, const std::string& help, const labels& labels = {});
  gauge& get_gauge(const std::string& name, const std::string& help, const labels& labels = {});
  histogram& get_histogram(const std::string& name, const std::string& help,
                           const std::vector<double>& bounds, const labels& labels = {});

  /// The Prometheus text format 0.0.4.
  std::string expose() const;

private:
  struct content;
  std::unique_ptr<content> content_;
};

} // namespace rvi::metrics
