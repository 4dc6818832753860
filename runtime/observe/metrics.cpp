// SPDX-License-Identifier: MPL-2.0
//
// The registry, and its rendering by prometheus-cpp. The values are our own atomics, as they are
// cheaper than the library's.

#include "runtime/observe/metrics.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <map>
#include <mutex>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sstream>
#include <variant>

namespace rvi::metrics {

histogram::histogram(std::vector<double> bounds)
  : bounds_(std::move(bounds)),
    counts_(bounds_.size() + 1) {
  assert(std::is_sorted(bounds_.begin(), bounds_.end()));
}

void histogram::observe(double x) {
  auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), x) - bounds_.begin();
  counts_[size_t(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(x, std::memory_order_relaxed);
}

histogram::state histogram::read() const {
  state result;
  for (auto& x : counts_)
    result.counts.push_back(x.load(std::memory_order_relaxed));
  result.sum = sum_.load(std::memory_order_relaxed);
  return result;
}

namespace {

using series
  = std::variant<std::unique_ptr<counter>, std::unique_ptr<gauge>, std::unique_ptr<histogram>>;

struct family {
  std::string help;
  std::vector<double> bounds; // of histograms
  std::map<labels, series> series_of;
};

/// As Prometheus wants names; a colon is for metrics only and we use none.
bool is_name(const std::string& x) {
  auto is_letter
    = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !x.empty() && is_letter(x[0]) && std::all_of(x.begin(), x.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9');
  });
}

labels all_other(labels from) {
  for (auto& [name, value] : from)
    value = "other";
  return from;
}

prometheus::ClientMetric measure(const labels& labels, const series& series) {
  prometheus::ClientMetric result;
  for (auto& [name, value] : labels)
    result.label.push_back({name, value});
  if (auto x = std::get_if<std::unique_ptr<counter>>(&series)) {
    result.counter.value = double((*x)->value());
  } else if (auto y = std::get_if<std::unique_ptr<gauge>>(&series)) {
    result.gauge.value = (*y)->value();
  } else {
    auto& z = *std::get<std::unique_ptr<histogram>>(series);
    auto state = z.read();
    auto& out = result.histogram;
    out.sample_sum = state.sum;
    for (size_t i = 0; i < state.counts.size(); ++i) {
      out.sample_count += state.counts[i];
      auto bound = i < z.bounds().size() ? z.bounds()[i] : std::numeric_limits<double>::infinity();
      out.bucket.push_back({out.sample_count, bound});
    }
  }
  return result;
}

} // namespace

struct registry::content {
  std::mutex mutex;
  std::map<std::string, family> families;

  template <class T, class Make>
  T& get(const std::string& name, const std::string& help, const labels& wanted, Make make) {
    assert(is_name(name));
    assert(std::all_of(wanted.begin(), wanted.end(), [](auto& x) { return is_name(x.first); }));
    std::lock_guard guard(mutex);
    auto& family = families.try_emplace(name, metrics::family{help, {}, {}}).first->second;
    auto sorted = wanted;
    std::sort(sorted.begin(), sorted.end());
    auto place = family.series_of.find(sorted);
    assert(family.series_of.empty()
           || std::holds_alternative<std::unique_ptr<T>>(family.series_of.begin()->second));
    if (place == family.series_of.end()) {
      if (family.series_of.size() >= series_per_metric_max)
        sorted = all_other(std::move(sorted));
      place = family.series_of.find(sorted);
      if (place == family.series_of.end())
        place = family.series_of.emplace(sorted, make(family)).first;
    }
    return **std::get_if<std::unique_ptr<T>>(&place->second);
  }
};

registry::registry() : content_(std::make_unique<content>()) {}

registry::~registry() = default;

counter&
registry::get_counter(const std::string& name, const std::string& help, const labels& labels) {
  return content_->get<counter>(name, help, labels,
                                [](auto&) { return std::make_unique<counter>(); });
}

gauge& registry::get_gauge(const std::string& name, const std::string& help, const labels& labels) {
  return content_->get<gauge>(name, help, labels, [](auto&) { return std::make_unique<gauge>(); });
}

histogram& registry::get_histogram(const std::string& name, const std::string& help,
                                   const std::vector<double>& bounds, const labels& labels) {
  return content_->get<histogram>(name, help, labels, [&](family& x) {
    if (x.series_of.empty())
      x.bounds = bounds;
    return std::make_unique<histogram>(x.bounds);
  });
}

std::string registry::expose() const {
  std::vector<prometheus::MetricFamily> all;
  {
    std::lock_guard guard(content_->mutex);
    for (auto& [name, family] : content_->families) {
      auto& out = all.emplace_back();
      out.name = name;
      out.help = family.help;
      for (auto& [labels, series] : family.series_of) {
        constexpr prometheus::MetricType types[]
          = {prometheus::MetricType::Counter, prometheus::MetricType::Gauge,
             prometheus::MetricType::Histogram};
        out.type = types[series.index()];
        out.metric.push_back(measure(labels, series));
      }
    }
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, all);
  return out.str();
}

} // namespace rvi::metrics
