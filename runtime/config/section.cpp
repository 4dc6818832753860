// SPDX-License-Identifier: MPL-2.0
//
// The questions one may ask a table, and how a wrong answer is reported.

#include "runtime/config/config.hpp"
#include "runtime/config/content.hpp"

#include <algorithm>
#include <cassert>

namespace rvi::config {

namespace {

using detail::table;

std::string show(std::string_view x) {
  return detail::quote(x);
}

std::string show_list(const std::vector<std::string>& words) {
  std::string result = "[";
  for (auto& x : words)
    result += (result.size() > 1 ? ", " : "") + show(x);
  return result + "]";
}

void answer(table& from, std::string_view key, std::string effective) {
  for (auto& x : from.questions)
    if (x.key == key) {
      x.effective = std::move(effective);
      return;
    }
  from.questions.push_back({std::string(key), std::move(effective)});
}

/// A whole number or a text with a unit, both within bounds.
struct measure {
  std::optional<uint64_t> (*parse)(std::string_view);
  std::string (*show)(uint64_t);
  const char* what;
};
constexpr measure time_measure = {detail::parse_milliseconds, detail::show_milliseconds,
                                  "a time such as 300ms, 5s, 10m, 2h or 30d"};
constexpr measure size_measure
  = {detail::parse_bytes, detail::show_bytes, "a size such as 512B, 64KiB, 8MiB or 1GiB"};

struct bounds {
  uint64_t min, max;
};

std::optional<uint64_t> read(const measure& measure, const toml::node& node) {
  if (auto text = node.value_exact<std::string>())
    return measure.parse(*text);
  auto number = node.value_exact<int64_t>();
  if (!number || *number < 0)
    return std::nullopt;
  return uint64_t(*number);
}

uint64_t measured(detail::content& content, table& from, std::string_view key, uint64_t otherwise,
                  const bounds& bounds, const measure& measure) {
  auto result = otherwise;
  if (auto node = from.find(key)) {
    auto x = read(measure, *node);
    if (x && *x >= bounds.min && *x <= bounds.max) {
      result = *x;
    } else {
      std::string message = std::string("must be ") + measure.what;
      if (bounds.max < uint64_t(std::numeric_limits<int64_t>::max()))
        message += ", from " + measure.show(bounds.min) + " to " + measure.show(bounds.max);
      else if (bounds.min > 0)
        message += ", at least " + measure.show(bounds.min);
      content.report(node, detail::join(from.path, key), message);
    }
  }
  answer(from, key, detail::quote(measure.show(result)));
  return result;
}

table& child_of(detail::content& content, table& parent, std::string_view name) {
  for (auto& x : parent.children)
    if (!x->element && x->name == name)
      return *x;
  auto& child = *parent.children.emplace_back(std::make_unique<table>());
  child.name = name;
  child.path = detail::join(parent.path, name);
  if (auto node = parent.find(name)) {
    child.source = node->as_table();
    if (!child.source)
      content.report(node, child.path, "must be a table");
  }
  return child;
}

} // namespace

section::section(std::shared_ptr<detail::content> content, detail::table* table)
  : content_(std::move(content)),
    table_(table) {}

std::string section::text(std::string_view key, std::string_view otherwise) {
  std::string result(otherwise);
  if (auto node = table_->find(key)) {
    if (auto x = node->value_exact<std::string>())
      result = std::move(*x);
    else
      content_->report(node, detail::join(table_->path, key), "must be a string");
  }
  answer(*table_, key, show(result));
  return result;
}

std::string section::required_text(std::string_view key) {
  auto node = table_->find(key);
  auto result = text(key, "");
  if (!node)
    content_->report(nullptr, detail::join(table_->path, key), "is missing");
  else if (result.empty() && node->is_string())
    content_->report(node, detail::join(table_->path, key), "must not be empty");
  return result;
}

std::string section::choice(std::string_view key, std::string_view otherwise,
                            const std::vector<std::string>& words) {
  std::string result(otherwise);
  if (auto node = table_->find(key)) {
    auto x = node->value_exact<std::string>();
    if (x && std::find(words.begin(), words.end(), *x) != words.end()) {
      result = std::move(*x);
    } else {
      std::string list;
      for (auto& word : words)
        list += (list.empty() ? "" : &word == &words.back() ? " or " : ", ") + show(word);
      content_->report(node, detail::join(table_->path, key), "must be " + list);
    }
  }
  answer(*table_, key, show(result));
  return result;
}

int64_t section::integer(std::string_view key, int64_t otherwise, int64_t min, int64_t max) {
  using limits = std::numeric_limits<int64_t>;
  auto result = otherwise;
  if (auto node = table_->find(key)) {
    auto x = node->value_exact<int64_t>();
    if (x && *x >= min && *x <= max) {
      result = *x;
    } else {
      std::string message = "must be an integer";
      if (min != limits::min() && max != limits::max())
        message += " from " + std::to_string(min) + " to " + std::to_string(max);
      else if (min != limits::min())
        message += " of at least " + std::to_string(min);
      else if (max != limits::max())
        message += " of at most " + std::to_string(max);
      content_->report(node, detail::join(table_->path, key), message);
    }
  }
  answer(*table_, key, std::to_string(result));
  return result;
}

bool section::boolean(std::string_view key, bool otherwise) {
  auto result = otherwise;
  if (auto node = table_->find(key)) {
    if (auto x = node->value_exact<bool>())
      result = *x;
    else
      content_->report(node, detail::join(table_->path, key), "must be true or false");
  }
  answer(*table_, key, result ? "true" : "false");
  return result;
}

std::vector<std::string>
section::texts(std::string_view key, const std::vector<std::string>& otherwise) {
  auto result = otherwise;
  if (auto node = table_->find(key)) {
    auto list = node->as_array();
    auto good = list != nullptr;
    std::vector<std::string> found;
    for (size_t i = 0; good && i < list->size(); ++i) {
      auto x = list->get(i)->value_exact<std::string>();
      good = x.has_value();
      if (x)
        found.push_back(std::move(*x));
    }
    if (good)
      result = std::move(found);
    else
      content_->report(node, detail::join(table_->path, key), "must be an array of strings");
  }
  answer(*table_, key, show_list(result));
  return result;
}

uint64_t section::milliseconds(std::string_view key, uint64_t otherwise_ms, uint64_t min_ms,
                               uint64_t max_ms) {
  return measured(*content_, *table_, key, otherwise_ms, {min_ms, max_ms}, time_measure);
}

uint64_t section::bytes(std::string_view key, uint64_t otherwise, uint64_t min, uint64_t max) {
  return measured(*content_, *table_, key, otherwise, {min, max}, size_measure);
}

std::vector<section> section::tables(std::string_view key) {
  std::vector<section> result;
  for (auto& x : table_->children) // asked before
    if (x->element && x->name == key)
      result.push_back(section(content_, x.get()));
  auto node = table_->find(key);
  if (!result.empty() || !node) {
    answer(*table_, key, "");
    return result;
  }
  answer(*table_, key, "");
  auto list = node->as_array();
  auto path = detail::join(table_->path, key);
  if (!list || !std::all_of(list->begin(), list->end(), [](auto& x) { return x.is_table(); })) {
    content_->report(node, path, "must be an array of tables, [[" + path + "]]");
    return result;
  }
  for (size_t i = 0; i < list->size(); ++i) {
    auto& child = *table_->children.emplace_back(std::make_unique<detail::table>());
    child.name = key;
    child.path = path + "[" + std::to_string(i) + "]";
    child.element = true;
    child.source = list->get(i)->as_table();
    result.push_back(section(content_, &child));
  }
  return result;
}

section section::table(std::string_view name) {
  auto at = table_;
  for (;;) {
    auto dot = name.find('.');
    at = &child_of(*content_, *at, name.substr(0, dot));
    if (dot == name.npos)
      return {content_, at};
    name.remove_prefix(dot + 1);
  }
}

bool section::present() const {
  return table_->source != nullptr;
}

bool section::has(std::string_view key) const {
  return table_->find(key) != nullptr;
}

void section::reject(std::string_view key, std::string_view message) {
  content_->report(table_->find(key), detail::join(table_->path, key), std::string(message));
}

} // namespace rvi::config
