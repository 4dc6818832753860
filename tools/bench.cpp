// SPDX-License-Identifier: MPL-2.0
//
// Warm-up, measurement between two readings of all counters, drain, verdict.

#include "tools/bench.hpp"

#include "runtime/json/json.hpp"
#include "tools/bench_load.hpp"
#include "tools/bench_nodes.hpp"
#include "tools/client.hpp"
#include "tools/stop_signal.hpp"
#include "tools/times.hpp"

#include <cmath>
#include <optional>
#include <sys/resource.h>

namespace rvi {

namespace {

constexpr uint64_t warm_up_ms = 1'000;
constexpr uint64_t drain_patience_ms = 15'000;
constexpr uint64_t drain_timeout_ms = 3'600'000;
constexpr uint64_t announce_patience_ms = 15'000;
constexpr uint64_t answer_timeout_ms = 10'000;
constexpr size_t first_vehicle = 1;

/// All counters at one time.
struct reading {
  uint64_t at_us = 0;
  uint64_t client_cpu_us = 0;
  std::array<node_usage, 2> nodes; // of all vehicles, of the cloud
  uint64_t completed = 0;
  uint64_t accepted = 0;
};

uint64_t own_cpu_us() {
  rusage x{};
  ::getrusage(RUSAGE_SELF, &x);
  auto us = [](const timeval& t) { return uint64_t(t.tv_sec) * 1'000'000 + uint64_t(t.tv_usec); };
  return us(x.ru_utime) + us(x.ru_stime);
}

expected<reading> read_counters(const bench_nodes& nodes, const bench_load& load) {
  reading result;
  for (size_t i = 0; i < nodes.size(); ++i) {
    auto usage = nodes.usage(i);
    if (!usage)
      return std::move(usage.error());
    auto& sum = result.nodes[i == bench_nodes::cloud ? 1 : 0];
    sum.cpu_us += usage->cpu_us;
    sum.rss_bytes += usage->rss_bytes;
    sum.rss_anonymous_bytes += usage->rss_anonymous_bytes;
    sum.syncs += usage->syncs;
  }
  result.at_us = steady_now_us();
  result.client_cpu_us = own_cpu_us();
  result.completed = load.completed();
  result.accepted = load.counts().accepted;
  return result;
}

/// A service of ours: a connection that has a name on its node.
struct member {
  std::unique_ptr<bench_connection> connection;
  std::string name; // in full
};

expected<member> hire(const bench_config& config, const node_endpoint& at, const std::string& name,
                      const std::string& durability_min) {
  auto connection = bench_connection::open(at, config.api, answer_timeout_ms);
  if (!connection)
    return std::move(connection.error());
  auto registered = (*connection)->register_service(name, durability_min, answer_timeout_ms);
  if (!registered)
    return std::move(registered.error());
  return member{std::move(*connection), std::move(*registered)};
}

/// Waits until this node has heard of the service of another.
caf::error wait_for_service(const node_endpoint& at, const std::string& name) {
  auto client = node_client::connect(at);
  if (!client)
    return std::move(client.error());
  auto deadline = steady_now_ms() + announce_patience_ms;
  while (steady_now_ms() < deadline) {
    auto answer = client->call("get_available_services", "{}");
    if (!answer)
      return std::move(answer.error());
    for (auto x : answer->result["services"].items())
      if (x.as_string() == name)
        return {};
    (void)client->step(20);
  }
  return caf::make_error(ec::timeout, name + " was not announced to the node that asks");
}

bench_result result_of(const bench_config& config, const bench_load& load, const reading& begin,
                       const reading& end) {
  bench_result x;
  x.config = config;
  x.duration_s = double(end.at_us - begin.at_us) / 1e6;
  auto completed = double(end.completed - begin.completed);
  x.messages_per_s = completed / x.duration_s;
  x.accepted_per_s = double(end.accepted - begin.accepted) / x.duration_s;
  auto& latencies = load.latencies();
  x.latency_us = {latencies.quantile(0.5), latencies.quantile(0.99), latencies.quantile(0.999)};
  auto per_message = [completed](uint64_t before, uint64_t after) {
    return completed > 0 ? double(after - before) / completed : 0.0;
  };
  x.cpu_us_per_message[0] = per_message(begin.client_cpu_us, end.client_cpu_us);
  for (size_t i = 0; i < end.nodes.size(); ++i) {
    x.cpu_us_per_message[i + 1] = per_message(begin.nodes[i].cpu_us, end.nodes[i].cpu_us);
    x.rss_bytes[i] = end.nodes[i].rss_bytes;
    x.rss_anonymous_bytes[i] = end.nodes[i].rss_anonymous_bytes;
    x.fdatasync_count += end.nodes[i].syncs - begin.nodes[i].syncs;
  }
  auto& counts = load.counts();
  x.accepted = counts.accepted;
  x.refused = counts.refused;
  x.delivered = counts.delivered;
  x.failed = counts.failed;
  x.lost = load.lost();
  x.doubled = counts.doubled;
  return x;
}

expected<bench_result>
measure(const bench_config& config, const bench_nodes& nodes, bench_load& load) {
  if (auto error = load.drive(warm_up_ms))
    return error;
  auto begin = read_counters(nodes, load);
  if (!begin)
    return std::move(begin.error());
  load.begin_measuring();
  if (auto error = load.drive(config.duration_ms))
    return error;
  load.end_measuring();
  auto end = read_counters(nodes, load);
  if (!end)
    return std::move(end.error());
  if (auto error = load.drain(drain_patience_ms))
    return error;
  return result_of(config, load, *begin, *end);
}

/// Queues for a node that is away; then both start again and the queue runs empty.
expected<bench_result>
measure_drain(const bench_config& config, bench_nodes& nodes, bench_load& load) {
  constexpr size_t a = first_vehicle, b = bench_nodes::cloud;
  load.disconnect_services();
  nodes.stop(b);
  auto empty = read_counters(nodes, load);
  if (!empty)
    return std::move(empty.error());
  if (auto error = load.drive_until_accepted(config.requests))
    return error;
  auto full = read_counters(nodes, load);
  if (!full)
    return std::move(full.error());
  load.disconnect_drivers();
  nodes.stop(a);
  if (auto started = nodes.start_again_us(b); !started)
    return std::move(started.error());
  auto service = hire(config, nodes.endpoint(b), "sink", config.durability);
  if (!service)
    return std::move(service.error());
  load.add_service(std::move(service->connection));
  auto started = nodes.start_again_us(a);
  if (!started)
    return std::move(started.error());
  auto answered_us = steady_now_us();
  auto begin = read_counters(nodes, load);
  if (!begin)
    return std::move(begin.error());
  if (auto error = load.drain(drain_patience_ms))
    return error;
  auto end = read_counters(nodes, load);
  if (!end)
    return std::move(end.error());
  begin->at_us = load.first_delivery_us();
  end->at_us = load.last_delivery_us();
  auto result = result_of(config, load, *begin, *end);
  auto queued_s = double(full->at_us - empty->at_us) / 1e6;
  result.accepted_per_s = double(full->accepted - empty->accepted) / queued_s;
  result.drain = {full->nodes[0].rss_anonymous_bytes - empty->nodes[0].rss_anonymous_bytes,
                  *started, load.first_delivery_us() - answered_us};
  return result;
}

/// Who asks, and who serves.
struct crew {
  load_config wanted;
  std::vector<member> drivers;
  std::vector<member> services;
};

caf::error hire_for_requests(const bench_config& config, const bench_nodes& nodes, crew& all) {
  bool down = config.scenario == bench_scenario::fan_out; // from the cloud to vehicles
  all.wanted.kind = config.scenario == bench_scenario::rpc ? load_kind::rpc : load_kind::message;
  all.wanted.outstanding = config.outstanding;
  all.wanted.size = config.size;
  all.wanted.durability = config.durability;
  if (config.scenario == bench_scenario::queue_drain)
    all.wanted.timeout_ms = drain_timeout_ms;
  auto prefix = all.wanted.kind == load_kind::rpc ? "rpc:" : "message:";
  for (size_t i = 0; i < nodes.size(); ++i) {
    bool serves = (i == bench_nodes::cloud) != down;
    auto hired = serves ? hire(config, nodes.endpoint(i), "sink", config.durability)
                        : hire(config, nodes.endpoint(i), "driver", "full");
    if (!hired)
      return std::move(hired.error());
    if (serves)
      all.wanted.targets.push_back(prefix + hired->name);
    (serves ? all.services : all.drivers).push_back(std::move(*hired));
  }
  for (size_t i = 0; i < nodes.size(); ++i)
    for (auto& x : all.services)
      if ((i == bench_nodes::cloud) == down) // a driver is there
        if (auto error = wait_for_service(nodes.endpoint(i), x.name))
          return error;
  return {};
}

caf::error hire_for_metrics(const bench_config& config, const bench_nodes& nodes, crew& all) {
  all.wanted.kind = load_kind::metric;
  all.wanted.outstanding = config.outstanding;
  all.wanted.size = config.size;
  auto topics = "metric:" + nodes.name(first_vehicle) + "/bench/";
  for (uint32_t i = 0; i < config.outstanding; ++i)
    all.wanted.targets.push_back(topics + std::to_string(i));
  auto driver = hire(config, nodes.endpoint(first_vehicle), "driver", "full");
  if (!driver)
    return std::move(driver.error());
  auto sink = hire(config, nodes.endpoint(bench_nodes::cloud), "sink", "full");
  if (!sink)
    return std::move(sink.error());
  auto error = sink->connection->subscribe(sink->name, topics + "#", answer_timeout_ms);
  all.drivers.push_back(std::move(*driver));
  all.services.push_back(std::move(*sink));
  return error;
}

} // namespace

const char* to_string(bench_scenario x) {
  switch (x) {
    case bench_scenario::rpc:
      return "rpc";
    case bench_scenario::message:
      return "message";
    case bench_scenario::metric:
      return "metric";
    case bench_scenario::fan_out:
      return "fan-out";
    case bench_scenario::fan_in:
      return "fan-in";
    case bench_scenario::queue_drain:
      break;
  }
  return "queue-drain";
}

expected<bench_result> run_bench(const bench_config& config) {
  bool fans
    = config.scenario == bench_scenario::fan_out || config.scenario == bench_scenario::fan_in;
  auto nodes = bench_nodes::start(fans ? config.vehicles : 1);
  if (!nodes)
    return std::move(nodes.error());
  crew all;
  if (auto error = config.scenario == bench_scenario::metric
                     ? hire_for_metrics(config, **nodes, all)
                     : hire_for_requests(config, **nodes, all))
    return error;
  bench_load load{std::move(all.wanted)};
  for (auto& x : all.drivers)
    load.add_driver(std::move(x.connection), std::move(x.name));
  for (auto& x : all.services)
    load.add_service(std::move(x.connection));
  return config.scenario == bench_scenario::queue_drain ? measure_drain(config, **nodes, load)
                                                        : measure(config, **nodes, load);
}

double rounded(double x) {
  return std::round(x * 100) / 100;
}

std::string to_json(const bench_result& x) {
  json::writer out;
  out.begin_object()
    .member("scenario", to_string(x.config.scenario))
    .member("outstanding", uint64_t{x.config.outstanding})
    .member("vehicles", uint64_t{x.config.vehicles})
    .member("size_bytes", uint64_t{x.config.size})
    .member("durability", x.config.durability)
    .member("api", x.config.api == bench_api::frames ? "frames" : "json");
  out.key("duration_s").number(rounded(x.duration_s));
  out.key("messages_per_s").number(rounded(x.messages_per_s));
  out.key("accepted_per_s").number(rounded(x.accepted_per_s));
  if (x.drain)
    out.key("drain")
      .begin_object()
      .member("anonymous_growth_bytes", x.drain->anonymous_growth_bytes)
      .member("start_us", x.drain->start_us)
      .member("first_delivery_us", x.drain->first_delivery_us)
      .end_object();
  else
    out.key("latency_us")
      .begin_object()
      .member("p50", x.latency_us[0])
      .member("p99", x.latency_us[1])
      .member("p999", x.latency_us[2])
      .end_object();
  out.key("cpu_us_per_message").begin_object();
  out.key("client").number(rounded(x.cpu_us_per_message[0]));
  out.key("node_a").number(rounded(x.cpu_us_per_message[1]));
  out.key("node_b").number(rounded(x.cpu_us_per_message[2])).end_object();
  out.key("rss_bytes")
    .begin_object()
    .member("node_a", x.rss_bytes[0])
    .member("node_b", x.rss_bytes[1])
    .end_object();
  out.key("rss_anonymous_bytes")
    .begin_object()
    .member("node_a", x.rss_anonymous_bytes[0])
    .member("node_b", x.rss_anonymous_bytes[1])
    .end_object();
  out.member("fdatasync_count", x.fdatasync_count)
    .member("accepted", x.accepted)
    .member("refused", x.refused)
    .member("delivered", x.delivered)
    .member("failed", x.failed)
    .member("lost", x.lost)
    .member("doubled", x.doubled)
    .end_object();
  return out.take();
}

} // namespace rvi
