// SPDX-License-Identifier: MPL-2.0

#include "tools/bench_table.hpp"

#include "tools/report.hpp"

#include <fmt/format.h>

namespace rvi {

namespace {

/// 1234567 as 1,234,567.
std::string grouped(uint64_t x) {
  auto digits = std::to_string(x);
  std::string result;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0)
      result += ',';
    result += digits[i];
  }
  return result;
}

std::string grouped(double x) {
  return grouped(uint64_t(x + 0.5));
}

std::string megabytes(uint64_t bytes) {
  return fmt::format("{:.1f}", double(bytes) / 1e6);
}

text_table numbers(std::vector<std::string> header) {
  auto columns = header.size();
  text_table result{std::move(header)};
  for (size_t i = 1; i < columns; ++i)
    result.align_right(i);
  return result;
}

} // namespace

void print_table(const bench_result& x) {
  auto& config = x.config;
  print_line(fmt::format("{}, {} outstanding, {} bytes, durability {}, {}, {:.2f} s",
                         to_string(config.scenario), config.outstanding, config.size,
                         config.scenario == bench_scenario::metric ? "none" : config.durability,
                         config.api == bench_api::frames ? "frames" : "JSON-RPC", x.duration_s));
  auto rates = numbers({"PER S", "ACCEPTED", "END TO END", "FDATASYNC"});
  rates.add({"", grouped(x.accepted_per_s), grouped(x.messages_per_s),
             grouped(double(x.fdatasync_count) / x.duration_s)});
  rates.print();
  if (x.drain) {
    auto drain = numbers({"US", "NODE A STARTS", "FIRST DELIVERY AFTER IT"});
    drain.add({"", grouped(x.drain->start_us), grouped(x.drain->first_delivery_us)});
    drain.print();
  } else {
    auto latency = numbers({"LATENCY US", "P50", "P99", "P999"});
    latency.add({"", grouped(x.latency_us[0]), grouped(x.latency_us[1]), grouped(x.latency_us[2])});
    latency.print();
  }
  auto costs = numbers({"COST", "CPU US/MESSAGE", "RSS MB", "ANONYMOUS MB"});
  auto cpu = [&](size_t i) { return fmt::format("{:.1f}", x.cpu_us_per_message[i]); };
  costs.add({"clients", cpu(0), "", ""});
  for (size_t i = 0; i < 2; ++i) {
    auto vehicles = config.vehicles > 1 ? fmt::format("{} vehicles", config.vehicles) : "node a";
    costs.add({i == 0 ? vehicles : "node b", cpu(i + 1), megabytes(x.rss_bytes[i]),
               megabytes(x.rss_anonymous_bytes[i])});
  }
  costs.print();
  auto counts = numbers({"COUNT", "ACCEPTED", "DELIVERED", "REFUSED", "FAILED", "LOST", "DOUBLED"});
  counts.add({"", grouped(x.accepted), grouped(x.delivered), grouped(x.refused), grouped(x.failed),
              grouped(x.lost), grouped(x.doubled)});
  counts.print();
}

void print_table(const storm_result& x) {
  print_line(fmt::format("connect-storm, {} peers", x.config.peers));
  auto storms = numbers(
    {"STORM", "S", "P50 MS", "P99 MS", "MAX MS", "UP", "RESUMED", "ATTEMPTS", "NODE CPU US/PEER"});
  auto add = [&storms](const char* name, const storm_phase& phase) {
    storms.add({name, fmt::format("{:.2f}", phase.duration_s), grouped(phase.p50_ms),
                grouped(phase.p99_ms), grouped(phase.max_ms), grouped(phase.up),
                grouped(phase.resumed), grouped(phase.attempts),
                grouped(phase.node_cpu_us_per_peer)});
  };
  add("connect", x.connect);
  add("reconnect", x.reconnect);
  storms.print();
  auto idle = numbers({"IDLE", "S", "NODE CPU %", "LINKS LOST", "RSS MB", "RSS MB BEFORE"});
  idle.add({"", fmt::format("{:.2f}", double(x.config.idle_ms) / 1e3),
            fmt::format("{:.2f}", x.idle_cpu_percent), grouped(x.lost_while_idle),
            megabytes(x.rss_bytes), megabytes(x.rss_bytes_before)});
  idle.print();
}

} // namespace rvi
