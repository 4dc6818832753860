// SPDX-License-Identifier: MPL-2.0
//
// Charts as HTML with inline SVG: axes, paths, legend, and the table that says the same.

#include "tools/simulation/svg_chart.hpp"

#include "tools/simulation/report_text.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>

namespace rvi::simulation {

namespace {

constexpr double canvas = 1'000; // the SVG's own width and height; the page stretches it
constexpr size_t colors = 8;
constexpr size_t readings_max = 60; // columns that tell their figures under a pointer
constexpr size_t rows_max = 25;
constexpr size_t markers_max = 50;

std::string coordinate(double x) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.1f", x);
  std::string result = buffer;
  if (result.ends_with(".0"))
    result.resize(result.size() - 2);
  return result;
}

std::string point(double x, double y) {
  return coordinate(x * canvas) + ' ' + coordinate((1 - y) * canvas);
}

std::string percent(double part) {
  return coordinate(part * 100) + '%';
}

std::string color_class(size_t color) {
  return "s" + std::to_string(std::min(color, colors));
}

/// The look of the i-th line. Dashes tell lines apart without colours, widths where lines coincide.
std::string line_class(const chart& x, size_t i) {
  auto color = std::min(x.lines[i].color, colors);
  auto result = "line " + color_class(color);
  if (x.nested)
    result += " n" + std::to_string(std::min(i, size_t{2}));
  else if (x.lines.size() > 1)
    result += " d" + std::to_string(color % 4);
  return result;
}

/// At most `count` of 0 to `size` - 1, evenly spread, with both ends.
std::vector<size_t> spread(size_t size, size_t count) {
  std::vector<size_t> result;
  auto n = std::min(size, count);
  for (size_t i = 0; i < n; ++i)
    result.push_back(n == 1 ? 0 : i * (size - 1) / (n - 1));
  return result;
}

double peak(const series& x) {
  return x.values.empty() ? 0 : *std::max_element(x.values.begin(), x.values.end());
}

/// Where each line lies: its values, or the sums with those below it.
std::vector<std::vector<double>> heights(const chart& x) {
  std::vector<std::vector<double>> result;
  for (auto& line : x.lines) {
    auto ys = line.values;
    if (x.stacked && !result.empty())
      for (size_t i = 0; i < ys.size(); ++i)
        ys[i] += result.back()[i];
    result.push_back(std::move(ys));
  }
  return result;
}

std::string line_path(const std::vector<double>& xs, const std::vector<double>& ys, double y_max) {
  std::string result;
  for (size_t i = 0; i < xs.size(); ++i)
    result += (i == 0 ? "M" : "L") + point(xs[i], ys[i] / y_max);
  return result;
}

/// Between `ys` and `floor`, which is empty for the bottom.
std::string area_path(const std::vector<double>& xs, const std::vector<double>& ys,
                      const std::vector<double>& floor, double y_max) {
  auto result = line_path(xs, ys, y_max);
  for (auto i = xs.size(); i-- > 0;)
    result += "L" + point(xs[i], floor.empty() ? 0 : floor[i] / y_max);
  return result + "Z";
}

void append_grid(std::string& out, const chart& x, const vertical_axis& axis) {
  out += "<path class=\"grid\" d=\"";
  for (auto& tick : axis.ticks)
    out += "M" + point(0, tick.at) + "H" + coordinate(canvas);
  out += "\"/><path class=\"grid faint\" d=\"";
  for (auto& tick : x.x_ticks)
    out += "M" + point(tick.at, 1) + "V" + coordinate(canvas);
  out += "\"/>";
}

void append_shapes(std::string& out, const chart& x, double y_max) {
  auto ys = heights(x);
  // One line alone is easier to see with its area; more would hide each other.
  auto alone = !x.stacked && x.lines.size() == 1;
  for (size_t i = 0; i < ys.size(); ++i) {
    auto color = color_class(x.lines[i].color);
    if (x.stacked || alone)
      out += "<path class=\"" + std::string{alone ? "wash " : "area "} + color + "\" d=\""
             + area_path(x.xs, ys[i], x.stacked && i > 0 ? ys[i - 1] : std::vector<double>{}, y_max)
             + "\"/>";
    if (!x.stacked)
      out
        += "<path class=\"" + line_class(x, i) + "\" d=\"" + line_path(x.xs, ys[i], y_max) + "\"/>";
  }
}

void append_markers(std::string& out, const chart& x) {
  for (auto i : spread(x.markers.size(), markers_max)) {
    auto& mark = x.markers[i];
    out += "<path class=\"mark\" d=\"M" + point(mark.at, 1) + "V" + coordinate(canvas)
           + "\"><title>" + escaped(mark.text) + "</title></path>";
  }
}

/// Columns one cannot see, which tell the figures at their place.
void append_readings(std::string& out, const chart& x) {
  auto indexes = spread(x.xs.size(), readings_max);
  for (size_t i = 0; i < indexes.size(); ++i) {
    auto here = x.xs[indexes[i]];
    auto left = i == 0 ? 0 : (x.xs[indexes[i - 1]] + here) / 2;
    auto right = i + 1 == indexes.size() ? 1 : (x.xs[indexes[i + 1]] + here) / 2;
    out += "<rect class=\"reading\" x=\"" + coordinate(left * canvas) + "\" y=\"0\" width=\""
           + coordinate((right - left) * canvas) + "\" height=\"1000\"><title>"
           + escaped(x.x_names[indexes[i]]);
    for (auto& line : x.lines)
      out += "\n" + escaped(line.name) + ": " + show_value(line.values[indexes[i]], x.unit);
    out += "</title></rect>";
  }
}

void append_picture(std::string& out, const chart& x, const std::string& id) {
  double most = 0;
  for (auto& ys : heights(x))
    for (auto y : ys)
      most = std::max(most, y);
  auto axis = make_vertical_axis(most, x.unit);
  out += "<div class=\"drawing\"><div class=\"plot\"><div class=\"y-labels\" aria-hidden=\"true\">";
  for (auto& tick : axis.ticks)
    out += "<span style=\"bottom:" + percent(tick.at) + "\">" + escaped(tick.label) + "</span>";
  out += "</div><svg role=\"img\" aria-labelledby=\"" + id + "-title " + id
         + "-note\" "
           "viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\"><title id=\""
         + id + "-title\">" + escaped(x.title) + "</title><desc id=\"" + id + "-note\">"
         + escaped(x.note) + "</desc>";
  append_grid(out, x, axis);
  append_shapes(out, x, axis.max);
  append_readings(out, x);
  append_markers(out, x);
  auto is_long = [](const axis_tick& tick) { return tick.label.size() > 5; };
  auto crowded = std::any_of(x.x_ticks.begin(), x.x_ticks.end(), is_long);
  out += "</svg><div class=\"x-labels" + std::string{crowded ? " long" : ""}
         + "\" aria-hidden=\"true\">";
  for (auto& tick : x.x_ticks)
    out += "<span style=\"left:" + percent(tick.at) + "\">" + escaped(tick.label) + "</span>";
  out += "</div></div></div>";
}

void append_key(std::string& out, const std::string& look, const char* shape) {
  out += "<li><svg class=\"key\" viewBox=\"0 0 22 10\" aria-hidden=\"true\"><path class=\"" + look
         + "\" d=\"" + shape + "\"/></svg>";
}

/// Areas too thin to see at least have their peak told.
void append_legend(std::string& out, const chart& x) {
  if (x.lines.size() < 2 && x.markers.empty())
    return;
  out += "<ul class=\"legend\">";
  for (size_t i = 0; i < x.lines.size(); ++i) {
    auto& line = x.lines[i];
    if (x.stacked)
      append_key(out, "area " + color_class(line.color), "M5 0H17V10H5Z");
    else
      append_key(out, line_class(x, i), "M0 5H22");
    out += "<span>" + escaped(line.name);
    if (x.stacked)
      out += " <small>up to " + show_value(peak(line), x.unit) + "</small>";
    out += "</span></li>";
  }
  if (!x.markers.empty()) {
    append_key(out, "mark", "M11 0V10");
    out += "violation</li>";
  }
  out += "</ul>";
}

void append_table(std::string& out, const chart& x) {
  out += "<details><summary>Figures</summary><div class=\"scroll\" tabindex=\"0\" role=\"region\" "
         "aria-label=\"Figures: "
         + escaped(x.title) + "\"><table><thead><tr><th scope=\"col\">" + escaped(x.x_title)
         + "</th>";
  for (auto& line : x.lines)
    out += "<th scope=\"col\">" + escaped(line.name) + "</th>";
  out += "</tr></thead><tbody>";
  for (auto i : spread(x.xs.size(), rows_max)) {
    out += "<tr><th scope=\"row\">" + escaped(x.x_names[i]) + "</th>";
    for (auto& line : x.lines)
      out += "<td>" + show_value(line.values[i], x.unit) + "</td>";
    out += "</tr>";
  }
  out += "</tbody></table></div></details>";
}

/// The next of 1, 2, 5 times a power of ten, or 2.5 where halves may be.
double round_step(double least, bool whole) {
  auto power = std::pow(10.0, std::floor(std::log10(least)));
  for (auto factor : {1.0, 2.0, 2.5, 5.0, 10.0})
    if (factor * power >= least * 0.999'999
        && (!whole || std::abs(factor * power - std::round(factor * power)) < 1e-9))
      return factor * power;
  return 10 * power;
}

} // namespace

vertical_axis make_vertical_axis(double max, measure unit) {
  vertical_axis result;
  if (unit == measure::percent) {
    result.max = 100;
    for (auto x : {0, 25, 50, 75, 100})
      result.ticks.push_back({x / 100.0, std::to_string(x) + " %"});
    return result;
  }
  double base = 1;
  if (unit == measure::bytes)
    while (max / base >= 1'000)
      base *= 1'024; // round in the unit that is shown
  auto whole = unit == measure::count || (unit == measure::bytes && base == 1);
  auto scaled = max > 0 ? max / base : 1;
  auto step = round_step(whole ? std::max(1.0, scaled / 4) : scaled / 4, whole);
  auto count = std::max(1.0, std::ceil(scaled / step * 0.999'999));
  result.max = count * step * base;
  auto plain_max = result.max < 10'000 ? 10'000 : 1'000; // one form on one axis
  for (auto i = 0; i <= int(count); ++i) {
    auto value = i * step * base;
    result.ticks.push_back(
      {i / count, unit == measure::bytes ? byte_size(value) : compact(value, plain_max)});
  }
  return result;
}

std::vector<axis_tick> time_ticks(uint64_t span_ms) {
  constexpr uint64_t second = 1'000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;
  constexpr uint64_t steps[]
    = {1,        2,          5,          10,          20,          50,          100,
       200,      500,        second,     2 * second,  5 * second,  10 * second, 30 * second,
       minute,   2 * minute, 5 * minute, 10 * minute, 30 * minute, hour,        2 * hour,
       3 * hour, 6 * hour,   12 * hour,  day,         2 * day,     7 * day,     14 * day,
       30 * day, 90 * day,   365 * day};
  auto step = *(std::end(steps) - 1);
  for (auto i = std::end(steps); i != std::begin(steps) && span_ms / *(i - 1) <= 8;)
    step = *--i;
  while (span_ms / step > 8)
    step *= 2;
  std::vector<axis_tick> result;
  for (uint64_t at = 0; span_ms > 0 && at <= span_ms; at += step) {
    auto unit = step >= day      ? day
                : step >= hour   ? hour
                : step >= minute ? minute
                : step >= second ? second
                                 : 1;
    auto name = unit == day      ? "d"
                : unit == hour   ? "h"
                : unit == minute ? "min"
                : unit == second ? "s"
                                 : "ms";
    result.push_back(
      {double(at) / double(span_ms), at == 0 ? "0" : grouped(at / unit) + "\u00a0" + name});
  }
  return result;
}

std::string show_value(double x, measure unit) {
  switch (unit) {
    case measure::bytes:
      return byte_size(x);
    case measure::percent:
      return share(uint64_t(std::llround(x * 1'000)), 100'000);
    case measure::rate:
      return compact(x);
    case measure::count:
      break;
  }
  return grouped(uint64_t(std::llround(x)));
}

void fold_smallest(std::vector<series>& lines) {
  if (lines.size() <= colors)
    return;
  series others{"others", {}, colors};
  while (lines.size() >= colors) {
    auto least = std::min_element(lines.begin(), lines.end(),
                                  [&](auto& a, auto& b) { return peak(a) < peak(b); });
    others.values.resize(least->values.size());
    for (size_t i = 0; i < least->values.size(); ++i)
      others.values[i] += least->values[i];
    lines.erase(least);
  }
  for (size_t i = 0; i < lines.size(); ++i)
    lines[i].color = i;
  lines.push_back(std::move(others));
}

std::string draw(const chart& x, const std::string& id) {
  std::string out = "<figure><figcaption><h3>" + escaped(x.title) + "</h3><p>" + escaped(x.note)
                    + "</p></figcaption>";
  if (x.xs.size() >= 2 && !x.lines.empty()) {
    append_picture(out, x, id);
    append_legend(out, x);
  } else {
    out += "<p class=\"none\">Too few samples to draw.</p>";
  }
  if (!x.xs.empty() && !x.lines.empty())
    append_table(out, x);
  return out + "</figure>\n";
}

} // namespace rvi::simulation
