// SPDX-License-Identifier: MPL-2.0
//
// A run's result as one HTML page: the verdict and the figures, the fleet over time, deliveries,
// queues, latency, revocation, and after a violation the messages that led to it. The page loads
// nothing and runs nothing, so it may be sent around and opened years later.

#include "tools/simulation/report_style.hpp"
#include "tools/simulation/report_text.hpp"
#include "tools/simulation/result.hpp"
#include "tools/simulation/svg_chart.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace rvi::simulation {

namespace {

constexpr size_t violations_shown_max = 100;
constexpr size_t intervals_max = 84; // of a rate: every two hours of a week

const char* promise(const std::string& invariant) {
  static const std::map<std::string, const char*> promises{
    {"I1", "No acknowledged request is lost"},
    {"I2", "No transaction is dispatched twice"},
    {"I3", "No dispatch without a valid authorization at that moment"},
    {"I4", "Every request ends in exactly one outcome"},
    {"I5", "Nothing is dispatched after it expired"},
    {"I6", "A reply goes to its requester only"},
    {"I7", "A store recovers to what it had acknowledged"},
    {"I8", "Memory, disk and queues stay within their bounds"},
    {"I9", "Ordered requests keep their order"},
    {"I10", "A revoked credential never authorizes again"},
    {"I11", "Epochs and list numbers never go back"},
    {"I12", "Once faults heal, what can be delivered is delivered in time"},
    {"I13", "The same seed gives the same run"},
  };
  auto found = promises.find(invariant);
  return found == promises.end() ? "" : found->second;
}

const std::string& name_of(const run_result& x) {
  return x.title.empty() ? x.scenario : x.title;
}

uint64_t span_of(const run_result& x) {
  auto last = x.samples.empty() ? 0 : x.samples.back().at_ms;
  return std::max({x.simulated_ms, last, uint64_t{1}});
}

// -- head, verdict ----------------------------------------------------------------------------

void append_head(std::string& out, const run_result& x) {
  out += "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
         "'unsafe-inline'\"/><title>"
         + escaped(name_of(x)) + " – " + (x.sound() ? "sound" : "promises broken")
         + "</title><style>" + report_style + "</style></head>\n<body><main>\n";
  out += "<header><p class=\"above\">RVI Router · simulation report</p><h1>" + escaped(name_of(x))
         + "</h1><p class=\"below\">Scenario " + escaped(x.scenario) + " · seed "
         + std::to_string(x.seed) + " · " + duration(x.simulated_ms) + " of fleet time in "
         + duration(x.cpu_ms) + " of CPU time</p>";
}

void append_violation(std::string& out, const violation& x) {
  out += "<li><p><b>" + escaped(x.invariant) + "</b> " + promise(x.invariant) + "</p><p>"
         + escaped(x.what) + "</p><p class=\"where\">at " + moment(x.at_ms);
  if (!x.node.empty())
    out += " · node " + escaped(x.node);
  if (!x.id.empty())
    out += " · transaction " + escaped(x.id);
  out += "</p></li>";
}

void append_verdict(std::string& out, const run_result& x) {
  auto judged = x.total.dispatched == 0
                  ? std::string{"Nothing was dispatched, so this says little."}
                  : "The reference verifier judged " + grouped(x.total.verified) + " of "
                      + grouped(x.total.dispatched) + " dispatches.";
  if (x.sound()) {
    out += "<div class=\"verdict\"><h2>✓ Sound</h2><p>No promise was broken. " + judged
           + "</p></div></header>\n";
    return;
  }
  auto count = x.violations.size();
  out += "<div class=\"verdict broken\"><h2>✗ " + grouped(count)
         + (count == 1 ? " violation" : " violations") + "</h2><p>" + judged
         + "</p><ol class=\"violations\">";
  for (size_t i = 0; i < std::min(count, violations_shown_max); ++i)
    append_violation(out, x.violations[i]);
  out += "</ol>";
  if (count > violations_shown_max)
    out += "<p>And " + grouped(count - violations_shown_max) + " more.</p>";
  out += "</div></header>\n";
}

// -- figures ----------------------------------------------------------------------------------

void append_tile(std::string& out, const char* name, const std::string& value,
                 const std::string& note) {
  out += std::string{"<div><dt>"} + name + "</dt><dd>" + value + "</dd>";
  if (!note.empty())
    out += "<dd class=\"note\">" + note + "</dd>";
  out += "</div>";
}

void append_tiles(std::string& out, const run_result& x) {
  auto& total = x.total;
  auto hours = uint64_t(std::llround(std::max(0.0, total.node_hours)));
  out += "<dl class=\"tiles\">";
  append_tile(out, "Nodes", grouped(total.nodes), {});
  append_tile(out, "Node-hours", grouped(hours), {});
  append_tile(out, "Requests accepted", grouped(total.accepted),
              "of " + grouped(total.submitted) + " submitted, " + grouped(total.refused)
                + " refused");
  append_tile(out, "Dispatched", grouped(total.dispatched),
              share(total.dispatched, total.accepted) + " of accepted");
  append_tile(out, "Replies", grouped(total.replies), {});
  append_tile(out, "Links", grouped(total.links),
              grouped(total.duplicates_offered) + " duplicates offered by the network");
  out += "</dl>\n";
}

/// "outcome_unknown" as people write it.
std::string words(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

/// Counts with their share of all, the largest first.
void append_counts(std::string& out, const char* title, const char* none,
                   const std::map<std::string, uint64_t>& counts) {
  out += std::string{"<div class=\"card\"><h3>"} + title + "</h3>";
  if (counts.empty()) {
    out += std::string{"<p class=\"none\">"} + none + "</p></div>";
    return;
  }
  std::vector<std::pair<std::string, uint64_t>> rows{counts.begin(), counts.end()};
  std::stable_sort(rows.begin(), rows.end(), [](auto& a, auto& b) { return a.second > b.second; });
  auto all = std::accumulate(rows.begin(), rows.end(), uint64_t{0},
                             [](uint64_t sum, auto& row) { return sum + row.second; });
  out += "<table><tbody>";
  for (auto& [name, count] : rows) {
    auto width = all == 0 ? 0 : count * 1'000 / all;
    out += "<tr><th scope=\"row\">" + escaped(words(name)) + "<span class=\"bar\" style=\"--part:"
           + std::to_string(width / 10) + "." + std::to_string(width % 10) + "%\"></span></th><td>"
           + grouped(count) + "</td><td>" + share(count, all) + "</td></tr>";
  }
  out += "</tbody></table></div>";
}

void append_row(std::string& out, const char* name, const std::string& value) {
  out += std::string{"<tr><th scope=\"row\">"} + name + "</th><td>" + value + "</td></tr>";
}

void append_engine(std::string& out, const run_result& x) {
  auto per_second = [&x](uint64_t count) {
    return x.cpu_ms == 0 ? std::string{"–"} : compact(double(count) * 1'000 / double(x.cpu_ms));
  };
  out += "<div class=\"card\"><h3>The run itself</h3><table><tbody>";
  append_row(out, "Fleet time", duration(x.simulated_ms));
  append_row(out, "CPU time", duration(x.cpu_ms));
  append_row(out, "Actor messages", grouped(x.total.actor_messages));
  append_row(out, "Per CPU second", per_second(x.total.actor_messages));
  append_row(out, "Memory, most", byte_size(double(x.rss_bytes_max)));
  append_row(out, "Signatures", x.real_signatures ? "real" : "simulated");
  append_row(out, "Trace hash", "<span class=\"hash\">" + escaped(x.trace_hash) + "</span>");
  out += "</tbody></table></div>";
}

void append_figures(std::string& out, const run_result& x) {
  out += "<section aria-labelledby=\"figures\"><h2 id=\"figures\">Figures</h2>";
  append_tiles(out, x);
  out += "<div class=\"grid-of-cards\" style=\"margin-top:1rem\">";
  append_counts(out, "Outcomes of requests", "No request has an outcome.", x.total.outcomes);
  append_counts(out, "Faults injected", "None.", x.total.faults);
  append_engine(out, x);
  out += "</div></section>\n";
}

// -- charts over time -------------------------------------------------------------------------

/// A chart over the whole run with its violations marked, still without lines.
chart over_time(const run_result& x, std::string title, std::string note) {
  chart result;
  result.title = std::move(title);
  result.note = std::move(note);
  auto span = span_of(x);
  result.x_ticks = time_ticks(span);
  for (auto& s : x.samples) {
    result.xs.push_back(double(s.at_ms) / double(span));
    result.x_names.push_back(moment(s.at_ms));
  }
  for (auto& v : x.violations)
    result.markers.push_back({std::min(1.0, double(v.at_ms) / double(span)),
                              v.invariant + " at " + moment(v.at_ms) + ": " + v.what});
  return result;
}

using counts_member = std::map<std::string, uint64_t> sample::*;
using count_member = uint64_t sample::*;

/// One line per name that any sample has; a name missing in a sample counts 0.
std::vector<series> lines_by_name(const run_result& x, counts_member member) {
  std::set<std::string> names;
  for (auto& s : x.samples)
    for (auto& [name, count] : s.*member)
      names.insert(name);
  std::vector<series> result;
  for (auto& name : names) {
    series line{name, {}, result.size()};
    for (auto& s : x.samples) {
      auto found = (s.*member).find(name);
      line.values.push_back(found == (s.*member).end() ? 0 : double(found->second));
    }
    result.push_back(std::move(line));
  }
  return result;
}

series line_of(const run_result& x, std::string name, count_member member, size_t color) {
  series result{std::move(name), {}, color};
  for (auto& s : x.samples)
    result.values.push_back(double(s.*member));
  return result;
}

uint64_t most(const run_result& x, count_member member) {
  uint64_t result = 0;
  for (auto& s : x.samples)
    result = std::max(result, s.*member);
  return result;
}

/// Link kinds keep one colour in all charts.
size_t color_of_kind(const run_result& x, const std::string& kind) {
  std::set<std::string> kinds;
  for (auto& s : x.samples)
    for (auto& [name, count] : s.links_up)
      kinds.insert(name);
  for (auto& [name, counts] : x.latency)
    kinds.insert(name);
  return size_t(std::distance(kinds.begin(), kinds.find(kind)));
}

void append_fleet(std::string& out, const run_result& x) {
  auto nodes = over_time(x, "Nodes up", "Running nodes by group, on top of each other.");
  nodes.stacked = true;
  nodes.lines = lines_by_name(x, &sample::up);
  fold_smallest(nodes.lines);
  auto links = over_time(x, "Links up", "Sessions by kind of link, on top of each other.");
  links.stacked = true;
  links.lines = lines_by_name(x, &sample::links_up);
  for (auto& line : links.lines)
    line.color = color_of_kind(x, line.name);
  fold_smallest(links.lines);
  out += "<section aria-labelledby=\"fleet\"><h2 id=\"fleet\">The fleet</h2><div "
         "class=\"grid-of-charts\">"
         + draw(nodes, "nodes") + draw(links, "links") + "</div></section>\n";
}

struct rate_unit {
  double ms;
  const char* name;
};

rate_unit rate_unit_for(uint64_t span_ms) {
  if (span_ms >= 2 * 86'400'000ull)
    return {3'600'000, "hour"};
  if (span_ms >= 2 * 3'600'000ull)
    return {60'000, "minute"};
  return {1'000, "second"};
}

/// How fast the totals grow, over intervals of several samples if there are many.
chart rates(const run_result& x) {
  auto unit = rate_unit_for(span_of(x));
  auto result
    = over_time(x, std::string{"Requests per "} + unit.name,
                "Accepted from requesters, dispatched to services, ended with an outcome.");
  result.unit = measure::rate;
  result.nested = true;
  result.x_title = "Until";
  result.xs.clear();
  result.x_names.clear();
  result.lines = {{"accepted", {}, 0}, {"dispatched", {}, 1}, {"ended", {}, 2}};
  const count_member members[] = {&sample::accepted, &sample::dispatched, &sample::ended};
  auto step = (x.samples.size() + intervals_max - 1) / intervals_max;
  for (size_t i = step; step > 0 && i < x.samples.size(); i += step) {
    auto& from = x.samples[i - step];
    auto& to = x.samples[i];
    if (to.at_ms <= from.at_ms)
      continue;
    result.xs.push_back(double(from.at_ms + to.at_ms) / 2 / double(span_of(x)));
    result.x_names.push_back(moment(to.at_ms));
    for (size_t line = 0; line < 3; ++line) {
      auto before = from.*members[line];
      auto after = std::max(before, to.*members[line]);
      result.lines[line].values.push_back(double(after - before) * unit.ms
                                          / double(to.at_ms - from.at_ms));
    }
  }
  return result;
}

void append_deliveries(std::string& out, const run_result& x) {
  auto all
    = over_time(x, "Requests since the start",
                "The same three, added up. Where the lines lie on each other, nothing waits.");
  all.nested = true;
  all.lines
    = {line_of(x, "accepted", &sample::accepted, 0),
       line_of(x, "dispatched", &sample::dispatched, 1), line_of(x, "ended", &sample::ended, 2)};
  out += "<section aria-labelledby=\"deliveries\"><h2 id=\"deliveries\">Deliveries</h2><div "
         "class=\"grid-of-charts\">"
         + draw(rates(x), "rates") + draw(all, "totals") + "</div></section>\n";
}

void append_queues(std::string& out, const run_result& x) {
  auto queued = over_time(x, "Waiting in all stores",
                          "At most " + grouped(most(x, &sample::queued)) + " items at a sample.");
  queued.lines = {line_of(x, "items", &sample::queued, 0)};
  auto fullest = over_time(x, "Waiting in the fullest store",
                           "At most " + grouped(most(x, &sample::queued_max)) + " items.");
  fullest.lines = {line_of(x, "items", &sample::queued_max, 3)};
  auto bytes = over_time(x, "Stored on all disks",
                         "At most " + byte_size(double(most(x, &sample::stored_bytes))) + ".");
  bytes.unit = measure::bytes;
  bytes.lines = {line_of(x, "bytes", &sample::stored_bytes, 6)};
  out += "<section aria-labelledby=\"queues\"><h2 id=\"queues\">Queues</h2><div "
         "class=\"grid-of-charts three\">"
         + draw(queued, "queued") + draw(fullest, "fullest") + draw(bytes, "bytes")
         + "</div></section>\n";
}

void append_revocation(std::string& out, const run_result& x) {
  auto known = most(x, &sample::revocation_known);
  if (known == 0)
    return;
  auto note = "Nodes that hold the newest revocation list: at most " + grouped(known);
  if (x.total.nodes > 0)
    note += " of " + grouped(x.total.nodes) + " (" + share(known, x.total.nodes) + ")";
  auto picture
    = over_time(x, "Nodes with the newest list", note + ". It falls when a newer list comes out.");
  picture.lines = {line_of(x, "nodes", &sample::revocation_known, 0)};
  out += "<section aria-labelledby=\"revocation\"><h2 id=\"revocation\">Spread of revocations</h2>"
         "<div class=\"grid-of-charts\">"
         + draw(picture, "revoked") + "</div></section>\n";
}

// -- latency ----------------------------------------------------------------------------------

double slot_start_ms(size_t slot) {
  return slot == 0 ? 0 : std::ldexp(1.0, int(slot));
}

/// The time that a part `q` of all stayed under, as if each slot were evenly filled.
double quantile_ms(const latency_counts& x, double q) {
  auto wanted = q * double(x.total);
  double below = 0;
  for (size_t i = 0; i < x.counts.size(); ++i) {
    auto here = double(x.counts[i]);
    if (here > 0 && below + here >= wanted)
      return slot_start_ms(i)
             + (slot_start_ms(i + 1) - slot_start_ms(i)) * std::max(0.0, wanted - below) / here;
    below += here;
  }
  return 0;
}

/// The first slot in use and the one after the last.
std::pair<size_t, size_t> slots_in_use(const std::map<std::string, latency_counts>& xs) {
  size_t first = latency_counts::slots, end = 0;
  for (auto& [kind, x] : xs)
    for (size_t i = 0; i < x.counts.size(); ++i)
      if (x.counts[i] > 0) {
        first = std::min(first, i);
        end = std::max(end, i + 1);
      }
  return {first, end};
}

std::vector<axis_tick> latency_ticks(size_t first, size_t end) {
  constexpr std::pair<double, const char*> candidates[]
    = {{1, "1 ms"},      {10, "10 ms"},     {100, "0.1 s"},       {1e3, "1 s"},    {1e4, "10 s"},
       {6e4, "1 min"},   {6e5, "10 min"},   {3.6e6, "1 h"},       {2.16e7, "6 h"}, {8.64e7, "1 d"},
       {6.048e8, "7 d"}, {2.592e9, "30 d"}, {3.1536e10, "1 year"}};
  std::vector<axis_tick> result;
  for (auto [ms, name] : candidates) {
    auto at = (std::log2(ms) - double(first)) / double(end - first);
    if (at >= 0 && at <= 1 && (result.empty() || at - result.back().at >= 0.1))
      result.push_back({at, name});
  }
  return result;
}

chart latency_chart(const run_result& x) {
  chart result;
  result.title = "Share delivered within a time";
  result.note = "From acceptance to dispatch, by the kind of link used last. The time scale is "
                "logarithmic.";
  result.unit = measure::percent;
  result.x_title = "Within";
  auto [first, end] = slots_in_use(x.latency);
  result.x_ticks = latency_ticks(first, end);
  for (auto i = first; i <= end; ++i) {
    result.xs.push_back(double(i - first) / double(end - first));
    result.x_names.push_back(rough_duration(std::ldexp(1.0, int(i))));
  }
  for (auto& [kind, counts] : x.latency) {
    if (counts.total == 0)
      continue;
    series line{kind, {0}, color_of_kind(x, kind)};
    double below = 0;
    for (auto i = first; i < end; ++i) {
      below += double(counts.counts[i]);
      line.values.push_back(100 * below / double(counts.total));
    }
    result.lines.push_back(std::move(line));
  }
  return result;
}

void append_percentiles(std::string& out, const run_result& x) {
  out += "<div class=\"card\"><h3>Percentiles</h3><div class=\"scroll\" tabindex=\"0\" "
         "role=\"region\" aria-label=\"Percentiles\"><table><thead><tr><th scope=\"col\">Link"
         "</th><th scope=\"col\">Requests</th><th scope=\"col\">p50</th><th scope=\"col\">p99</th>"
         "<th scope=\"col\">Max under</th></tr></thead><tbody>";
  for (auto& [kind, counts] : x.latency) {
    if (counts.total == 0)
      continue;
    auto end = slots_in_use({{kind, counts}}).second;
    out += "<tr><th scope=\"row\">" + escaped(kind) + "</th><td>" + grouped(counts.total)
           + "</td><td>" + rough_duration(quantile_ms(counts, 0.5)) + "</td><td>"
           + rough_duration(quantile_ms(counts, 0.99)) + "</td><td>"
           + rough_duration(std::ldexp(1.0, int(end))) + "</td></tr>";
  }
  out += "</tbody></table></div><p class=\"below\">Counted by powers of two of milliseconds, so "
         "percentiles are near values.</p></div>";
}

void append_latency(std::string& out, const run_result& x) {
  out += "<section aria-labelledby=\"latency\"><h2 id=\"latency\">Latency by kind of link</h2>";
  auto [first, end] = slots_in_use(x.latency);
  if (first >= end) {
    out += "<p class=\"none\">No request was dispatched.</p></section>\n";
    return;
  }
  out += "<div class=\"grid-of-charts\">" + draw(latency_chart(x), "latency-chart");
  append_percentiles(out, x);
  out += "</div></section>\n";
}

// -- the end ----------------------------------------------------------------------------------

void append_sequence(std::string& out, const run_result& x) {
  if (x.sequence.empty())
    return;
  out += "<section aria-labelledby=\"sequence\"><h2 id=\"sequence\">Messages around the first "
         "violation</h2><pre tabindex=\"0\">";
  for (auto& line : x.sequence)
    out += escaped(line) + "\n";
  out += "</pre></section>\n";
}

} // namespace

std::string to_html(const run_result& x) {
  std::string out;
  append_head(out, x);
  append_verdict(out, x);
  append_figures(out, x);
  append_fleet(out, x);
  append_deliveries(out, x);
  append_queues(out, x);
  append_latency(out, x);
  append_revocation(out, x);
  append_sequence(out, x);
  out += "<footer><p>The same scenario, seed and version give the same run with the same trace "
         "hash.</p></footer>\n</main></body></html>\n";
  return out;
}

} // namespace rvi::simulation
