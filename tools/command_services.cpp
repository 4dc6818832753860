// SPDX-License-Identifier: MPL-2.0
//
// `rvi services`: which services can be reached, on which node and how; with --watch, as it
// changes. Both are a subscription, whose first reports are the state as it is.

#include "tools/client.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/stop_signal.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

namespace rvi {

namespace {

constexpr uint64_t watch_step_ms = 1'000; // a stop signal interrupts it
constexpr const char* me = "services";
constexpr json::limits report_limits{size_t{64} << 20, 64, 4'000'000};

struct services_options {
  node_options node;
  std::string pattern = "#";
  bool watch = false;
  output_format format;
};

std::string state_of(json::value report) {
  auto kind = text_of(report["kind"]);
  return text_of(report["state"]) + (kind.empty() ? "" : " " + kind);
}

/// One line for each service, or for the node if only its link is reported.
void print_change(json::value report) {
  auto when = show_time(report["time_ms"].as_uint().value_or(0) / 1'000);
  auto rest = text_of(report["node"]) + "  " + state_of(report);
  if (auto us = report["round_trip_us"].as_uint())
    rest += ", round trip " + std::to_string(*us) + " us";
  rest += " (" + text_of(report["reason"]) + ")";
  if (report["all"].as_bool().value_or(false))
    print_line(when + "  changes were missed; the state as it is follows");
  else if (report["services"].size() == 0)
    print_line(when + "  -  " + rest);
  for (auto x : report["services"].items())
    print_line(when + "  " + text_of(x) + "  " + rest);
}

/// Reports of the state as it is, as a table or one JSON array.
class service_list {
public:
  void add(json::value report) {
    documents_ += (documents_.empty() ? "" : ",") + std::string{report.raw()};
    for (auto x : report["services"].items()) {
      table_.add({text_of(x), text_of(report["node"]), state_of(report)});
      ++count_;
    }
  }

  int print(const output_format& format) const {
    if (format.json())
      print_line("[" + documents_ + "]");
    else if (count_ == 0)
      std::fputs("no service is known\n", stderr);
    else
      table_.print();
    return exit_done;
  }

private:
  text_table table_{{"SERVICE", "NODE", "STATE"}};
  std::string documents_;
  size_t count_ = 0;
};

int watch(node_client& client, const services_options& options) {
  client.node().on_notification = [&](std::string_view, std::string_view params) {
    auto report = json::parse(params, report_limits);
    if (options.format.json())
      print_line(params);
    else if (report)
      print_change(report->root());
    std::fflush(stdout);
  };
  while (!stop_requested())
    if (auto error = client.step(watch_step_ms)) {
      if (stop_requested())
        break;
      return fail_with_advice(me, error, options.node);
    }
  client.close();
  return exit_done;
}

int run_services(const services_options& options) {
  if (options.watch)
    catch_stop_signals();
  auto client = connect_node(options.node);
  if (!client)
    return fail_with_advice(me, client.error(), options.node);
  service_list state;
  client->node().on_notification = [&state](std::string_view, std::string_view params) {
    if (auto report = json::parse(params, report_limits))
      state.add(report->root());
  };
  json::writer params;
  params.begin_object().member("pattern", options.pattern).end_object();
  auto answer = client->call("subscribe_availability", params.take());
  if (!answer)
    return fail_with_advice(me, answer.error(), options.node);
  auto code = state.print(options.format);
  if (options.watch) {
    std::fflush(stdout);
    return watch(*client, options);
  }
  client->close();
  return code;
}

} // namespace

void add_services_command(CLI::App& app, command& chosen) {
  auto x = std::make_shared<services_options>();
  auto sub = app.add_subcommand(me, "List the services this node knows, where they are and whether "
                                    "they can be reached");
  sub->add_option("PATTERN", x->pattern, "names to list, + and # are wildcards; default: all");
  sub->add_flag("--watch", x->watch, "then print what changes, a line each, until interrupted");
  x->node.add_to(*sub);
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_services(*x); }; });
}

} // namespace rvi
