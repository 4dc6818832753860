// SPDX-License-Identifier: MPL-2.0
//
// `rvi trust`: hands the next trust bundles of an organization to the running node, which passes
// them on to its peers.

#include "messages/trust_bundle.hpp"
#include "tools/client.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/text_files.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

namespace rvi {

namespace {

constexpr auto me = "trust";

struct trust_options {
  node_options node;
  std::string file;
};

/// What a person can do about a bundle that was refused; null: what is said of any error.
const char* advice_on_bundle(ec code) {
  switch (code) {
    case ec::unknown_issuer:
      return "A node follows bundles only of organizations that a bundle in [trust] anchors of its "
             "rvi.toml has pinned.";
    case ec::not_found:
      return "The node lacks one before it: give it the file with all of them.";
    case ec::signature_invalid:
      return "The threshold of the roots before and of its own must sign it: rvi credential "
             "sign-bundle.";
    default:
      return nullptr;
  }
}

int run_trust(const trust_options& options) {
  auto text = read_text(options.file);
  if (!text)
    return fail(me, text.error());
  auto client = connect_node(options.node);
  if (!client)
    return fail_with_advice(me, client.error(), options.node);
  size_t known = 0;
  size_t taken = 0;
  for (std::string_view rest = *text; !rest.empty();) {
    auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.empty())
      continue;
    auto bundle = parse_trust_bundle(line);
    if (!bundle)
      return fail(me, caf::make_error(code_of(bundle.error()),
                                      options.file + ": " + detail_of(bundle.error())));
    json::writer params;
    params.begin_object().member("list", line).end_object();
    auto answer = client->call("revoke", params.take());
    if (answer) {
      ++taken;
      print_line("Bundle " + std::to_string((*bundle)->sequence) + " of " + (*bundle)->organization
                 + " is in force");
    } else if (code_of(answer.error()) == ec::replay) {
      ++known;
    } else {
      auto advice = advice_on_bundle(code_of(answer.error()));
      return advice ? fail(me, answer.error(), advice)
                    : fail_with_advice(me, answer.error(), options.node);
    }
  }
  client->close();
  if (taken + known == 0)
    return fail(me, caf::make_error(ec::malformed, options.file + ": no trust bundle is here"));
  if (taken == 0)
    print_line("The node has all of them");
  return exit_done;
}

} // namespace

void add_trust_command(CLI::App& app, command& chosen) {
  auto x = std::make_shared<trust_options>();
  auto sub = app.add_subcommand("trust", "Let the node follow an organization to its next keys; it "
                                         "passes them on; see: rvi credential bundle");
  sub->add_option("FILE", x->file, "trust bundles, one a line; - reads standard input")->required();
  x->node.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_trust(*x); }; });
}

} // namespace rvi
