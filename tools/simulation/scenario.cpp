// SPDX-License-Identifier: MPL-2.0
//
// Scenario files in and out: one list of fields for each table serves both ways.

#include "tools/simulation/scenario.hpp"

#include "runtime/config/config.hpp"
#include "tools/simulation/built_in.hpp"

#include <algorithm>
#include <filesystem>

namespace rvi::simulation {

namespace {

const std::vector<std::string> pairings{"own", "spread", "drawn", "all"};

/// Takes fields out of a file.
struct reader {
  config::section from;

  void text(const char* key, std::string& x) { x = from.text(key, x); }
  void required(const char* key, std::string& x) { x = from.required_text(key); }
  void texts(const char* key, std::vector<std::string>& x) { x = from.texts(key, x); }
  void number(const char* key, uint64_t& x, uint64_t max = 1'000'000'000) {
    x = static_cast<uint64_t>(
      from.integer(key, static_cast<int64_t>(x), 0, static_cast<int64_t>(max)));
  }
  void percent(const char* key, uint64_t& x) { number(key, x, 100); }
  void time(const char* key, uint64_t& x) { x = from.milliseconds(key, x); }
  void bytes(const char* key, uint64_t& x) { x = from.bytes(key, x); }
  void flag(const char* key, bool& x) { x = from.boolean(key, x); }
  void word(const char* key, pairing& x) {
    auto chosen = from.choice(key, pairings[static_cast<size_t>(x)], pairings);
    x = static_cast<pairing>(std::find(pairings.begin(), pairings.end(), chosen)
                             - pairings.begin());
  }
};

/// Writes the fields that differ from those of an empty table.
struct writer {
  std::string& out;

  template <class T>
  void line(const char* key, const T& text) {
    out += std::string{key} + " = " + text + "\n";
  }
  static std::string quoted(const std::string& x) { return '"' + x + '"'; }
  void text(const char* key, std::string& x) {
    if (!x.empty())
      line(key, quoted(x));
  }
  void required(const char* key, std::string& x) { line(key, quoted(x)); }
  void texts(const char* key, std::vector<std::string>& xs) {
    std::string list;
    for (auto& x : xs)
      list += (list.empty() ? "" : ", ") + quoted(x);
    if (!xs.empty())
      line(key, "[" + list + "]");
  }
  void number(const char* key, uint64_t& x, uint64_t = 0) { line(key, std::to_string(x)); }
  void percent(const char* key, uint64_t& x) { number(key, x); }
  void time(const char* key, uint64_t& x) { line(key, quoted(std::to_string(x) + "ms")); }
  void bytes(const char* key, uint64_t& x) { line(key, quoted(std::to_string(x) + "B")); }
  void flag(const char* key, bool& x) { line(key, x ? "true" : "false"); }
  void word(const char* key, pairing& x) { line(key, quoted(pairings[static_cast<size_t>(x)])); }
};

template <class V>
void fields(V& v, node_group& x) {
  v.required("name", x.name);
  v.text("role", x.role);
  v.text("organization", x.organization);
  v.required("address", x.address);
  v.number("count", x.count);
  v.number("share", x.share);
  v.texts("services", x.services);
  v.texts("may_reach", x.may_reach);
  v.texts("relay", x.relay);
  v.flag("idempotent", x.idempotent);
  v.bytes("store", x.store_bytes_max);
}

template <class V>
void fields(V& v, link_plan& x) {
  v.required("from", x.from);
  v.required("to", x.to);
  v.word("pairing", x.pairing);
  v.text("kind", x.kind);
  v.flag("mutual", x.mutual);
  v.flag("always", x.always);
  v.flag("stream", x.stream);
  v.time("latency_min", x.latency_ms_min);
  v.time("latency_max", x.latency_ms_max);
  v.bytes("bytes_per_second", x.bytes_per_s);
  v.time("up", x.up_ms);
  v.time("down", x.down_ms);
  v.time("daily_from", x.daily_from_ms);
  v.time("daily_until", x.daily_until_ms);
}

template <class V>
void fields(V& v, traffic_plan& x) {
  v.required("from", x.from);
  v.required("to", x.to);
  v.word("pairing", x.pairing);
  v.flag("rpc", x.rpc);
  v.required("service", x.service);
  v.time("every", x.every_ms);
  v.bytes("bytes_min", x.bytes_min);
  v.bytes("bytes_max", x.bytes_max);
  v.time("timeout_min", x.timeout_ms_min);
  v.time("timeout_max", x.timeout_ms_max);
  v.time("reply_max", x.reply_ms_max);
  v.flag("ordered", x.ordered);
  v.time("first", x.first_ms);
  v.time("last", x.last_ms);
  v.number("priority", x.priority, 7);
}

template <class V>
void fields(V& v, event_plan& x) {
  v.time("at", x.at_ms);
  v.required("what", x.what);
  v.text("group", x.group);
  v.text("other", x.other);
  v.number("number", x.number);
}

template <class V>
void fields(V& v, fault_plan& x) {
  v.percent("loss_percent", x.loss_percent);
  v.percent("duplicate_percent", x.duplicate_percent);
  v.percent("reorder_percent", x.reorder_percent);
  v.percent("corrupt_percent", x.corrupt_percent);
  v.percent("delay_percent", x.delay_percent);
  v.time("delay_max", x.delay_ms_max);
  v.time("cut_every", x.cut_every_ms);
  v.time("cut_max", x.cut_ms_max);
  v.percent("slow_percent", x.slow_percent);
  v.time("slow_max", x.slow_ms_max);
  v.time("crash_every", x.crash_every_ms);
  v.time("down_max", x.down_ms_max);
  v.time("actor_crash_every", x.actor_crash_every_ms);
  v.time("disk_error_every", x.disk_error_every_ms);
  v.time("disk_full_every", x.disk_full_every_ms);
  v.time("service_away_every", x.service_away_every_ms);
  v.time("clock_jump_every", x.clock_jump_every_ms);
  v.time("clock_jump_max", x.clock_jump_ms_max);
  v.number("clock_drift_ppm", x.clock_drift_ppm_max, 100'000);
  v.flag("interleave", x.interleave);
}

template <class V>
void fields(V& v, scenario& x) {
  v.text("title", x.title);
  v.number("nodes", x.nodes, 100'000);
  v.time("duration", x.duration_ms);
  v.time("heal", x.heal_ms);
  v.time("keepalive", x.keepalive_ms);
  v.time("idle", x.idle_ms);
  v.time("backoff_max", x.backoff_ms_max);
  v.number("queue_items_max", x.queue_items_max);
}

template <class T>
void read_all(config::section& top, const char* key, std::vector<T>& out) {
  for (auto& table : top.tables(key)) {
    reader v{table};
    fields(v, out.emplace_back());
  }
}

template <class T>
void write_all(std::string& out, const char* key, std::vector<T> xs) {
  for (auto& x : xs) {
    out += std::string{"\n[["} + key + "]]\n";
    writer v{out};
    fields(v, x);
  }
}

expected<scenario> read(config::file& file, const std::string& name) {
  scenario result;
  result.name = name;
  auto top = file.table("");
  reader v{top};
  fields(v, result);
  read_all(top, "group", result.groups);
  read_all(top, "link", result.links);
  read_all(top, "traffic", result.traffic);
  read_all(top, "event", result.events);
  auto faults = file.table("faults");
  reader w{faults};
  fields(w, result.faults);
  if (auto err = file.finish())
    return err;
  auto wrong = [&](const std::string& why) {
    return caf::make_error(ec::config_invalid, name + ": " + why);
  };
  if (result.groups.empty())
    return wrong("a scenario has at least one [[group]]");
  auto known = [&](const std::string& group) { return result.find(group) != nullptr; };
  for (auto& x : result.links)
    if (!known(x.from) || !known(x.to))
      return wrong("a [[link]] names no group: " + x.from + " to " + x.to);
  for (auto& x : result.traffic)
    if (!known(x.from) || !known(x.to))
      return wrong("a [[traffic]] names no group: " + x.from + " to " + x.to);
  const std::vector<std::string> happenings{"restart", "stop", "start", "revoke",
                                            "clone",   "part", "join"};
  for (auto& x : result.events)
    if (std::find(happenings.begin(), happenings.end(), x.what) == happenings.end()
        || !known(x.group))
      return wrong("an [[event]] is one of restart, stop, start, revoke, clone, part, join, of a "
                   "group; not "
                   + x.what + " of " + x.group);
  return result;
}

} // namespace

std::string numbered(std::string text, size_t number) {
  auto at = text.find("{n}");
  return at == std::string::npos ? text : text.replace(at, 3, std::to_string(number));
}

std::vector<std::string> scenario::kinds() const {
  std::vector<std::string> result;
  for (auto& x : links)
    if (std::find(result.begin(), result.end(), x.kind) == result.end())
      result.push_back(x.kind);
  return result;
}

const node_group* scenario::find(std::string_view group) const {
  for (auto& x : groups)
    if (x.name == group)
      return &x;
  return nullptr;
}

expected<scenario> load_scenario(const std::string& path) {
  auto file = config::file::load(path);
  if (!file)
    return std::move(file.error());
  return read(**file, std::filesystem::path{path}.stem().string());
}

expected<scenario> parse_scenario(std::string_view text, const std::string& name) {
  auto file = config::file::parse(text, name);
  if (!file)
    return std::move(file.error());
  return read(**file, name);
}

expected<scenario> built_in_scenario(const std::string& name) {
  std::string names;
  for (auto& [known, text] : built_in_files()) {
    if (known == name)
      return parse_scenario(text, name);
    names += " " + known;
  }
  return caf::make_error(ec::not_found, "no scenario " + name + "; there are:" + names);
}

std::vector<std::string> built_in_scenarios() {
  std::vector<std::string> result;
  for (auto& [name, text] : built_in_files())
    result.push_back(name);
  return result;
}

std::string to_toml(const scenario& x) {
  std::string out;
  auto copy = x;
  writer v{out};
  fields(v, copy);
  out += "\n[faults]\n";
  fields(v, copy.faults);
  write_all(out, "group", x.groups);
  write_all(out, "link", x.links);
  write_all(out, "traffic", x.traffic);
  write_all(out, "event", x.events);
  return out;
}

} // namespace rvi::simulation
