// SPDX-License-Identifier: MPL-2.0
//
// Text for people: lines, tables, errors with advice.

#include "tools/report.hpp"

#include "tools/commands.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

namespace rvi {

void output_format::add_to(CLI::App& app) {
  app.add_option("--format", name, "text for people, json for programs")
    ->check(CLI::IsMember({"text", "json"}))
    ->capture_default_str();
}

void print_line(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
}

int fail(std::string_view command, const caf::error& why, std::string_view hint) {
  std::string text = "rvi " + std::string{command} + ": " + describe(why) + "\n";
  if (!hint.empty())
    text += std::string{hint} + "\n";
  std::fflush(stdout);
  std::fputs(text.c_str(), stderr);
  return exit_failed;
}

int fail_usage(std::string_view command, std::string_view why) {
  auto name = std::string{command};
  std::fprintf(stderr, "rvi %s: %s\nsee: rvi %s --help\n", name.c_str(), std::string{why}.c_str(),
               name.c_str());
  return exit_usage;
}

std::string advice_for(ec code) {
  switch (code) {
    case ec::unauthorized:
      return "The node's credentials must cover this source and target (`rvi status`, `rvi "
             "credential show`), and the rules in access.d, here and at the target, allow it.";
    case ec::unauthenticated:
      return "Give the node's token: --token-file DIRECTORY/token.";
    case ec::credential_expired:
    case ec::unknown_credential:
      return "Have a new credential issued (`rvi credential issue`), put it into the node's "
             "credentials directory and reload the node (SIGHUP).";
    case ec::unknown_target:
      return "See what is known: rvi services; rvi nodes. A node never met needs [[routes]] in "
             "rvi.toml.";
    case ec::invalid_name:
      return "A target looks like rpc:jlr.com/vin/1234/services/media_player/play.";
    case ec::timeout:
      return "Is the target's node linked and its service registered? See: rvi links; rvi "
             "services.";
    case ec::outcome_unknown:
      return "It was handed to the service and may have run; ask the service before repeating it.";
    case ec::busy:
    case ec::store_full:
      return "The node is at a bound; try again later, or see `rvi status`.";
    case ec::store_failed:
      return "The node's disk failed; see its log.";
    default:
      return {};
  }
}

ec code_named(std::string_view name) {
  for (int i = 1; i <= int(ec::internal); ++i)
    if (name == to_string(ec(i)))
      return ec(i);
  return ec::internal;
}

std::string text_of(json::value x) {
  if (auto text = x.as_string())
    return std::string{*text};
  return std::string{x.raw()};
}

void print_fields(json::value x, int indent) {
  std::string margin(size_t(indent), ' ');
  for (size_t i = 0; i < x.size(); ++i) {
    auto name = x.is_object() ? std::string{x.key_at(i)} + ":" : std::string{"-"};
    auto content = x.at(i);
    bool nested = (content.is_object() || content.is_array()) && content.size() > 0;
    if (!nested && content.is_array()) {
      print_line(margin + name + " none");
    } else if (!nested) {
      print_line(margin + name + " " + text_of(content));
    } else {
      print_line(margin + name);
      print_fields(content, indent + 2);
    }
  }
}

void text_table::print() const {
  std::vector<size_t> widths;
  for (auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i) {
      if (i == widths.size())
        widths.push_back(0);
      widths[i] = std::max(widths[i], row[i].size());
    }
  for (auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      std::string padding(widths[i] - row[i].size(), ' ');
      bool right = std::find(right_.begin(), right_.end(), i) != right_.end();
      bool last = i + 1 == row.size();
      line += right ? padding + row[i] : last ? row[i] : row[i] + padding;
      if (!last)
        line += "  ";
    }
    print_line(line);
  }
}

} // namespace rvi
