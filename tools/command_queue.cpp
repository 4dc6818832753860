// SPDX-License-Identifier: MPL-2.0
//
// `rvi queue`: what waits at a node and what is dead there; to end it or give it another try.

#include "tools/client.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

namespace rvi {

namespace {

constexpr uint64_t page_max = 1'000;
constexpr const char* me = "queue";

struct queue_options {
  node_options node;
  std::string id;
  std::string pattern;
  bool dead = false;
  uint64_t limit = 0; // of records listed; 0: all
  output_format format;
};

expected<node_answer> ask(node_client& client, const char* method, json::writer& params) {
  return client.call(method, params.end_object().take());
}

void add_row(text_table& table, json::value x, bool dead) {
  auto left = x["expires_ms"].as_uint().value_or(0) / 1'000;
  std::vector<std::string> row{
    text_of(x["transaction_id"]), text_of(x["state"]), text_of(x["what"]),  text_of(x["priority"]),
    text_of(x["bytes"]),          show_time(left),     text_of(x["target"])};
  if (dead)
    row.push_back(text_of(x["why"]));
  table.add(std::move(row));
}

/// Page after page, so that any number can be listed.
int run_list(const queue_options& options) {
  auto client = connect_node(options.node);
  if (!client)
    return fail_with_advice(me, client.error(), options.node);
  std::vector<std::string> header{"ID", "STATE", "WHAT", "PRIORITY", "BYTES", "EXPIRES", "TARGET"};
  if (options.dead)
    header.push_back("WHY");
  uint64_t shown = 0;
  std::string after;
  do {
    json::writer params;
    params.begin_object().member("after", after).member("dead", options.dead);
    if (!options.pattern.empty())
      params.member("pattern", options.pattern);
    auto wanted = options.limit == 0 ? page_max : std::min(page_max, options.limit - shown);
    params.member("limit", wanted);
    auto answer = ask(*client, "get_queue", params);
    if (!answer)
      return fail_with_advice(me, answer.error(), options.node);
    text_table table{shown == 0 ? header : std::vector<std::string>(header.size())};
    for (auto x : answer->result["items"].items()) {
      ++shown;
      if (options.format.json())
        print_line(x.raw()); // one object a line: no page needs the others
      else
        add_row(table, x, options.dead);
    }
    if (!options.format.json() && answer->result["items"].size() > 0)
      table.print();
    after = text_of(answer->result["next"]);
  } while (!after.empty() && (options.limit == 0 || shown < options.limit));
  if (shown == 0)
    std::fputs(options.dead ? "no dead letters\n" : "nothing waits\n", stderr);
  return exit_done;
}

int run_one(const queue_options& options, const char* method) {
  auto client = connect_node(options.node);
  if (!client)
    return fail_with_advice(me, client.error(), options.node);
  json::writer params;
  params.begin_object().member("transaction_id", options.id);
  auto answer = ask(*client, method, params);
  if (!answer)
    return fail_with_advice(me, answer.error(), options.node);
  auto result = answer->result;
  if (options.format.json())
    print_line(result.raw());
  else if (result["items"])
    for (auto x : result["items"].items())
      print_fields(x);
  else if (result["dropped"])
    print_line("dropped " + text_of(result["dropped"]));
  else
    print_line(text_of(result["transaction_id"]));
  return exit_done;
}

int run_drop(const queue_options& options) {
  if (options.id.empty() == options.pattern.empty())
    return fail_usage(me, "drop takes an ID or --pattern, one of them");
  if (!options.id.empty())
    return run_one(options, "drop_queued");
  auto client = connect_node(options.node);
  if (!client)
    return fail_with_advice(me, client.error(), options.node);
  uint64_t dropped = 0;
  for (bool more = true; more;) {
    json::writer params;
    params.begin_object().member("pattern", options.pattern);
    auto answer = ask(*client, "drop_queued", params);
    if (!answer)
      return fail_with_advice(me, answer.error(), options.node);
    auto now = answer->result["dropped"].as_uint().value_or(0);
    dropped += now;
    more = now > 0 && answer->result["more"].as_bool().value_or(false);
  }
  print_line(options.format.json() ? "{\"dropped\":" + std::to_string(dropped) + "}"
                                   : "dropped " + std::to_string(dropped));
  return exit_done;
}

CLI::App* add(CLI::App& queue, command& chosen, const std::shared_ptr<queue_options>& x,
              const char* name, const char* text, int (*run)(const queue_options&)) {
  auto sub = queue.add_subcommand(name, text);
  x->node.add_to(*sub);
  x->format.add_to(*sub);
  sub->callback([x, run, &chosen] { chosen = [x, run] { return run(*x); }; });
  return sub;
}

} // namespace

void add_queue_command(CLI::App& app, command& chosen) {
  auto queue = app.add_subcommand("queue", "What waits at a node, and its dead letters");
  queue->require_subcommand(1);
  auto of = [] { return std::make_shared<queue_options>(); };
  auto x = of();
  auto sub
    = add(*queue, chosen, x, "list",
          "List what waits, or the dead letters; with --format json one object a line", run_list);
  sub->add_option("--pattern", x->pattern, "targets to list, + and # are wildcards; default: all");
  sub->add_flag("--dead", x->dead, "the dead letters: what nobody took, or nobody can say ran");
  sub->add_option("--limit", x->limit, "list this many at most; 0: all")->capture_default_str();
  x = of();
  sub = add(*queue, chosen, x, "show", "Show one request with its arguments",
            [](const queue_options& o) { return run_one(o, "get_queued"); });
  sub->add_option("ID", x->id, "transaction id, 56 hex digits")->required();
  x = of();
  sub = add(*queue, chosen, x, "drop",
            "End what waits: its sender gets `refused`, or `outcome_unknown` if it may have run; a "
            "dead letter is forgotten",
            run_drop);
  sub->add_option("ID", x->id, "transaction id, 56 hex digits");
  sub->add_option("--pattern", x->pattern, "all that waits for these targets");
  x = of();
  sub = add(*queue, chosen, x, "requeue",
            "Give a dead letter another try and print its id: the same where it was to be run, a "
            "new one where it was made",
            [](const queue_options& o) { return run_one(o, "requeue"); });
  sub->add_option("ID", x->id, "transaction id, 56 hex digits")->required();
}

} // namespace rvi
