// SPDX-License-Identifier: MPL-2.0
//
// Charts as HTML with inline SVG, drawn without any script. The SVG holds shapes only and stretches
// with the page; the labels beside it are HTML, so they stay readable at every width.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rvi::simulation {

/// What the vertical axis counts: whole things, things per time, bytes, or parts of 100.
enum class measure : uint8_t { count, rate, bytes, percent };

struct axis_tick {
  double at = 0; // 0 to 1
  std::string label;
};

struct series {
  std::string name;
  std::vector<double> values; // as many as the chart has `xs`
  size_t color = 0;           // 0 to 7; everything above is grey
};

/// A moment worth a line across the chart.
struct marker {
  double at = 0; // 0 to 1
  std::string text;
};

struct chart {
  std::string title;
  std::string note; // a sentence below the title; also the picture's description
  measure unit = measure::count;
  bool stacked = false;   // areas on top of each other instead of lines
  bool nested = false;    // the first line broad, later ones thinner: they may lie on each other
  std::vector<double> xs; // 0 to 1, ascending
  std::string x_title = "Time";
  std::vector<std::string> x_names; // of each of `xs`, for the table
  std::vector<axis_tick> x_ticks;
  std::vector<series> lines;
  std::vector<marker> markers;
};

/// The vertical axis: its end, and round ticks up to it.
struct vertical_axis {
  double max = 1;
  std::vector<axis_tick> ticks;
};

vertical_axis make_vertical_axis(double max, measure unit);

/// Round times from 0 to `span_ms`, at most nine.
std::vector<axis_tick> time_ticks(uint64_t span_ms);

/// A value with its unit, as tables show it.
std::string show_value(double x, measure unit);

/// Colours tell eight apart; with more lines, the smallest are summed up as "others".
void fold_smallest(std::vector<series>& lines);

/// A `figure` with the picture, its legend, and the figures as a table to unfold. `id` is unique on
/// the page. Text is escaped here.
std::string draw(const chart& x, const std::string& id);

} // namespace rvi::simulation
