// SPDX-License-Identifier: MPL-2.0
//
// One strict pass over a text (RFC 8259). simdjson checks the UTF-8, the walk is our own: on-demand
// checks only what it visits, the DOM refuses big integers, and neither keeps every raw slice.

#include "runtime/json/json.hpp"
#include "runtime/json/tree.hpp"
#include "runtime/json/utf8.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

namespace rvi::json {

namespace {

/// Whether eight bytes hold a quote, a backslash or a control character.
bool has_special(uint64_t x) {
  constexpr uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
  auto has_zero = [](uint64_t y) { return (y - ones) & ~y & highs; };
  return (has_zero(x ^ ones * '"') | has_zero(x ^ ones * '\\') | ((x - ones * 0x20) & ~x & highs))
         != 0;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

class pass {
public:
  pass(detail::tree& tree, const limits& bounds)
    : tree_(tree),
      bounds_(bounds),
      begin_(tree.text.data()),
      at_(begin_),
      end_(begin_ + tree.text.size()) {}

  caf::error run();

private:
  struct open_container {
    uint32_t node;
    uint32_t last; // its newest element; 0 is none yet
  };

  caf::error fail(const char* what) const { return fail_at(what, at_); }
  caf::error fail_at(const char* what, const char* where) const;
  caf::error bound(const char* what) const;

  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r'))
      ++at_;
  }
  bool next_is(char c) const { return at_ != end_ && *at_ == c; }

  caf::error read_value();
  caf::error read_literal(std::string_view word, json::kind kind);
  caf::error read_number();
  caf::error read_string(std::string_view& out);
  caf::error read_escaped_rest(std::string_view& out, const char* start);
  caf::error read_escape();
  bool read_hex(uint32_t& out);
  caf::error read_key();
  caf::error open(json::kind kind);
  caf::error close();
  caf::error check_members(const detail::node& object) const;
  bool skip_digits();
  const char* skip_plain(const char* p) const;

  detail::tree& tree_;
  const limits& bounds_;
  const char* begin_;
  const char* at_;
  const char* end_;
  std::vector<open_container> open_;
  std::string_view key_;  // of the value that comes next
  bool complete_ = false; // the newest value needs no closing bracket any more
};

caf::error pass::fail_at(const char* what, const char* where) const {
  return caf::make_error(ec::malformed,
                         std::string(what) + " at byte " + std::to_string(where - begin_));
}

caf::error pass::bound(const char* what) const {
  return caf::make_error(ec::limit_exceeded, std::string("JSON with ") + what);
}

caf::error pass::run() {
  skip_space();
  if (auto error = read_value())
    return error;
  for (;;) {
    if (complete_ && open_.empty())
      break;
    skip_space();
    if (at_ == end_)
      return fail("the text ends inside an array or object");
    auto in_object = tree_.nodes[open_.back().node].kind == kind::object;
    auto first = !complete_; // just after the opening bracket
    if (*at_ == (in_object ? '}' : ']')) {
      if (auto error = close())
        return error;
      continue;
    }
    if (!first) {
      if (*at_ != ',')
        return fail(in_object ? "expected , or }" : "expected , or ]");
      ++at_;
      skip_space();
    }
    if (in_object)
      if (auto error = read_key())
        return error;
    if (auto error = read_value())
      return error;
  }
  skip_space();
  return at_ == end_ ? caf::error{} : fail("text after the value");
}

caf::error pass::read_value() {
  if (at_ == end_)
    return fail("the text ends where a value should be");
  if (tree_.nodes.size() >= bounds_.nodes_max)
    return bound("too many values");
  auto index = uint32_t(tree_.nodes.size());
  auto& x = tree_.nodes.emplace_back();
  if (!open_.empty()) {
    auto& [parent, last] = open_.back();
    (last == 0 ? tree_.nodes[parent].first : tree_.nodes[last].next) = index;
    last = index;
    ++tree_.nodes[parent].count;
    x.key = std::exchange(key_, {});
  }
  complete_ = true;
  switch (*at_) {
    case '{':
      return open(kind::object);
    case '[':
      return open(kind::array);
    case 't':
      return read_literal("true", kind::boolean);
    case 'f':
      return read_literal("false", kind::boolean);
    case 'n':
      return read_literal("null", kind::null);
    case '"': {
      auto start = at_;
      x.kind = kind::string;
      auto error = read_string(x.string);
      x.raw = {start, size_t(at_ - start)};
      return error;
    }
    default:
      return read_number();
  }
}

caf::error pass::read_literal(std::string_view word, json::kind kind) {
  if (std::string_view(at_, size_t(end_ - at_)).substr(0, word.size()) != word)
    return fail("expected a value");
  auto& x = tree_.nodes.back();
  x.kind = kind;
  x.raw = {at_, word.size()};
  at_ += word.size();
  return {};
}

bool pass::skip_digits() {
  auto start = at_;
  while (at_ != end_ && is_digit(*at_))
    ++at_;
  return at_ != start;
}

caf::error pass::read_number() {
  auto start = at_;
  if (next_is('-'))
    ++at_;
  if (next_is('0'))
    ++at_; // what follows a leading zero is no digit
  else if (!skip_digits())
    return fail(at_ == start ? "expected a value" : "expected a digit");
  if (next_is('.')) {
    ++at_;
    if (!skip_digits())
      return fail("expected a digit");
  }
  if (next_is('e') || next_is('E')) {
    ++at_;
    if (next_is('+') || next_is('-'))
      ++at_;
    if (!skip_digits())
      return fail("expected a digit");
  }
  if (at_ != end_ && is_digit(*at_))
    return fail("a number with a leading zero");
  auto& x = tree_.nodes.back();
  x.kind = kind::number;
  x.raw = {start, size_t(at_ - start)};
  return {};
}

const char* pass::skip_plain(const char* p) const {
  for (; end_ - p >= 8; p += 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    if (has_special(word))
      break;
  }
  while (p != end_ && *p != '"' && *p != '\\' && uint8_t(*p) >= 0x20)
    ++p;
  return p;
}

caf::error pass::read_string(std::string_view& out) {
  auto start = ++at_;
  at_ = skip_plain(at_);
  if (next_is('"')) {
    out = {start, size_t(at_ - start)};
    ++at_;
    return {};
  }
  return read_escaped_rest(out, start);
}

caf::error pass::read_escaped_rest(std::string_view& out, const char* start) {
  auto& buffer = tree_.unescaped;
  if (buffer.capacity() < tree_.text.size())
    buffer.reserve(tree_.text.size()); // once: unescaped text is never longer than its source
  auto offset = buffer.size();
  for (;;) {
    buffer.append(start, at_);
    if (at_ == end_)
      return fail("the text ends inside a string");
    if (*at_ == '"')
      break;
    if (*at_ != '\\')
      return fail("a control character in a string");
    if (auto error = read_escape())
      return error;
    start = at_;
    at_ = skip_plain(at_);
  }
  ++at_;
  out = std::string_view(buffer).substr(offset);
  return {};
}

caf::error pass::read_escape() {
  static constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
  auto start = at_++;
  if (at_ == end_)
    return fail("the text ends inside a string");
  auto c = *at_++;
  if (c != 'u') {
    auto i = names.find(c);
    if (i == names.npos)
      return fail_at("an unknown escape", start);
    tree_.unescaped += meanings[i];
    return {};
  }
  uint32_t code = 0;
  if (!read_hex(code))
    return fail_at("an escape without four hex digits", start);
  if (code >= 0xD800 && code <= 0xDFFF) {
    uint32_t low = 0;
    if (code >= 0xDC00 || end_ - at_ < 6 || at_[0] != '\\' || at_[1] != 'u')
      return fail_at("a lone surrogate", start);
    at_ += 2;
    if (!read_hex(low) || low < 0xDC00 || low > 0xDFFF)
      return fail_at("a lone surrogate", start);
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  append_utf8(tree_.unescaped, code);
  return {};
}

bool pass::read_hex(uint32_t& out) {
  if (end_ - at_ < 4)
    return false;
  for (auto stop = at_ + 4; at_ != stop; ++at_) {
    auto c = *at_;
    auto letter = char(c | 0x20);
    if (is_digit(c))
      out = out << 4 | uint32_t(c - '0');
    else if (letter >= 'a' && letter <= 'f')
      out = out << 4 | uint32_t(letter - 'a' + 10);
    else
      return false;
  }
  return true;
}

caf::error pass::read_key() {
  if (!next_is('"'))
    return fail("expected a member name");
  if (auto error = read_string(key_))
    return error;
  skip_space();
  if (!next_is(':'))
    return fail("expected :");
  ++at_;
  skip_space();
  return {};
}

caf::error pass::open(json::kind kind) {
  if (open_.size() >= bounds_.depth_max)
    return bound("too deep nesting");
  auto& x = tree_.nodes.back();
  x.kind = kind;
  x.raw = {at_, 1};
  open_.push_back({uint32_t(tree_.nodes.size() - 1), 0});
  complete_ = false;
  ++at_;
  return {};
}

caf::error pass::close() {
  auto& x = tree_.nodes[open_.back().node];
  ++at_;
  x.raw = {x.raw.data(), size_t(at_ - x.raw.data())};
  open_.pop_back();
  complete_ = true;
  return x.kind == kind::object ? check_members(x) : caf::error{};
}

caf::error pass::check_members(const detail::node& object) const {
  constexpr uint32_t pairwise_max = 12; // above it sorting is cheaper
  auto& nodes = tree_.nodes;
  auto refuse = [&](const detail::node& x) {
    return fail_at("a duplicate member name, with the value", x.raw.data());
  };
  if (object.count <= pairwise_max) {
    for (auto i = object.first; i != 0; i = nodes[i].next)
      for (auto k = nodes[i].next; k != 0; k = nodes[k].next)
        if (nodes[i].key == nodes[k].key)
          return refuse(nodes[k]);
    return {};
  }
  std::vector<const detail::node*> members;
  members.reserve(object.count);
  for (auto i = object.first; i != 0; i = nodes[i].next)
    members.push_back(&nodes[i]);
  std::sort(members.begin(), members.end(), [](auto a, auto b) { return a->key < b->key; });
  auto twin = std::adjacent_find(members.begin(), members.end(),
                                 [](auto a, auto b) { return a->key == b->key; });
  return twin == members.end() ? caf::error{} : refuse(**twin);
}

} // namespace

expected<document> parse(std::string_view text, const limits& bounds) {
  if (text.size() > std::min<size_t>(bounds.bytes_max, std::numeric_limits<uint32_t>::max()))
    return caf::make_error(ec::limit_exceeded, "JSON of " + std::to_string(text.size())
                                                 + " bytes, allowed are "
                                                 + std::to_string(bounds.bytes_max));
  if (!is_utf8(text))
    return caf::make_error(ec::malformed,
                           "not UTF-8 at byte " + std::to_string(utf8_valid_up_to(text)));
  document result;
  result.tree_ = std::make_unique<detail::tree>();
  result.tree_->text = text;
  result.tree_->nodes.reserve(std::min(text.size() / 16 + 4, bounds.nodes_max));
  if (auto error = pass(*result.tree_, bounds).run())
    return error;
  return result;
}

} // namespace rvi::json
