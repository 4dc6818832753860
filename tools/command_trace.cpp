// SPDX-License-Identifier: MPL-2.0
//
// `rvi trace`: the way of requests through one or several nodes, as the steps of HLD chapter 8.

#include "messages/transaction_id.hpp"
#include "tools/client.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/stop_signal.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <thread>

namespace rvi {

namespace {

constexpr uint64_t trace_timeout_ms = 30'000;
constexpr std::chrono::milliseconds follow_interval{50};

// The HLD's own titles of 8.1 to 8.19; 20 is this router's mark for the outcome of 8.20.
constexpr std::array step_titles = {"?",
                                    "Submit request to Service Edge",
                                    "Validate service request",
                                    "Validate service reply",
                                    "Resolve network address",
                                    "Return resolved network address",
                                    "Schedule request",
                                    "Setup Communication Channel",
                                    "Authorize and Announce",
                                    "Report data link availability",
                                    "Report data link availability",
                                    "Request encoding and transmission",
                                    "Transmit data",
                                    "Decode payload",
                                    "Forward request to Service Edge",
                                    "Authorize remote request",
                                    "Return Authorization data",
                                    "Request Media Server URL",
                                    "Return Media Server local address",
                                    "Forward request to Media Server",
                                    "Reply delivered / outcome"};

struct trace_options {
  std::string id;
  std::vector<std::string> configs;
  std::vector<std::string> sockets;
  node_options single; // --url
  size_t last = 10;
  bool follow = false;
  output_format format;
};

struct event {
  std::string id;
  uint64_t boot_us = 0;
  uint64_t time_ms = 0;
  uint64_t step = 0;
  bool reply = false;
  std::string node;
  std::string what;
};

/// One request's events, oldest first.
using transaction_trace = std::vector<event>;

const char* title_of(const event& x) {
  return step_titles[x.step < step_titles.size() ? x.step : 0];
}

/// "8.12"; on the reply's way back "8.20/12".
std::string step_name(const event& x) {
  auto number = std::to_string(x.step);
  if (x.step >= 20)
    return "8.20";
  return x.reply ? "8.20/" + number : "8." + number;
}

caf::error read_events(const node_options& from, const std::string& id, std::vector<event>& out) {
  auto client = connect_node(from);
  if (!client)
    return std::move(client.error());
  json::writer params;
  params.begin_object();
  if (!id.empty())
    params.member("transaction_id", id);
  params.end_object();
  auto answer = client->call("get_trace", params.take(), trace_timeout_ms);
  if (!answer)
    return std::move(answer.error());
  client->close();
  for (auto x : answer->result.items())
    out.push_back({text_of(x["transaction_id"]), x["boot_us"].as_uint().value_or(0),
                   x["time_ms"].as_uint().value_or(0), x["step"].as_uint().value_or(0),
                   x["reply"].as_bool().value_or(false), text_of(x["node"]), text_of(x["what"])});
  return {};
}

/// By transaction, in the order they began; the newest `last` of them.
std::vector<transaction_trace> grouped(std::vector<event> events, size_t last) {
  std::stable_sort(events.begin(), events.end(),
                   [](auto& x, auto& y) { return x.boot_us < y.boot_us; });
  std::map<std::string, size_t> places;
  std::vector<transaction_trace> result;
  for (auto& x : events) {
    auto [i, added] = places.emplace(x.id, result.size());
    if (added)
      result.emplace_back();
    result[i->second].push_back(std::move(x));
  }
  if (last != 0 && result.size() > last)
    result.erase(result.begin(), result.end() - ptrdiff_t(last));
  return result;
}

void print_text(const std::vector<transaction_trace>& traces) {
  bool first = true;
  for (auto& events : traces) {
    auto begin = events.front();
    if (!std::exchange(first, false))
      print_line("");
    print_line("transaction " + begin.id + ", began " + show_time(begin.time_ms / 1'000));
    text_table table{{"TIME US", "NODE", "STEP", "TITLE", "DETAIL"}};
    table.align_right(0);
    for (auto& x : events)
      table.add(
        {std::to_string(x.boot_us - begin.boot_us), x.node, step_name(x), title_of(x), x.what});
    table.print();
  }
}

void print_json(const std::vector<transaction_trace>& traces) {
  json::writer out;
  out.begin_array();
  for (auto& events : traces) {
    out.begin_object().member("transaction_id", events.front().id);
    out.key("events").begin_array();
    for (auto& x : events)
      out.begin_object()
        .member("since_us", x.boot_us - events.front().boot_us)
        .member("boot_us", x.boot_us)
        .member("time_ms", x.time_ms)
        .member("node", x.node)
        .member("step", step_name(x))
        .member("reply", x.reply)
        .member("title", title_of(x))
        .member("detail", x.what)
        .end_object();
    out.end_array().end_object();
  }
  out.end_array();
  print_line(out.take());
}

/// Every node named; the usual one if none is.
std::vector<node_options> nodes_of(const trace_options& options) {
  std::vector<node_options> result;
  for (auto& x : options.configs)
    result.emplace_back().config = x;
  for (auto& x : options.sockets)
    result.emplace_back().socket = x;
  if (!options.single.url.empty() || result.empty())
    result.push_back(options.single);
  return result;
}

bool same(const event& x, const event& y) {
  return x.boot_us == y.boot_us && x.step == y.step && x.reply == y.reply && x.id == y.id
         && x.node == y.node && x.what == y.what;
}

void print_followed(const event& x, const event& first) {
  std::printf("%9llu us  %-18s %-8s %-34s %s\n",
              static_cast<unsigned long long>(x.boot_us - first.boot_us), x.node.c_str(),
              step_name(x).c_str(), title_of(x), x.what.c_str());
}

/// Prints each event as it happens, until it is stopped. What was there at the start is passed
/// over.
int follow(const trace_options& options) {
  catch_stop_signals();
  std::vector<event> seen;
  std::map<std::string, event> begun;
  for (bool first = true; !stop_requested(); first = false) {
    std::vector<event> events;
    for (auto& node : nodes_of(options))
      if (auto error = read_events(node, options.id, events); error && first)
        return fail_with_advice("trace", error, node);
    std::stable_sort(events.begin(), events.end(),
                     [](auto& x, auto& y) { return x.boot_us < y.boot_us; });
    for (auto& x : events) {
      bool known = std::any_of(seen.begin(), seen.end(), [&](auto& y) { return same(x, y); });
      if (!known && !first)
        print_followed(x, begun.emplace(x.id, x).first->second);
    }
    std::fflush(stdout);
    seen = std::move(events);
    std::this_thread::sleep_for(follow_interval);
  }
  return exit_done;
}

int run_trace(const trace_options& options) {
  constexpr auto me = "trace";
  if (!options.id.empty() && !parse_transaction_id(options.id))
    return fail_usage(me, options.id + " is no transaction id: 56 hex digits");
  if (options.follow)
    return follow(options);
  std::vector<event> events;
  for (auto& node : nodes_of(options))
    if (auto error = read_events(node, options.id, events))
      return fail_with_advice(me, error, node);
  auto traces = grouped(std::move(events), options.last);
  if (options.format.json()) {
    print_json(traces);
    return exit_done;
  }
  if (traces.empty() && !options.id.empty())
    return fail(me, caf::make_error(ec::not_found, "nothing is known of " + options.id),
                "Traces are in memory: the latest events only, and none from before a restart.");
  if (traces.empty())
    std::fputs("no request has passed since the node started\n", stderr);
  print_text(traces);
  return exit_done;
}

} // namespace

void add_trace_command(CLI::App& app, command& chosen) {
  auto x = std::make_shared<trace_options>();
  auto sub = app.add_subcommand("trace", "Show the way of requests step by step (HLD chapter 8), "
                                         "merged from several nodes of one machine");
  sub->add_option("ID", x->id, "transaction id; default: the latest requests");
  sub->add_option("--config", x->configs, "a node's rvi.toml; repeatable: their traces are merged")
    ->allow_extra_args(false);
  sub->add_option("--socket", x->sockets, "a node's Unix socket; repeatable")
    ->allow_extra_args(false);
  auto url = sub->add_option("--url", x->single.url, "a node's TCP address: http://host:port");
  sub->add_option("--token-file", x->single.token_file, "holds the token that --url needs")
    ->needs(url);
  sub->add_option("--last", x->last, "how many requests to show without ID; 0: all")
    ->capture_default_str();
  sub->add_flag("--follow", x->follow, "print steps as they happen, until stopped");
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_trace(*x); }; });
}

} // namespace rvi
