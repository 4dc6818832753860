// SPDX-License-Identifier: MPL-2.0
//
// The registry, and its rendering by prometheus-cpp. The values are our own atomics, as they are
// cheaper than the library's. Names, help texts and bounds are kept once per process, as a process
// may hold thousands of nodes whose registries all say the same.

#include "runtime/observe/metrics.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <map>
#include <mutex>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <set>
#include <sstream>
#include <type_traits>
#include <variant>

namespace rvi::metrics {

histogram::histogram(const std::vector<double>& bounds)
  : bounds_(&bounds),
    counts_(bounds.size() + 1) {
  assert(std::is_sorted(bounds.begin(), bounds.end()));
}

void histogram::observe(double x) {
  auto bucket = std::lower_bound(bounds_->begin(), bounds_->end(), x) - bounds_->begin();
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

enum class kind : uint8_t { counter, gauge, histogram };

template <class T>
constexpr kind kind_of = std::is_same_v<T, counter> ? kind::counter
                         : std::is_same_v<T, gauge> ? kind::gauge
                                                    : kind::histogram;

/// What a metric is, of whatever registry.
struct description {
  std::string name;
  std::string help;
  std::vector<double> bounds; // of histograms
  metrics::kind kind;

  auto operator<=>(const description&) const = default;
};

/// The same one for all that ask alike. Never freed: the program's text limits how many there are.
const description& describe(description x) {
  static std::mutex mutex;
  static auto& known = *new std::set<description>; // outlives every registry, static ones too
  std::lock_guard guard{mutex};
  return *known.insert(std::move(x)).first;
}

using series = std::variant<counter, gauge, std::unique_ptr<histogram>>; // the last is large

template <class T>
T& value_of(series& x) {
  if constexpr (std::is_same_v<T, histogram>)
    return *std::get<std::unique_ptr<T>>(x);
  else
    return std::get<T>(x);
}

/// Most metrics have one series and no label.
struct family {
  const description* what = nullptr;
  std::unique_ptr<series> plain;
  std::unique_ptr<std::map<labels, series>> labelled; // null while there is none
};

/// Null if there is none.
series* find(const family& x, const labels& wanted) {
  if (wanted.empty())
    return x.plain.get();
  if (!x.labelled)
    return nullptr;
  auto i = x.labelled->find(wanted);
  return i == x.labelled->end() ? nullptr : &i->second;
}

size_t series_in(const family& x) {
  return (x.plain ? 1 : 0) + (x.labelled ? x.labelled->size() : 0);
}

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
  if (auto x = std::get_if<counter>(&series)) {
    result.counter.value = double(x->value());
  } else if (auto y = std::get_if<gauge>(&series)) {
    result.gauge.value = y->value();
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

prometheus::MetricFamily measure(const family& x) {
  constexpr prometheus::MetricType types[]
    = {prometheus::MetricType::Counter, prometheus::MetricType::Gauge,
       prometheus::MetricType::Histogram};
  prometheus::MetricFamily result;
  result.name = x.what->name;
  result.help = x.what->help;
  result.type = types[static_cast<size_t>(x.what->kind)];
  if (x.plain)
    result.metric.push_back(measure({}, *x.plain));
  if (x.labelled)
    for (auto& [labels, series] : *x.labelled)
      result.metric.push_back(measure(labels, series));
  return result;
}

} // namespace

struct registry::content {
  std::mutex mutex;
  std::vector<family> families; // by name

  family& family_of(const std::string& name, const std::string& help, kind kind,
                    const std::vector<double>& bounds) {
    auto i = std::lower_bound(families.begin(), families.end(), name,
                              [](auto& x, auto& y) { return x.what->name < y; });
    if (i == families.end() || i->what->name != name) {
      i = families.insert(i, family{});
      i->what = &describe({name, help, bounds, kind});
    }
    assert(i->what->kind == kind);
    return *i;
  }

  template <class T>
  static T& add(family& x, labels wanted) {
    auto fill = [&](series& y) -> T& {
      if constexpr (std::is_same_v<T, histogram>)
        return *y.emplace<std::unique_ptr<T>>(std::make_unique<T>(x.what->bounds));
      else
        return y.template emplace<T>();
    };
    if (wanted.empty()) {
      x.plain = std::make_unique<series>();
      return fill(*x.plain);
    }
    if (!x.labelled)
      x.labelled = std::make_unique<std::map<labels, series>>();
    return fill(x.labelled->try_emplace(std::move(wanted)).first->second);
  }

  template <class T>
  T& get(const std::string& name, const std::string& help, const labels& wanted,
         const std::vector<double>& bounds = {}) {
    assert(is_name(name));
    assert(std::all_of(wanted.begin(), wanted.end(), [](auto& x) { return is_name(x.first); }));
    std::lock_guard guard(mutex);
    auto& family = family_of(name, help, kind_of<T>, bounds);
    auto sorted = wanted;
    std::sort(sorted.begin(), sorted.end());
    auto place = find(family, sorted);
    if (!place && series_in(family) >= series_per_metric_max) {
      sorted = all_other(std::move(sorted));
      place = find(family, sorted);
    }
    return place ? value_of<T>(*place) : add<T>(family, std::move(sorted));
  }
};

registry::registry() : content_(std::make_unique<content>()) {}

registry::~registry() = default;

counter&
registry::get_counter(const std::string& name, const std::string& help, const labels& labels) {
  return content_->get<counter>(name, help, labels);
}

gauge& registry::get_gauge(const std::string& name, const std::string& help, const labels& labels) {
  return content_->get<gauge>(name, help, labels);
}

histogram& registry::get_histogram(const std::string& name, const std::string& help,
                                   const std::vector<double>& bounds, const labels& labels) {
  return content_->get<histogram>(name, help, labels, bounds);
}

std::string registry::expose() const {
  std::vector<prometheus::MetricFamily> all;
  {
    std::lock_guard guard(content_->mutex);
    for (auto& x : content_->families)
      all.push_back(measure(x));
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, all);
  return out.str();
}

} // namespace rvi::metrics
