// SPDX-License-Identifier: MPL-2.0
//
// `rvi init`: a new node's directory, and what to do next.

#include "messages/name.hpp"
#include "messages/transaction_id.hpp"
#include "tools/commands.hpp"
#include "tools/node_directory.hpp"
#include "tools/report.hpp"
#include "tools/text_files.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

namespace rvi {

namespace {

struct init_options {
  new_node node;
  std::string algorithm = "ed25519";
  std::vector<std::string> routes;
  int api_port = -1;
  output_format format;
};

struct next_step {
  std::string why;
  std::string command;
};

std::vector<next_step> next_steps(const new_node& asked, const created_node& made) {
  std::vector<next_step> result;
  auto organization = std::string{organization_of(made.name)};
  auto file = made.name.substr(made.name.rfind('/') + 1) + ".jwt";
  auto credential = (std::filesystem::path{made.credentials_directory} / file).string();
  result.push_back({"Have a credential issued by the provisioner of " + organization
                      + " (node.pub is all that is needed for it; narrow --destination as needed):",
                    "rvi credential issue --root ROOT/root.key --organization " + organization
                      + " --node " + shell_word(made.public_key_file) + " --source "
                      + shell_word(made.name) + " --destination " + organization + " --out "
                      + shell_word(credential)});
  if (asked.anchors.empty()) {
    auto trust = (std::filesystem::path{made.config_file}.parent_path() / "trust").string();
    result.push_back({"Copy the provisioner's anchor and name it under [trust] anchors:",
                      "cp ROOT/anchor.json " + shell_word(trust + "/" + organization + ".json")});
  }
  result.push_back({"Start the node:", "rvi node --config " + shell_word(made.config_file)});
  return result;
}

void print_text(const new_node& asked, const created_node& made) {
  print_line("Made " + made.config_file + ": " + asked.role + " node " + made.name + ", uid "
             + to_string(made.key.uid()));
  print_line("Next:");
  int number = 0;
  for (auto& [why, command] : next_steps(asked, made)) {
    print_line("  " + std::to_string(++number) + ". " + why);
    print_line("     " + command);
  }
}

void print_json(const new_node& asked, const created_node& made) {
  json::writer out;
  out.begin_object()
    .member("name", made.name)
    .member("role", asked.role)
    .member("uid", to_string(made.key.uid()))
    .member("config", made.config_file)
    .member("public_key_file", made.public_key_file)
    .member("credentials", made.credentials_directory);
  out.key("public_key").raw(made.key.jwk());
  out.key("next").begin_array();
  for (auto& x : next_steps(asked, made))
    out.string(x.command);
  out.end_array().end_object();
  print_line(out.take());
}

int run_init(const init_options& options) {
  auto node = options.node;
  node.algorithm
    = options.algorithm == "es256" ? crypto::algorithm::es256 : crypto::algorithm::ed25519;
  if (options.api_port >= 0)
    node.api_port = uint16_t(options.api_port);
  for (auto& text : options.routes) {
    auto equals = text.rfind('=');
    if (equals == text.npos || equals == 0)
      return fail_usage("init", "--route " + text + ": must be PATTERN=host:port");
    node.routes.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  auto made = create_node_directory(node);
  if (!made
      && (code_of(made.error()) == ec::bad_request || code_of(made.error()) == ec::invalid_name))
    return fail_usage("init", detail_of(made.error()));
  if (!made)
    return fail("init", made.error());
  if (options.format.json())
    print_json(node, *made);
  else
    print_text(node, *made);
  return exit_done;
}

} // namespace

void add_init_command(CLI::App& app, command& chosen) {
  auto x = std::make_shared<init_options>();
  auto sub = app.add_subcommand("init", "Make the directory of a new node: configuration, key, "
                                        "token, places for credentials and trust anchors");
  sub->add_option("--role", x->node.role, "vehicle, mobile or cloud")
    ->check(CLI::IsMember({"vehicle", "mobile", "cloud"}))
    ->required();
  sub->add_option("--name", x->node.name, "the node's address, such as jlr.com/vin/1234")
    ->required();
  sub->add_option("--directory", x->node.directory, "where to make it")->capture_default_str();
  sub->add_option("--algorithm", x->algorithm, "of the node's key: ed25519 or es256")
    ->check(CLI::IsMember({"ed25519", "es256"}))
    ->capture_default_str();
  sub->add_option("--key", x->node.key_uri,
                  "a key on a token, instead of a new key file: "
                  "pkcs11:token=T;object=K?module-path=M&pin-source=F");
  sub->add_flag("--generate", x->node.generate, "make that key on the token");
  sub->add_option("--signer", x->node.signer_socket,
                  "the socket of a running rvi signer that has the key");
  sub->add_option("--connect", x->node.connect, "host:port of a peer to be linked to; repeatable")
    ->allow_extra_args(false);
  sub->add_option("--listen", x->node.listen,
                  "IP:port for peers; cloud nodes listen on "
                  "0.0.0.0:8810 by default, others do not");
  sub
    ->add_option("--route", x->routes,
                 "PATTERN=host:port: where nodes not met yet are reached; repeatable")
    ->allow_extra_args(false);
  sub->add_option("--api-port", x->api_port, "TCP port for services; 0: Unix socket only")
    ->check(CLI::Range(0, 65'535));
  sub
    ->add_option("--anchor", x->node.anchors,
                 "trust anchor (anchor.json of `rvi credential root`), copied; repeatable")
    ->allow_extra_args(false);
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_init(*x); }; });
}

} // namespace rvi
