// SPDX-License-Identifier: MPL-2.0
//
// `rvi serve`: a service from a shell command.

#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/served_service.hpp"
#include "tools/stop_signal.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace rvi {

namespace {

struct serve_options {
  serve_config config;
  bool echo = false;
  output_format format;
};

int run_serve(const serve_options& options) {
  constexpr auto me = "serve";
  if (options.echo != options.config.command.empty())
    return fail_usage(me, "give one of --exec CMD and --echo");
  catch_stop_signals();
  auto config = options.config;
  config.json = options.format.json();
  if (auto endpoint = find_node(config.node); !endpoint)
    return fail(me, endpoint.error());
  served_service service{config};
  if (auto error = service.run())
    return fail_with_advice(me, error, config.node);
  return exit_done;
}

} // namespace

void add_serve_command(CLI::App& app, command& chosen) {
  auto x = std::make_shared<serve_options>();
  auto sub = app.add_subcommand("serve", "Register a service and answer its requests");
  sub
    ->add_option("NAME", x->config.name,
                 "the service: media_player, or a full name below the node's address")
    ->required();
  auto exec
    = sub->add_option("--exec", x->config.command,
                      "shell command run per request, 8 at a time: arguments on standard "
                      "input, reply from standard output, RVI_TARGET, RVI_SOURCE, RVI_USER, "
                      "RVI_ROLE, RVI_TRANSACTION_ID and RVI_SERVICE_SIGNATURE set; a non-zero exit "
                      "refuses the request");
  sub->add_flag("--echo", x->echo, "reply with the arguments")->excludes(exec);
  sub->add_option("--method", x->config.methods, "method to announce, such as rpc:play; repeatable")
    ->allow_extra_args(false);
  sub->add_flag("--idempotent", x->config.idempotent, "requests may be run again after a crash");
  sub
    ->add_option("--durability-min", x->config.durability_min,
                 "none: also takes requests that are kept in memory only")
    ->check(CLI::IsMember({"full", "none"}))
    ->capture_default_str();
  sub->add_flag("--signed", x->config.signature_wanted,
                "the node signs what it hands over; what does not verify is refused");
  sub->add_option("--count", x->config.requests_max, "end after so many requests; 0: never")
    ->capture_default_str();
  x->config.node.add_to(*sub);
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_serve(*x); }; });
}

} // namespace rvi
