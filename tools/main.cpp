// SPDX-License-Identifier: MPL-2.0
//
// `rvi`: one program for nodes and for everything people do with them.

#include "tools/commands.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <memory>

namespace rvi {

namespace {

void add_node_command(CLI::App& app, command& chosen) {
  struct options {
    std::string config;
    bool dump = false;
  };
  auto x = std::make_shared<options>();
  auto sub = app.add_subcommand("node", "Run a node until SIGTERM; SIGHUP reads credentials and "
                                        "trust anchors again");
  sub->add_option("--config", x->config, "the node's rvi.toml")->required();
  sub->add_flag("--dump-config", x->dump, "print the configuration in force and end");
  sub->callback([x, &chosen] { chosen = [x] { return run_node(x->config, x->dump); }; });
}

/// `rvi help` and `rvi help COMMAND...`.
void add_help_command(CLI::App& app, command& chosen) {
  auto topic = std::make_shared<std::vector<std::string>>();
  auto sub = app.add_subcommand("help", "Explain a command");
  sub->add_option("COMMAND", *topic, "such as: credential issue");
  sub->callback([&app, topic, &chosen] {
    chosen = [&app, topic] {
      const CLI::App* at = &app;
      std::string before;
      for (auto& name : *topic) {
        before += (before.empty() ? "" : " ") + at->get_name();
        auto below
          = at->get_subcommands([&name](const CLI::App* x) { return x->get_name() == name; });
        if (below.empty()) {
          std::fprintf(stderr, "rvi help: there is no command %s\n", name.c_str());
          return exit_usage;
        }
        at = below.front();
      }
      std::fputs(at->help(before).c_str(), stdout);
      return exit_done;
    };
  });
}

void build(CLI::App& app, command& chosen) {
  app.name("rvi");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string{"rvi "} + program_version);
  app.footer(
    "Client commands find their node by --config, --socket or --url, else by $RVI_CONFIG, "
    "./rvi.toml or /etc/rvi/rvi.toml.\nExit codes: 0 done, 1 failed, 2 wrong command line. "
    "More: rvi help COMMAND");
  add_node_command(app, chosen);
  add_signer_command(app, chosen);
  add_init_command(app, chosen);
  add_credential_command(app, chosen);
  add_serve_command(app, chosen);
  add_call_commands(app, chosen);
  add_services_command(app, chosen);
  add_metric_commands(app, chosen);
  add_query_commands(app, chosen);
  add_queue_command(app, chosen);
  add_revoke_command(app, chosen);
  add_trust_command(app, chosen);
  add_grant_command(app, chosen);
  add_links_command(app, chosen);
  add_trace_command(app, chosen);
  add_audit_command(app, chosen);
  add_bench_command(app, chosen);
  add_simulate_command(app, chosen);
  add_help_command(app, chosen);
}

int run(int argc, char** argv) {
  CLI::App app{"RVI Router: services on vehicles, phones and servers call each other over links "
               "that come and go"};
  command chosen;
  build(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& x) {
    auto unknown = app.remaining(true); // the better explanation, if there is one
    if (unknown.empty())
      return app.exit(x) == 0 ? exit_done : exit_usage;
    std::fprintf(stderr, "rvi: there is no command or option %s\nsee: rvi --help\n",
                 unknown.front().c_str());
    return exit_usage;
  } catch (const CLI::ParseError& x) {
    return app.exit(x) == 0 ? exit_done : exit_usage;
  }
  return chosen();
}

} // namespace

} // namespace rvi

int main(int argc, char** argv) {
  int result = rvi::exit_failed;
  try {
    result = rvi::run(argc, argv);
  } catch (const std::exception& x) {
    std::fprintf(stderr, "rvi: internal: %s\n", x.what());
  }
  if (std::fflush(stdout) != 0 && result == rvi::exit_done)
    result = rvi::exit_failed; // what was asked for did not arrive
  return result;
}
