// SPDX-License-Identifier: MPL-2.0
//
// Views of a parsed text, and the writer.

#include "runtime/json/json.hpp"

#include "runtime/json/tree.hpp"
#include "runtime/json/utf8.hpp"

#include <cassert>
#include <charconv>
#include <cmath>
#include <utility>

namespace rvi::json {

namespace {

const detail::node absent;

const detail::node& look(const detail::tree* tree, uint32_t i) {
  return tree ? tree->nodes[i] : absent;
}

template <class T>
std::optional<T> number_of(const detail::node& x) {
  if (x.kind != kind::number)
    return std::nullopt;
  T result;
  auto end = x.raw.data() + x.raw.size();
  auto [stop, error] = std::from_chars(x.raw.data(), end, result);
  if (error != std::errc{} || stop != end)
    return std::nullopt;
  return result;
}

} // namespace

json::kind value::kind() const {
  return look(tree_, node_).kind;
}

std::string_view value::raw() const {
  return look(tree_, node_).raw;
}

std::optional<std::string_view> value::as_string() const {
  auto& x = look(tree_, node_);
  if (x.kind != kind::string)
    return std::nullopt;
  return x.string;
}

std::optional<bool> value::as_bool() const {
  auto& x = look(tree_, node_);
  if (x.kind != kind::boolean)
    return std::nullopt;
  return x.raw == "true";
}

std::optional<int64_t> value::as_int() const {
  return number_of<int64_t>(look(tree_, node_));
}

std::optional<uint64_t> value::as_uint() const {
  return number_of<uint64_t>(look(tree_, node_));
}

std::optional<double> value::as_double() const {
  return number_of<double>(look(tree_, node_));
}

value value::operator[](std::string_view key) const {
  auto& x = look(tree_, node_);
  if (x.kind != kind::object)
    return {};
  for (auto i = x.first; i != 0; i = tree_->nodes[i].next)
    if (tree_->nodes[i].key == key)
      return {tree_, i};
  return {};
}

size_t value::size() const {
  return look(tree_, node_).count;
}

value value::at(size_t i) const {
  auto& x = look(tree_, node_);
  if (i >= x.count)
    return {};
  auto n = x.first;
  for (; i > 0; --i)
    n = tree_->nodes[n].next;
  return {tree_, n};
}

std::string_view value::key_at(size_t i) const {
  auto member = at(i);
  return look(member.tree_, member.node_).key;
}

std::vector<value> value::items() const {
  std::vector<value> result;
  auto& x = look(tree_, node_);
  result.reserve(x.count);
  for (auto i = x.first; i != 0; i = tree_->nodes[i].next)
    result.emplace_back(tree_, i);
  return result;
}

document::document() = default;
document::document(document&&) noexcept = default;
document& document::operator=(document&&) noexcept = default;
document::~document() = default;

value document::root() const {
  return tree_ ? value{tree_.get(), 0} : value{};
}

namespace {

void append_escaped(std::string& out, char c) {
  static constexpr char digits[] = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += digits[uint8_t(c) >> 4];
      out += digits[uint8_t(c) & 15];
  }
}

/// Appends without quotes; the text is UTF-8.
void append_content(std::string& out, std::string_view text) {
  size_t written = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    auto c = text[i];
    if (uint8_t(c) >= 0x20 && c != '"' && c != '\\')
      continue;
    out.append(text, written, i - written);
    append_escaped(out, c);
    written = i + 1;
  }
  out.append(text, written);
}

} // namespace

void append_string(std::string& out, std::string_view text) {
  out += '"';
  while (!is_utf8(text)) {
    auto n = utf8_valid_up_to(text);
    append_content(out, text.substr(0, n));
    out += "\xEF\xBF\xBD"; // U+FFFD for each byte that is not UTF-8
    text.remove_prefix(n + 1);
  }
  append_content(out, text);
  out += '"';
}

void writer::separate() {
  if (separator_due_)
    out_ += ',';
  separator_due_ = true;
}

writer& writer::begin_object() {
  separate();
  out_ += '{';
  separator_due_ = false;
  ++depth_;
  return *this;
}

writer& writer::end_object() {
  assert(depth_ > 0);
  out_ += '}';
  separator_due_ = true;
  --depth_;
  return *this;
}

writer& writer::begin_array() {
  separate();
  out_ += '[';
  separator_due_ = false;
  ++depth_;
  return *this;
}

writer& writer::end_array() {
  assert(depth_ > 0);
  out_ += ']';
  separator_due_ = true;
  --depth_;
  return *this;
}

writer& writer::key(std::string_view name) {
  assert(depth_ > 0);
  separate();
  append_string(out_, name);
  out_ += ':';
  separator_due_ = false;
  return *this;
}

writer& writer::string(std::string_view x) {
  separate();
  append_string(out_, x);
  return *this;
}

writer& writer::integer(int64_t x) {
  char buffer[24];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, x).ptr;
  return raw({buffer, size_t(end - buffer)});
}

writer& writer::unsigned_integer(uint64_t x) {
  char buffer[24];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, x).ptr;
  return raw({buffer, size_t(end - buffer)});
}

writer& writer::number(double x) {
  if (!std::isfinite(x))
    return null(); // JSON has no infinity and no NaN
  char buffer[32];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, x).ptr;
  return raw({buffer, size_t(end - buffer)});
}

writer& writer::boolean(bool x) {
  return raw(x ? "true" : "false");
}

writer& writer::null() {
  return raw("null");
}

writer& writer::raw(std::string_view x) {
  separate();
  out_ += x;
  return *this;
}

std::string writer::take() {
  assert(depth_ == 0);
  separator_due_ = false;
  return std::exchange(out_, {});
}

} // namespace rvi::json
