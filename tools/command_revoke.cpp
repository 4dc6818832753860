// SPDX-License-Identifier: MPL-2.0
//
// `rvi revoke`: hands a signed revocation list to the running node, which passes it on to its
// peers.

#include "messages/revocation.hpp"
#include "tools/client.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/text_files.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace rvi {

namespace {

constexpr auto me = "revoke";

struct revoke_options {
  node_options node;
  std::string file;
  output_format format;
};

/// What a person can do about a list that was refused; null: what is said of any error.
const char* advice_on_list(ec code) {
  switch (code) {
    case ec::replay:
      return "The node has this list or a newer one: see `rvi status`. Sign the next one on top of "
             "that: rvi credential revoke --list.";
    case ec::not_found:
      return "The node lacks the list that this one adds to: give it a full list.";
    case ec::unknown_issuer:
      return "A node takes lists only of organizations that [trust] anchors in its rvi.toml names.";
    case ec::unauthorized:
      return "Run it as the node's user or as root, or with the node's token: --url, --token-file.";
    default:
      return nullptr;
  }
}

int run_revoke(const revoke_options& options) {
  auto text = read_text(options.file);
  if (!text)
    return fail(me, text.error());
  *text = trimmed_end(std::move(*text));
  // Here too, so that a wrong file never gets as far as a node.
  auto carried = carried_list(*text);
  auto list = carried ? parse_revocation_list(*carried) : std::move(carried.error());
  if (!list)
    return fail(
      me, caf::make_error(code_of(list.error()), options.file + ": " + detail_of(list.error())));
  auto client = connect_node(options.node);
  if (!client)
    return fail_with_advice(me, client.error(), options.node);
  json::writer params;
  params.begin_object().member("list", *text).end_object();
  auto answer = client->call("revoke", params.take());
  if (!answer) {
    if (auto advice = advice_on_list(code_of(answer.error())))
      return fail(me, answer.error(), advice);
    return fail_with_advice(me, answer.error(), options.node);
  }
  client->close();
  if (options.format.json())
    print_line(answer->result.raw());
  else
    print_line("Revocation list " + text_of(answer->result["serial"]) + " of "
               + text_of(answer->result["issuer"]) + " is in force");
  return exit_done;
}

} // namespace

void add_revoke_command(CLI::App& app, command& chosen) {
  auto x = std::make_shared<revoke_options>();
  auto sub = app.add_subcommand("revoke", "Put a signed revocation list in force at the node, "
                                          "which passes it on; see: rvi credential revoke");
  sub->add_option("FILE", x->file, "the list; - reads standard input")->required();
  x->node.add_to(*sub);
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_revoke(*x); }; });
}

} // namespace rvi
