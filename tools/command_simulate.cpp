// SPDX-License-Identifier: MPL-2.0
//
// `rvi simulate`: hands over to `rvi-simulate` beside this program. The simulator is a program of
// its own, because its randomness comes from a seed and its signatures may be a hash: nothing of
// that may ever be part of a node.

#include "tools/commands.hpp"
#include "tools/report.hpp"

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <unistd.h>
#include <vector>

namespace rvi {

namespace {

/// In the folder of this program, or where a build leaves it.
std::string simulator_path() {
  std::error_code error;
  auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  auto folder = self.parent_path();
  for (auto* place : {"rvi-simulate", "simulation/rvi-simulate"})
    if (auto path = folder / place; !error && ::access(path.c_str(), X_OK) == 0)
      return path.string();
  return {};
}

int run_simulator(std::vector<std::string> arguments) {
  auto path = simulator_path();
  if (path.empty())
    return fail(
      "simulate",
      caf::make_error(ec::not_found, std::string{"rvi-simulate is not beside this program"}));
  std::vector<char*> argv{path.data()};
  for (auto& x : arguments)
    argv.push_back(x.data());
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
  return fail("simulate", caf::make_error(ec::io_failed, path + ": " + std::strerror(errno)));
}

} // namespace

void add_simulate_command(CLI::App& app, command& chosen) {
  auto arguments = std::make_shared<std::vector<std::string>>();
  auto sub = app.add_subcommand("simulate", "Run a fleet in one process on virtual time, with "
                                            "faults drawn from a seed, and check every promise "
                                            "(rvi simulate --list, rvi simulate -- --help)");
  sub->allow_extras();
  sub->prefix_command();
  sub->set_help_flag(); // the simulator has its own
  sub->callback([sub, arguments, &chosen] {
    *arguments = sub->remaining();
    if (!arguments->empty() && arguments->front() == "--")
      arguments->erase(arguments->begin());
    chosen = [arguments] { return run_simulator(*arguments); };
  });
}

} // namespace rvi
