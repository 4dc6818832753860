// SPDX-License-Identifier: MPL-2.0
//
// A run's result as JSON and as a page: all figures are there, text from a scenario cannot break
// out of its place, and runs without samples have a page as well.

#include "runtime/json/json.hpp"
#include "tools/simulation/report_text.hpp"
#include "tools/simulation/result.hpp"
#include "tools/simulation/svg_chart.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

using namespace rvi;
using namespace rvi::simulation;

namespace {

/// Empty if every tag is closed in order and no bare "<" or "&" is left; else what is wrong.
std::string flaw_of(std::string_view page) {
  std::vector<std::string> open;
  for (size_t at = page.find('>') + 1; at < page.size(); ++at) {
    if (page[at] == '&') {
      auto end = page.find(';', at);
      if (end == std::string_view::npos || end - at > 6)
        return "bare & at " + std::string{page.substr(at, 40)};
    }
    if (page[at] != '<')
      continue;
    auto end = page.find('>', at);
    if (end == std::string_view::npos)
      return "a tag without an end";
    auto tag = page.substr(at + 1, end - at - 1);
    auto name = std::string{tag.substr(0, tag.find_first_of(" \n/", tag[0] == '/' ? 1 : 0))};
    if (tag.find('<') != std::string_view::npos || name.empty())
      return "bare < at " + std::string{page.substr(at, 40)};
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0)
      return "open quotes in " + std::string{tag};
    if (name[0] == '/') {
      if (open.empty() || open.back() != name.substr(1))
        return "unexpected " + name;
      open.pop_back();
    } else if (!tag.ends_with('/')) {
      open.push_back(name);
    }
    if (name == "style")
      end = page.find("</style>", end) - 1;
    at = end;
  }
  return open.empty() ? "" : "not closed: " + open.back();
}

bool has(const std::string& page, std::string_view text) {
  return page.find(text) != std::string::npos;
}

size_t count_of(const std::string& page, std::string_view text) {
  size_t result = 0;
  for (auto at = page.find(text); at != std::string::npos; at = page.find(text, at + 1))
    ++result;
  return result;
}

sample make_sample(uint64_t i, uint64_t at_ms) {
  sample result;
  result.at_ms = at_ms;
  result.up = {{"cars", 900 + i % 7}, {"cloud", 3}};
  result.links_up = {{"lan", 300}, {"cellular", 500 + i % 11}};
  result.queued = i % 13;
  result.queued_max = i % 3;
  result.stored_bytes = 4'096 * i;
  result.accepted = 10 * i;
  result.dispatched = 9 * i;
  result.ended = 8 * i;
  result.revocation_known = i > 10 ? 903 : 0;
  return result;
}

run_result make_result() {
  run_result x;
  x.scenario = "week";
  x.title = "A week";
  x.seed = 18'446'744'073'709'551'615u;
  x.simulated_ms = 7 * 86'400'000;
  x.cpu_ms = 2'000;
  x.rss_bytes_max = 3 << 20;
  x.trace_hash = "0123456789abcdef";
  x.total.nodes = 903;
  x.total.node_hours = 1'234.5;
  x.total.submitted = 3'005;
  x.total.accepted = 3'000;
  x.total.refused = 5;
  x.total.dispatched = 2'700;
  x.total.replies = 2'600;
  x.total.outcomes = {{"ok", 2'390}, {"timeout", 10}};
  x.total.duplicates_offered = 17;
  x.total.links = 81'234;
  x.total.faults = {{"crash", 44}};
  x.total.actor_messages = 5'000'000;
  x.total.verified = 2'700;
  for (uint64_t i = 0; i <= 300; ++i)
    x.samples.push_back(make_sample(i, i * x.simulated_ms / 300));
  for (uint64_t ms : {1, 3, 200, 70'000})
    x.latency["lan"].add(ms);
  return x;
}

} // namespace

TEST_CASE("text is safe between tags and in quotes") {
  CHECK(escaped("<a b=\"c\">&'") == "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
  CHECK(escaped("größe\n") == "größe\n");
  CHECK(escaped(std::string_view{"a\0b", 3}) == "a\ufffdb");
}

TEST_CASE("numbers, sizes and times are short and say no more than is known") {
  CHECK(grouped(0) == "0");
  CHECK(grouped(999) == "999");
  CHECK(grouped(1'234'567) == "1,234,567");
  CHECK(compact(2.5) == "2.5");
  CHECK(compact(9'999) == "9,999");
  CHECK(compact(12'345) == "12.3\u00a0k");
  CHECK(compact(999'999) == "1\u00a0M");
  CHECK(compact(1e300).size() > 0);
  CHECK(byte_size(0) == "0\u00a0B");
  CHECK(byte_size(1'536) == "1.5\u00a0KiB");
  CHECK(share(0, 0) == "–");
  CHECK(share(1, 1'000'000) == "under\u00a00.1\u00a0%");
  CHECK(share(999'999, 1'000'000) == "over\u00a099.9\u00a0%");
  CHECK(share(3, 3) == "100\u00a0%");
  CHECK(rough_duration(0.2) == "under 1\u00a0ms");
  CHECK(rough_duration(4'567) == "4.6\u00a0s");
  CHECK(duration(0) == "0\u00a0ms");
  CHECK(duration(90'000) == "1\u00a0min\u00a030\u00a0s");
  CHECK(duration(7 * 86'400'000) == "7\u00a0d");
  CHECK(moment(61'000) == "00:01:01");
  CHECK(moment(2 * 86'400'000 + 3'600'000) == "2\u00a0d\u00a001:00:00");
}

TEST_CASE("axes end at a round number not below the greatest value") {
  for (auto unit : {measure::count, measure::rate, measure::bytes})
    for (auto max : {0.0, 0.3, 1.0, 3.0, 7.0, 99.0, 101.0, 1'023.0, 12'345.0, 9e15}) {
      auto axis = make_vertical_axis(max, unit);
      CHECK(axis.max >= max * 0.999'99);
      CHECK(axis.ticks.size() >= 2);
      CHECK(axis.ticks.size() <= 6);
      CHECK(axis.ticks.front().at == 0);
      CHECK(axis.ticks.back().at == 1);
    }
  CHECK(make_vertical_axis(1, measure::count).ticks.size() == 2); // no half nodes
}

TEST_CASE("times have at most nine ticks, from milliseconds to centuries") {
  CHECK(time_ticks(0).empty());
  for (uint64_t span = 1; span < 10'000'000'000'000; span *= 3) {
    auto ticks = time_ticks(span);
    CHECK(ticks.size() <= 9);
    CHECK(ticks.front().label == "0");
    CHECK(ticks.back().at <= 1);
  }
  CHECK(time_ticks(7 * 86'400'000).back().label == "7\u00a0d");
}

TEST_CASE("more lines than colours leave the largest and the sum of the others") {
  std::vector<series> lines;
  for (size_t i = 0; i < 12; ++i)
    lines.push_back({"group" + std::to_string(i), {double(i), 1}, i});
  fold_smallest(lines);
  REQUIRE(lines.size() == 8);
  CHECK(lines[0].name == "group5");
  CHECK(lines[6].name == "group11");
  CHECK(lines[7].name == "others");
  CHECK(lines[7].values == std::vector<double>{0 + 1 + 2 + 3 + 4, 5});
}

TEST_CASE("a full result makes a well-formed page with all its figures") {
  auto page = to_html(make_result());
  CHECK(flaw_of(page) == "");
  for (auto figure : {"18446744073709551615", "Sound", "2,700 of 2,700", "1,235", "3,005", "2,600",
                      "81,234", "2,390", "99.6\u00a0%", "crash", "5,000,000", "2.5\u00a0M",
                      "3\u00a0MiB", "simulated", "0123456789abcdef", "903 of 903"})
    CHECK_MESSAGE(has(page, figure), figure);
  for (auto section : {"fleet", "deliveries", "queues", "latency", "revocation"})
    CHECK_MESSAGE(has(page, "<section aria-labelledby=\"" + std::string{section}), section);
  CHECK(count_of(page, "<svg role=\"img\"") == 9);
  CHECK(count_of(page, "<details>") == 9);
  CHECK(!has(page, "id=\"sequence\""));
  for (auto unwanted : {"<script", "http://", "https://", "nan", "inf\"", "url("})
    CHECK_MESSAGE(!has(page, unwanted), unwanted);
}

TEST_CASE("a broken run lists its violations, marks them in the pictures, and shows the messages") {
  auto x = make_result();
  x.violations = {{"I2", 86'400'000, "ab12", "example.com/<car>", "again & \"again\""}};
  x.sequence = {"car -> cloud <ping>", "cloud -> car"};
  x.real_signatures = true;
  auto page = to_html(x);
  CHECK(flaw_of(page) == "");
  CHECK(has(page, "1 violation<"));
  CHECK(has(page, "No transaction is dispatched twice"));
  CHECK(has(page, "example.com/&lt;car&gt;"));
  CHECK(has(page, "again &amp; &quot;again&quot;"));
  CHECK(has(page, "car -&gt; cloud &lt;ping&gt;\ncloud -&gt; car\n"));
  CHECK(has(page, "<path class=\"mark\" d=\"M142.9 0V1000\">"));
  CHECK(!has(page, "No promise was broken"));
}

TEST_CASE("many violations are counted but not all listed") {
  auto x = make_result();
  x.violations.assign(5'000, {"I8", 1, "", "", "too much"});
  auto page = to_html(x);
  CHECK(flaw_of(page) == "");
  CHECK(has(page, "5,000 violations"));
  CHECK(has(page, "And 4,900 more."));
  CHECK(count_of(page, "<li><p>") == 100);
}

TEST_CASE("text from a scenario stays text") {
  auto x = make_result();
  x.title = "</title><script>alert(1)</script>";
  x.scenario = x.trace_hash = x.title;
  x.total.outcomes[x.title] = x.total.faults[x.title] = 1;
  x.latency[x.title].add(5);
  for (auto& s : x.samples)
    s.up[x.title] = s.links_up[x.title] = 1;
  auto page = to_html(x);
  CHECK(flaw_of(page) == "");
  CHECK(!has(page, "<script"));
}

TEST_CASE("a result with no sample or one has a page without pictures") {
  auto page = to_html(run_result{});
  CHECK(flaw_of(page) == "");
  CHECK(!has(page, "<svg role=\"img\""));
  CHECK(has(page, "Nothing was dispatched"));
  CHECK(!has(page, "nan"));

  auto x = make_result();
  x.samples.resize(1);
  x.latency.clear();
  page = to_html(x);
  CHECK(flaw_of(page) == "");
  CHECK(has(page, "Too few samples"));
  CHECK(has(page, "<td>900</td>")); // the figures are there all the same
}

TEST_CASE("odd samples do no harm: equal times, totals that fall, late ends, extreme latencies") {
  auto x = make_result();
  x.simulated_ms = 0;
  x.samples = {make_sample(5, 0), make_sample(3, 0), make_sample(1, 10), make_sample(9, 20)};
  x.violations = {{"I99", 1'000'000, "", "", "after the end"}};
  x.latency["slow"].add(~uint64_t{0});
  x.latency["fast"].add(0);
  x.latency["idle"];
  x.total.node_hours = NAN;
  auto page = to_html(x);
  CHECK(flaw_of(page) == "");
  CHECK(!has(page, "nan"));
  CHECK(!has(page, " -")); // no negative coordinate
}

TEST_CASE("the JSON form holds every count") {
  auto x = make_result();
  x.violations = {{"I2", 5, "ab12", "example.com/\"car\"", "twice"}};
  x.sequence = {"a", "b"};
  auto text = to_json(x);
  auto parsed = json::parse(text);
  REQUIRE(parsed);
  auto root = parsed->root();
  CHECK(root["seed"].as_uint() == x.seed);
  CHECK(root["sound"].as_bool() == false);
  CHECK(root["trace_hash"].as_string() == x.trace_hash);
  CHECK(root["violations"].at(0)["node"].as_string() == "example.com/\"car\"");
  auto total = root["total"];
  CHECK(total["node_hours"].as_double() == 1'234.5);
  CHECK(total["accepted"].as_uint() == 3'000);
  CHECK(total["outcomes"]["ok"].as_uint() == 2'390);
  CHECK(total["faults"]["crash"].as_uint() == 44);
  CHECK(total["verified"].as_uint() == 2'700);
  auto samples = root["samples"].items();
  REQUIRE(samples.size() == x.samples.size());
  for (size_t i = 0; i < samples.size(); ++i) {
    CHECK(samples[i]["at_ms"].as_uint() == x.samples[i].at_ms);
    CHECK(samples[i]["up"]["cars"].as_uint() == x.samples[i].up["cars"]);
    CHECK(samples[i]["links_up"].size() == 2);
    CHECK(samples[i]["ended"].as_uint() == x.samples[i].ended);
    CHECK(samples[i]["revocation_known"].as_uint() == x.samples[i].revocation_known);
  }
  auto lan = root["latency"]["lan"];
  CHECK(lan["total"].as_uint() == 4);
  CHECK(lan["counts"].size() == 17); // 70 s lies in [2^16, 2^17) ms
  CHECK(lan["counts"].at(16).as_uint() == 1);
  CHECK(root["sequence"].size() == 2);
}

TEST_CASE("the JSON form of an empty result parses") {
  auto text = to_json({});
  auto parsed = json::parse(text);
  REQUIRE(parsed);
  CHECK(parsed->root()["samples"].size() == 0);
  CHECK(parsed->root()["sound"].as_bool() == true);
}
