// SPDX-License-Identifier: MPL-2.0
//
// The file as a whole: loading, what it holds beyond what was asked, and the dump.

#include "runtime/config/config.hpp"

#include "runtime/config/content.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace rvi::config {

namespace detail {

namespace {

problem make_problem(uint32_t line, const std::string& file, const std::string& path,
                     const std::string& message) {
  auto text = file + (line > 0 ? ":" + std::to_string(line) : std::string{}) + ": ";
  return {line, text + (path.empty() ? message : path + ": " + message)};
}

} // namespace

void content::report(uint32_t line, const std::string& path, const std::string& message) {
  problems.push_back(make_problem(line, name, path, message));
}

void content::report(const toml::node* where, const std::string& path, const std::string& message) {
  report(where ? where->source().begin.line : 0, path, message);
}

void find_unknown(const table& from, std::vector<problem>& out, const std::string& file) {
  std::vector<std::string> known;
  for (auto& x : from.questions)
    known.push_back(x.key);
  for (auto& child : from.children) {
    if (!child->element)
      known.push_back(child->name);
    find_unknown(*child, out, file);
  }
  if (!from.source)
    return;
  for (auto& [key, node] : *from.source) {
    if (std::find(known.begin(), known.end(), key.str()) != known.end())
      continue;
    auto is_table = node.is_table() || node.is_array_of_tables();
    std::string message = is_table ? "unknown table" : "unknown key";
    auto meant = nearest(key.str(), known);
    if (!meant.empty())
      message += " (did you mean " + meant + "?)";
    out.push_back(make_problem(key.source().begin.line, file, join(from.path, key.str()), message));
  }
}

void dump(const table& from, std::string& out) {
  auto has_values = std::any_of(from.questions.begin(), from.questions.end(),
                                [](auto& x) { return !x.effective.empty(); });
  if (has_values || from.element) {
    auto header = from.path;
    std::erase_if(header, [inside = false](char c) mutable { // the [0] of an element
      inside = inside || c == '[';
      auto drop = inside;
      inside = inside && c != ']';
      return drop;
    });
    if (!header.empty())
      out += (out.empty() ? "" : "\n") + (from.element ? "[[" + header + "]]" : "[" + header + "]")
             + "\n";
    for (auto& x : from.questions)
      if (!x.effective.empty())
        out += x.key + " = " + x.effective + "\n";
  }
  for (auto& child : from.children)
    dump(*child, out);
}

} // namespace detail

file::file(std::shared_ptr<detail::content> content) : content_(std::move(content)) {}

expected<std::shared_ptr<file>> file::load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (in)
    text << in.rdbuf();
  if (!in || in.bad() || text.fail())
    return caf::make_error(ec::io_failed, path + ": " + std::strerror(errno));
  return parse(text.view(), path);
}

expected<std::shared_ptr<file>> file::parse(std::string_view text, const std::string& name) {
  auto content = std::make_shared<detail::content>();
  content->name = name;
  try {
    content->root = toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    return caf::make_error(ec::config_invalid, name + ":"
                                                 + std::to_string(error.source().begin.line) + ": "
                                                 + std::string(error.description()));
  }
  content->top.source = &content->root;
  return std::shared_ptr<file>(new file(std::move(content)));
}

section file::table(std::string_view name) {
  section top(content_, &content_->top);
  return name.empty() ? top : top.table(name);
}

std::vector<std::string> file::errors() const {
  auto problems = content_->problems;
  detail::find_unknown(content_->top, problems, content_->name);
  // What is missing comes last: it may be there under a misspelt name.
  std::stable_sort(problems.begin(), problems.end(),
                   [](auto& a, auto& b) { return a.line - 1 < b.line - 1; });
  std::vector<std::string> result;
  for (auto& x : problems)
    result.push_back(std::move(x.text));
  return result;
}

caf::error file::finish() const {
  auto all = errors();
  if (all.empty())
    return {};
  auto more
    = all.size() == 1 ? std::string{} : " (and " + std::to_string(all.size() - 1) + " more)";
  return caf::make_error(ec::config_invalid, all.front() + more);
}

std::string file::dump() const {
  std::string result;
  detail::dump(content_->top, result);
  return result;
}

} // namespace rvi::config
