// SPDX-License-Identifier: MPL-2.0
//
// `rvi audit`: shows a node's audit trail and whether its chain holds. It reads the files, so the
// node need not run.

#include "actors/node/config.hpp"
#include "runtime/observe/audit.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <deque>
#include <memory>

namespace rvi {

namespace {

constexpr auto me = "audit";

struct audit_options {
  std::string config = "rvi.toml";
  std::string file;
  std::string event;
  std::string since;
  size_t last = 0;
  output_format format;
};

expected<std::string> trail_of(const audit_options& options) {
  if (!options.file.empty())
    return options.file;
  auto loaded = load_config(options.config);
  if (!loaded)
    return std::move(loaded.error());
  if (loaded->config.audit_file.empty())
    return caf::make_error(ec::not_found, options.config + ": [audit] file is empty");
  return resolve_path(loaded->config, loaded->config.audit_file);
}

/// `time event name=value ...`
std::string as_text(json::value x) {
  auto ms = x["time_ms"].as_uint().value_or(0);
  std::string result = show_time(ms / 1'000) + "  " + text_of(x["event"]);
  for (size_t i = 0; i < x.size(); ++i) {
    auto key = x.key_at(i);
    if (key == "seq" || key == "time_ms" || key == "event" || key == "previous")
      continue;
    result += "  ";
    result.append(key).append("=").append(text_of(x.at(i)));
  }
  return result;
}

int run_audit(const audit_options& options) {
  uint64_t since_ms = 0;
  if (!options.since.empty()) {
    auto time = parse_time_s(options.since);
    if (!time)
      return fail_usage(me, detail_of(time.error()));
    since_ms = *time * 1'000;
  }
  auto path = trail_of(options);
  if (!path)
    return fail(me, path.error());
  std::deque<std::string> shown;
  auto result = audit::read(*path, [&](std::string_view line) {
    auto document = json::parse(line);
    if (!document)
      return;
    auto x = document->root();
    if ((!options.event.empty() && x["event"].as_string() != options.event)
        || x["time_ms"].as_uint().value_or(0) < since_ms)
      return;
    shown.push_back(options.format.json() ? std::string{line} : as_text(x));
    if (options.last > 0 && shown.size() > options.last)
      shown.pop_front();
  });
  if (!result)
    return fail(me, result.error());
  for (auto& line : shown)
    print_line(line);
  if (!result->broken.empty())
    return fail(me, caf::make_error(ec::malformed, result->broken),
                "The trail was changed by somebody else than the node.");
  if (!options.format.json())
    print_line("The chain holds: records " + std::to_string(result->first_seq) + " to "
               + std::to_string(result->last_seq) + ", the last one's hash "
               + result->last_hash.substr(0, 16));
  return exit_done;
}

} // namespace

void add_audit_command(CLI::App& app, command& chosen) {
  auto x = std::make_shared<audit_options>();
  auto sub = app.add_subcommand("audit", "Show who was refused, what rights were given and taken "
                                         "and what the node's key signed; checks the chain");
  auto config
    = sub->add_option("--config", x->config, "the node's rvi.toml")->capture_default_str();
  sub->add_option("--file", x->file, "the trail itself")->excludes(config);
  sub->add_option("--event", x->event, "only these, such as refused");
  sub->add_option("--since", x->since, "RFC 3339 or Unix seconds");
  sub->add_option("--last", x->last, "only the last so many; 0: all")->capture_default_str();
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_audit(*x); }; });
}

} // namespace rvi
