// SPDX-License-Identifier: MPL-2.0
//
// `rvi links`: the links of a node, and the administrator's word on them (HLD 15.2).

#include "tools/client.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

namespace rvi {

namespace {

constexpr auto me = "links";

struct links_options {
  node_options node;
  std::string disconnect;
  std::string connect;
  output_format format;
};

std::string cell(json::value x) {
  auto result = text_of(x);
  return result.empty() ? "-" : result;
}

std::string show_round_trip(uint64_t us) {
  return us == 0 ? "-" : std::to_string(us) + " us";
}

std::string show_rate(uint64_t bytes_per_s) {
  return bytes_per_s == 0 ? "-" : std::to_string((bytes_per_s + 1'023) / 1'024) + " KiB/s";
}

void print_links(json::value result) {
  text_table table{
    {"LINK", "KIND", "NODE", "ADDRESS", "STATE", "DIALLED BY", "ROUND TRIP", "RATE"}};
  for (auto x : result.items())
    table.add({cell(x["link"]), cell(x["kind"]), cell(x["node"]), cell(x["network_address"]),
               cell(x["state"]), x["dialled"].as_bool().value_or(false) ? "this node" : "the peer",
               show_round_trip(x["round_trip_us"].as_uint().value_or(0)),
               show_rate(x["bytes_per_s"].as_uint().value_or(0))});
  if (result.size() == 0)
    std::fputs("no link; [links.tls] connect in rvi.toml names peers to be linked to\n", stderr);
  else
    table.print();
}

int run_links(const links_options& options) {
  auto client = connect_node(options.node);
  if (!client)
    return fail_with_advice(me, client.error(), options.node);
  bool apart = !options.disconnect.empty();
  bool together = !options.connect.empty();
  json::writer params;
  params.begin_object();
  if (apart || together)
    params.member("node", apart ? options.disconnect : options.connect);
  params.end_object();
  auto answer = client->call(apart      ? "disconnect"
                             : together ? "connect"
                                        : "get_links",
                             params.take());
  if (!answer && code_of(answer.error()) == ec::not_found)
    return fail(me, answer.error(),
                "[[routes]] in rvi.toml says where a node is that has not been met yet.");
  if (!answer)
    return fail_with_advice(me, answer.error(), options.node);
  client->close();
  if (options.format.json())
    print_line(answer->result.raw());
  else if (apart)
    print_line(options.disconnect + " is disconnected (" + text_of(answer->result["links"])
               + " links closed) until: rvi links --connect " + options.disconnect);
  else if (together)
    print_line(options.connect + " may be linked, and is dialled if its address is known");
  else
    print_links(answer->result);
  return exit_done;
}

} // namespace

void add_links_command(CLI::App& app, command& chosen) {
  auto x = std::make_shared<links_options>();
  auto sub
    = app.add_subcommand("links", "List the links to other nodes and those being set up, or end "
                                  "and allow those to one node");
  auto apart = sub->add_option("--disconnect", x->disconnect,
                               "NODE: close the links to it; none comes up until --connect");
  sub->add_option("--connect", x->connect, "NODE: allow links to it again, and dial it now")
    ->excludes(apart);
  x->node.add_to(*sub);
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_links(*x); }; });
}

} // namespace rvi
