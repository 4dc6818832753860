// SPDX-License-Identifier: MPL-2.0
//
// `rvi grant`: lets another node reach services of this one (HLD 9.6), shows what was granted, and
// takes it back.

#include "messages/grant.hpp"
#include "tools/client.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/text_files.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace rvi {

namespace {

constexpr auto me = "grant";
constexpr uint64_t day_s = 86'400;

struct grant_options {
  node_options node;
  std::string to;
  std::vector<std::string> destinations;
  uint64_t days = 30;
  std::string not_after;
  std::string id;
  std::string out;
  std::string file;
  output_format format;
};

/// Asks the node; nothing: the failure has been printed.
expected<node_answer>
ask(const grant_options& options, const char* method, json::writer& params, int& exit_code) {
  exit_code = exit_failed;
  auto client = connect_node(options.node);
  if (!client) {
    fail_with_advice(me, client.error(), options.node);
    return std::move(client.error());
  }
  auto answer = client->call(method, params.end_object().take());
  if (!answer)
    fail_with_advice(me, answer.error(), options.node);
  else
    client->close();
  return answer;
}

int run_make(const grant_options& options) {
  auto expires = wall_now_ms() / 1'000 + options.days * day_s;
  if (!options.not_after.empty()) {
    auto time = parse_time_s(options.not_after);
    if (!time)
      return fail_usage(me, detail_of(time.error()));
    expires = *time;
  }
  json::writer params;
  params.begin_object().member("node", options.to).member("expires", expires);
  if (!options.id.empty())
    params.member("grant_id", options.id);
  params.key("destinations").begin_array();
  for (auto& pattern : options.destinations)
    params.string(pattern);
  params.end_array();
  int failed = 0;
  auto answer = ask(options, "make_grant", params, failed);
  if (!answer)
    return failed;
  auto x = answer->result;
  if (!options.out.empty())
    if (auto error = write_new_text(options.out, text_of(x["grant"]) + "\n"))
      return fail(me, error);
  if (options.format.json()) {
    print_line(x.raw());
    return exit_done;
  }
  print_line("Grant " + text_of(x["grant_id"]) + " for node " + text_of(x["node_uid"])
             + " is in force until " + show_time(expires));
  if (!options.out.empty())
    print_line("Made " + options.out + ": take it there with rvi grant take");
  if (auto id = x["transaction_id"])
    print_line("It is on its way; whether it has arrived: rvi outcome " + text_of(id));
  else if (options.out.empty())
    print_line("Not sent (" + text_of(x["not_sent"]) + "); take it there with rvi grant take:\n"
               + text_of(x["grant"]));
  else
    print_line("Not sent: " + text_of(x["not_sent"]));
  return exit_done;
}

void add_rows(text_table& table, json::value grants, const char* direction) {
  for (auto& x : grants.items()) {
    std::string reaches;
    for (auto pattern : x["destinations"].items())
      reaches += (reaches.empty() ? "" : ", ") + text_of(pattern);
    table.add({text_of(x["grant_id"]), direction, text_of(x["node_uid"]), text_of(x["state"]),
               show_time(x["expires"].as_uint().value_or(0)), reaches});
  }
}

int run_list(const grant_options& options) {
  json::writer params;
  params.begin_object();
  int failed = 0;
  auto answer = ask(options, "get_grants", params, failed);
  if (!answer)
    return failed;
  auto x = answer->result;
  if (options.format.json()) {
    print_line(x.raw());
    return exit_done;
  }
  if (x["given"].size() + x["held"].size() == 0) {
    print_line("This node has given no grants and holds none");
    return exit_done;
  }
  text_table table{{"ID", "GRANT", "NODE", "STATE", "EXPIRES", "REACHES"}};
  add_rows(table, x["given"], "given to");
  add_rows(table, x["held"], "held from");
  table.print();
  return exit_done;
}

int run_withdraw(const grant_options& options) {
  json::writer params;
  params.begin_object().member("grant_id", options.id);
  int failed = 0;
  auto answer = ask(options, "withdraw_grant", params, failed);
  if (!answer)
    return failed;
  print_line(options.format.json() ? std::string{answer->result.raw()}
                                   : "Grant " + options.id + " does not count any more");
  return exit_done;
}

int run_take(const grant_options& options) {
  auto text = read_text(options.file);
  if (!text)
    return fail(me, text.error());
  *text = trimmed_end(std::move(*text));
  // Here too, so that a wrong file never gets as far as a node.
  auto grant = parse_grant(*text);
  if (!grant)
    return fail(
      me, caf::make_error(code_of(grant.error()), options.file + ": " + detail_of(grant.error())));
  json::writer params;
  params.begin_object().member("grant", *text);
  int failed = 0;
  auto answer = ask(options, "add_grant", params, failed);
  if (!answer)
    return failed;
  if (options.format.json())
    print_line(answer->result.raw());
  else
    print_line("Grant " + (*grant)->id + " of " + (*grant)->granter_address + " can be used until "
               + show_time((*grant)->expires_s));
  return exit_done;
}

using grant_options_ptr = std::shared_ptr<grant_options>;

CLI::App* add_part(CLI::App& parent, const char* name, const char* help, command& chosen,
                   const grant_options_ptr& x, int (*run)(const grant_options&)) {
  auto sub = parent.add_subcommand(name, help);
  x->node.add_to(*sub);
  x->format.add_to(*sub);
  sub->callback([x, run, &chosen] { chosen = [x, run] { return run(*x); }; });
  return sub;
}

} // namespace

void add_grant_command(CLI::App& app, command& chosen) {
  auto x = std::make_shared<grant_options>();
  auto grant = app.add_subcommand("grant", "Let another node reach services of this one, without "
                                           "a provisioning server");
  grant->require_subcommand(1);
  auto make
    = add_part(*grant, "make", "Grant, and send the grant to the node", chosen, x, run_make);
  make->add_option("NODE", x->to, "address of a node that was met before, or its uid")->required();
  make
    ->add_option("--destination", x->destinations,
                 "pattern below this node's address that it may reach; repeatable")
    ->required()
    ->allow_extra_args(false);
  auto days = make->add_option("--days", x->days, "validity")
                ->check(CLI::Range(uint64_t{1}, grant_validity_days_max))
                ->capture_default_str();
  make->add_option("--not-after", x->not_after, "RFC 3339 or Unix seconds")->excludes(days);
  make->add_option("--id", x->id, "the grant's id; default: a random one");
  make->add_option("--out", x->out, "file to make, to carry it there by hand");
  add_part(*grant, "list", "Show what this node has granted, and was granted", chosen, x, run_list);
  auto withdraw
    = add_part(*grant, "withdraw", "Take a grant back; it ends at once", chosen, x, run_withdraw);
  withdraw->add_option("ID", x->id, "see: rvi grant list")->required();
  auto take = add_part(*grant, "take", "Use a grant that another node has made for this one",
                       chosen, x, run_take);
  take->add_option("FILE", x->file, "the grant; - reads standard input")->required();
}

} // namespace rvi
