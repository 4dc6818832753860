// SPDX-License-Identifier: MPL-2.0
//
// A run's result as one JSON object. The names are those of the fields in result.hpp.

#include "runtime/json/json.hpp"
#include "tools/simulation/result.hpp"

#include <algorithm>

namespace rvi::simulation {

namespace {

using json::writer;

void write_counts(writer& out, std::string_view name, const std::map<std::string, uint64_t>& xs) {
  out.key(name).begin_object();
  for (auto& [key, count] : xs)
    out.member(key, count);
  out.end_object();
}

void write_violations(writer& out, const std::vector<violation>& xs) {
  out.key("violations").begin_array();
  for (auto& x : xs)
    out.begin_object()
      .member("invariant", x.invariant)
      .member("at_ms", x.at_ms)
      .member("id", x.id)
      .member("node", x.node)
      .member("what", x.what)
      .end_object();
  out.end_array();
}

void write_totals(writer& out, const totals& x) {
  out.key("total").begin_object();
  out.member("nodes", x.nodes).key("node_hours").number(x.node_hours);
  out.member("submitted", x.submitted)
    .member("accepted", x.accepted)
    .member("refused", x.refused)
    .member("dispatched", x.dispatched)
    .member("replies", x.replies);
  write_counts(out, "outcomes", x.outcomes);
  out.member("duplicates_offered", x.duplicates_offered).member("links", x.links);
  write_counts(out, "faults", x.faults);
  out.member("actor_messages", x.actor_messages).member("verified", x.verified);
  out.member("relayed", x.relayed);
  out.end_object();
}

void write_samples(writer& out, const std::vector<sample>& xs) {
  out.key("samples").begin_array();
  for (auto& x : xs) {
    out.begin_object().member("at_ms", x.at_ms);
    write_counts(out, "up", x.up);
    write_counts(out, "links_up", x.links_up);
    out.member("queued", x.queued)
      .member("queued_max", x.queued_max)
      .member("stored_bytes", x.stored_bytes)
      .member("accepted", x.accepted)
      .member("dispatched", x.dispatched)
      .member("ended", x.ended)
      .member("revocation_known", x.revocation_known)
      .end_object();
  }
  out.end_array();
}

/// Slots past the last one in use are left out.
void write_latency(writer& out, const std::map<std::string, latency_counts>& xs) {
  out.key("latency").begin_object();
  for (auto& [kind, x] : xs) {
    auto last = std::find_if(x.counts.rbegin(), x.counts.rend(), [](auto n) { return n > 0; });
    out.key(kind).begin_object().member("total", x.total).key("counts").begin_array();
    for (auto i = x.counts.begin(); i != last.base(); ++i)
      out.unsigned_integer(*i);
    out.end_array().end_object();
  }
  out.end_object();
}

} // namespace

std::string to_json(const run_result& x) {
  writer out;
  out.begin_object()
    .member("scenario", x.scenario)
    .member("title", x.title)
    .member("seed", x.seed)
    .member("sound", x.sound())
    .member("real_signatures", x.real_signatures)
    .member("simulated_ms", x.simulated_ms)
    .member("cpu_ms", x.cpu_ms)
    .member("rss_bytes_max", x.rss_bytes_max)
    .member("trace_hash", x.trace_hash);
  write_violations(out, x.violations);
  write_totals(out, x.total);
  write_samples(out, x.samples);
  write_latency(out, x.latency);
  out.key("sequence").begin_array();
  for (auto& line : x.sequence)
    out.string(line);
  out.end_array().end_object();
  return out.take();
}

} // namespace rvi::simulation
