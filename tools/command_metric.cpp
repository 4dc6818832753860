// SPDX-License-Identifier: MPL-2.0
//
// `rvi publish` gives a topic a new value; `rvi subscribe` prints values as they come (HLD 6.1.3).

#include "messages/name.hpp"
#include "tools/client.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/stop_signal.hpp"
#include "tools/text_files.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <poll.h>
#include <unistd.h>

namespace rvi {

namespace {

constexpr uint64_t wait_ms = 200; // a stop signal is seen by then
constexpr uint64_t come_again_ms = 1'000;

/// With the prefix metric:, which may be left out.
std::string as_metric(const std::string& name) {
  auto colon = name.find(':');
  return colon == std::string::npos || name.find('/') < colon ? "metric:" + name : name;
}

caf::error register_name(node_client& client, const std::string& name) {
  json::writer params;
  params.begin_object().member("service", name).end_object();
  auto answer = client.call("register_service", params.take());
  return answer ? caf::error{} : std::move(answer.error());
}

void unregister_name(node_client& client, const std::string& name) {
  json::writer params;
  params.begin_object().member("service", name).end_object();
  (void)client.call("unregister_service", params.take());
}

// -- publish ------------------------------------------------------------------------------------

struct publish_options {
  node_options node;
  std::string topic;
  std::string value;
  std::string timeout;
  std::string from = "cli/publish"; // the same each time: a later value replaces an earlier one
  bool retain = false;
};

int run_publish(const publish_options& options) {
  constexpr auto me = "publish";
  auto topic = normalise_name(as_metric(options.topic));
  if (!topic)
    return fail_usage(me, options.topic + ": " + detail_of(topic.error()));
  auto value = options.value;
  if (value == "-") {
    auto text = read_text("-");
    if (!text)
      return fail(me, text.error());
    value = trimmed_end(std::move(*text));
  }
  auto document = json::parse(value, {text_file_bytes_max, 64, 1'000'000});
  if (!document)
    return fail_usage(me, "the value is no JSON: " + detail_of(document.error()));
  json::writer params;
  params.begin_object().member("source", options.from).member("target", *topic);
  if (!options.timeout.empty()) {
    auto timeout = parse_duration_ms(options.timeout);
    if (!timeout)
      return fail_usage(me, "--timeout: " + detail_of(timeout.error()));
    params.member("timeout", wall_now_ms() + *timeout);
  }
  if (options.retain)
    params.member("retain", true);
  params.key("value").raw(value).end_object();
  auto client = connect_node(options.node);
  if (!client)
    return fail_with_advice(me, client.error(), options.node);
  if (auto error = register_name(*client, options.from))
    return fail_with_advice(me, error, options.node);
  auto answer = client->call("publish", params.take());
  unregister_name(*client, options.from);
  client->close();
  return answer ? exit_done : fail_with_advice(me, answer.error(), options.node);
}

// -- subscribe ----------------------------------------------------------------------------------

struct subscribe_options {
  node_options node;
  std::string pattern;
  std::string interval;
  std::optional<double> change;
  std::string from;
  uint64_t count = 0;
  output_format format;
};

class metric_printer {
public:
  explicit metric_printer(const subscribe_options& options) : options_(options) {}
  int run();

private:
  caf::error serve();
  void print(const client::metric& x);
  bool over() const { return stop_requested() || (options_.count != 0 && seen_ >= options_.count); }

  const subscribe_options& options_;
  std::string name_;
  std::string params_;
  uint64_t seen_ = 0;
  bool worked_ = false;
};

int metric_printer::run() {
  constexpr auto me = "subscribe";
  auto pattern = normalise_pattern(as_metric(options_.pattern));
  if (!pattern)
    return fail_usage(me, options_.pattern + ": " + detail_of(pattern.error()));
  name_ = options_.from.empty() ? "cli/subscribe/" + std::to_string(::getpid()) : options_.from;
  json::writer params;
  params.begin_object().member("requesting_service", name_).member("target", *pattern);
  if (!options_.interval.empty()) {
    auto interval = parse_duration_ms(options_.interval);
    if (!interval)
      return fail_usage(me, "--min-interval: " + detail_of(interval.error()));
    params.member("min_interval_ms", *interval);
  }
  if (options_.change)
    params.key("min_change").raw(std::to_string(*options_.change));
  params_ = params.end_object().take();
  catch_stop_signals();
  for (;;) {
    auto error = serve();
    if (!error || over())
      return exit_done;
    auto code = code_of(error);
    bool passes = code == ec::unreachable || code == ec::link_down || code == ec::shutting_down;
    if (!worked_ || !passes)
      return fail_with_advice(me, error, options_.node);
    std::fprintf(stderr, "rvi subscribe: %s; trying again\n", describe(error).c_str());
    for (auto until = steady_now_ms() + come_again_ms; !over() && steady_now_ms() < until;)
      ::poll(nullptr, 0, static_cast<int>(wait_ms));
  }
}

/// Until it is over, or the node goes.
caf::error metric_printer::serve() {
  auto client = connect_node(options_.node);
  if (!client)
    return std::move(client.error());
  client->node().on_metric = [&](const client::metric& x) { print(x); };
  if (auto error = register_name(*client, name_))
    return error;
  auto answer = client->call("subscribe", params_);
  if (!answer)
    return std::move(answer.error());
  worked_ = true;
  while (!over())
    if (auto error = client->step(wait_ms))
      return error;
  unregister_name(*client, name_); // its subscription ends with it
  client->close();
  return {};
}

void metric_printer::print(const client::metric& x) {
  if (over())
    return;
  ++seen_;
  if (options_.format.json()) {
    json::writer out;
    out.begin_object().member("target", x.target).key("value").raw(x.value);
    out.member("published_ms", x.published_ms).member("source", x.source).end_object();
    print_line(out.take());
  } else {
    print_line(show_time(x.published_ms / 1'000) + " " + std::string{x.target} + " "
               + std::string{x.value});
  }
  std::fflush(stdout);
}

} // namespace

void add_metric_commands(CLI::App& app, command& chosen) {
  auto p = std::make_shared<publish_options>();
  auto publish = app.add_subcommand("publish", "Give a topic of this node a new value");
  publish
    ->add_option("TOPIC", p->topic,
                 "such as jlr.com/vin/1234/speed, below the node's address; metric: may be left "
                 "out")
    ->required();
  publish->add_option("VALUE", p->value, "a JSON value; - reads standard input")->required();
  publish->add_option("--timeout", p->timeout,
                      "how long the value holds: 30s, 1d; else until it is replaced");
  publish->add_flag("--retain", p->retain, "keep it through a restart of the node");
  publish->add_option("--from", p->from, "the publishing service's name")->capture_default_str();
  p->node.add_to(*publish);
  publish->callback([p, &chosen] { chosen = [p] { return run_publish(*p); }; });

  auto s = std::make_shared<subscribe_options>();
  auto subscribe = app.add_subcommand("subscribe", "Print the values of topics as they come");
  subscribe
    ->add_option("PATTERN", s->pattern,
                 "such as jlr.com/vin/1234/#, jlr.com/vin/+/speed; metric: may be left out")
    ->required();
  subscribe->add_option("--min-interval", s->interval,
                        "time between two values of a topic, such as 500ms; the newest waits");
  subscribe->add_option("--min-change", s->change, "leave out smaller changes of a number");
  subscribe->add_option("--count", s->count, "end after so many values; 0: never")
    ->capture_default_str();
  subscribe->add_option("--from", s->from,
                        "the requesting service's name; default: cli/subscribe/PID");
  s->node.add_to(*subscribe);
  s->format.add_to(*subscribe);
  subscribe->callback([s, &chosen] { chosen = [s] { return metric_printer{*s}.run(); }; });
}

} // namespace rvi
