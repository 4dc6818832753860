// SPDX-License-Identifier: MPL-2.0
//
// The subcommands of `rvi`. Each adds itself to the command line; the chosen one leaves what is to
// be run once the whole line was understood. Exit codes: 0 done, 1 failed, 2 the line was wrong.

#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace rvi {

#ifdef RVI_VERSION
inline constexpr const char* program_version = RVI_VERSION;
#else
inline constexpr const char* program_version = "0.1.0";
#endif

inline constexpr int exit_done = 0;
inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;

/// Runs the chosen subcommand and returns the exit code.
using command = std::function<int()>;

/// Runs a node until it is told to stop, or prints its effective configuration.
int run_node(const std::string& config_path, bool dump_config);

void add_signer_command(CLI::App& app, command& chosen);
void add_init_command(CLI::App& app, command& chosen);
void add_credential_command(CLI::App& app, command& chosen);
void add_credential_inspection(CLI::App& credential, command& chosen); // show, verify
void add_credential_revocation(CLI::App& credential, command& chosen); // revoke
void add_credential_bundles(CLI::App& credential, command& chosen);    // bundle, sign-bundle
void add_credential_renewal(CLI::App& credential, command& chosen);    // renew
void add_clone_report(CLI::App& credential, command& chosen);          // clone-report
void add_serve_command(CLI::App& app, command& chosen);
void add_call_commands(CLI::App& app, command& chosen); // call, send
void add_services_command(CLI::App& app, command& chosen);
void add_query_commands(CLI::App& app, command& chosen);  // status, nodes, links, outcome
void add_queue_command(CLI::App& app, command& chosen);   // list, show, drop, requeue
void add_metric_commands(CLI::App& app, command& chosen); // publish, subscribe
void add_trust_command(CLI::App& app, command& chosen);
void add_grant_command(CLI::App& app, command& chosen); // make, list, withdraw, take
void add_revoke_command(CLI::App& app, command& chosen);
void add_links_command(CLI::App& app, command& chosen);
void add_audit_command(CLI::App& app, command& chosen);
void add_trace_command(CLI::App& app, command& chosen);
void add_bench_command(CLI::App& app, command& chosen);
void add_simulate_command(CLI::App& app, command& chosen);

} // namespace rvi
