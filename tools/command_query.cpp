// SPDX-License-Identifier: MPL-2.0
//
// What a node knows: `rvi status`, `nodes`, `outcome`. `rvi services` is in command_services.cpp,
// `rvi links` in command_links.cpp.

#include "tools/client.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

namespace rvi {

namespace {

struct query {
  const char* name; // of the command
  const char* description;
  const char* method;      // of the node
  const char* argument;    // its field of the method's parameters; null: takes none
  const char* placeholder; // on the command line
  const char* argument_text;
  bool required;
  int (*print)(json::value result);
};

struct query_options {
  node_options node;
  std::string argument;
  output_format format;
};

std::string joined(json::value list) {
  std::string result;
  for (auto x : list.items())
    result += (result.empty() ? "" : ", ") + text_of(x);
  return result.empty() ? "-" : result;
}

int print_status(json::value result) {
  print_fields(result);
  return exit_done;
}

int print_nodes(json::value result) {
  text_table table{{"NODE", "UID", "STATE", "LAST SEEN", "SERVICES", "DIALLED AT"}};
  table.align_right(4);
  for (auto x : result["nodes"].items()) {
    auto seen_s = x["last_seen_ms"].as_uint().value_or(0) / 1'000;
    auto state = text_of(x["state"]);
    if (auto kind = text_of(x["kind"]); !kind.empty())
      state += " " + kind;
    table.add({text_of(x["address"]), text_of(x["uid"]), state,
               seen_s == 0 ? "-" : show_time(seen_s), std::to_string(x["services"].size()),
               joined(x["network_addresses"])});
  }
  if (result["nodes"].size() == 0)
    std::fputs("no other node has been met yet; see `rvi links`\n", stderr);
  else
    table.print();
  return exit_done;
}

int print_outcome(json::value result) {
  print_fields(result);
  return exit_done;
}

constexpr query queries[] = {
  {"status", "Show the node's credentials, queues and counts", "get_status", nullptr, nullptr,
   nullptr, false, print_status},
  {"nodes", "List the nodes this node has met, also before it was restarted", "get_nodes", nullptr,
   nullptr, nullptr, false, print_nodes},
  {"outcome", "Show how a request ended", "get_outcome", "transaction_id", "ID",
   "transaction id, 56 hex digits", true, print_outcome},
};

int run_query(const query& what, const query_options& options) {
  json::writer params;
  params.begin_object();
  if (what.argument && !options.argument.empty())
    params.member(what.argument, options.argument);
  params.end_object();
  auto client = connect_node(options.node);
  if (!client)
    return fail_with_advice(what.name, client.error(), options.node);
  auto answer = client->call(what.method, params.take());
  if (!answer && code_of(answer.error()) == ec::not_found)
    return fail(what.name, answer.error(),
                "Outcomes are kept for a while, at the requesting node.");
  if (!answer)
    return fail_with_advice(what.name, answer.error(), options.node);
  client->close();
  if (!options.format.json())
    return what.print(answer->result);
  print_line(answer->result.raw());
  return exit_done;
}

} // namespace

void add_query_commands(CLI::App& app, command& chosen) {
  for (auto& what : queries) {
    auto x = std::make_shared<query_options>();
    auto sub = app.add_subcommand(what.name, what.description);
    if (what.argument)
      sub->add_option(what.placeholder, x->argument, what.argument_text)->required(what.required);
    x->node.add_to(*sub);
    x->format.add_to(*sub);
    sub->callback([x, &what, &chosen] { chosen = [x, &what] { return run_query(what, *x); }; });
  }
}

} // namespace rvi
