// SPDX-License-Identifier: MPL-2.0

#include "runtime/cbor/cbor.hpp"

#include "runtime/json/utf8.hpp"

#include <limits>

namespace rvi::cbor {

namespace {

// RFC 8949 3.1
enum major : uint8_t {
  unsigned_major = 0,
  negative_major = 1,
  bytes_major = 2,
  text_major = 3,
  array_major = 4,
  map_major = 5,
  tag_major = 6,
  simple_major = 7,
};

constexpr uint8_t simple_false = 20;
constexpr uint8_t simple_true = 21;

} // namespace

namespace detail {

struct node {
  cbor::kind kind = kind::missing;
  bool negative = false;  // of an integer: it is -1 - number
  uint64_t number = 0;    // of an integer; 1: true
  std::string_view bytes; // of bytes and text
  uint32_t size = 0;      // elements, or members
  uint32_t next = 0;      // the node after this item and all in it
};

/// Items in the order of their bytes; a member of a map is its key, then its value.
struct tree {
  std::string bytes; // what was given; `nodes` points into it
  std::vector<node> nodes;
  size_t size = 0; // of the item
};

} // namespace detail

namespace {

class parser {
public:
  parser(const limits& bounds, detail::tree& out) : bytes_(out.bytes), bounds_(bounds), out_(out) {}

  caf::error run() {
    auto err = item(0);
    out_.size = at_;
    return err;
  }

private:
  struct item_head {
    uint8_t major = 0;
    uint8_t additional = 0;
    uint64_t argument = 0;
  };

  caf::error refuse(const char* why, size_t at) const {
    return caf::make_error(ec::malformed,
                           "CBOR: " + std::string{why} + " at byte " + std::to_string(at));
  }

  caf::error exceed(size_t most, const char* what) const {
    return caf::make_error(ec::limit_exceeded,
                           "CBOR: more than " + std::to_string(most) + " " + what);
  }

  /// RFC 8949 3, 4.2.1: the argument stands in the fewest bytes.
  caf::error head(item_head& result) {
    auto begin = at_;
    if (at_ == bytes_.size())
      return refuse("it ends too early", begin);
    auto first = static_cast<uint8_t>(bytes_[at_++]);
    result = {static_cast<uint8_t>(first >> 5), static_cast<uint8_t>(first & 31), 0};
    if (result.additional < 24) {
      result.argument = result.additional;
      return {};
    }
    if (result.additional > 27)
      return refuse(result.additional == 31 ? "an indefinite length" : "a reserved head", begin);
    size_t length = size_t{1} << (result.additional - 24);
    if (bytes_.size() - at_ < length)
      return refuse("it ends too early", begin);
    for (size_t i = 0; i < length; ++i)
      result.argument = result.argument << 8 | static_cast<uint8_t>(bytes_[at_++]);
    // A simple value or float has its own rule: both are refused.
    if (result.major != simple_major
        && (length == 1 ? result.argument < 24 : result.argument >> (length * 4) == 0))
      return refuse("a number that is not in its shortest form", begin);
    return {};
  }

  caf::error item(size_t depth) {
    if (out_.nodes.size() == bounds_.items_max)
      return exceed(bounds_.items_max, "items");
    auto begin = at_;
    item_head x;
    if (auto err = head(x))
      return err;
    auto number = static_cast<uint32_t>(out_.nodes.size());
    auto& node = out_.nodes.emplace_back();
    caf::error err;
    switch (x.major) {
      case unsigned_major:
      case negative_major:
        node.kind = kind::integer;
        node.negative = x.major == negative_major;
        node.number = x.argument;
        break;
      case bytes_major:
      case text_major:
        err = string(node, x, begin);
        break;
      case array_major:
      case map_major:
        err = container(number, x, begin, depth);
        break;
      case tag_major:
        return refuse("a tag", begin);
      default:
        if (x.additional != simple_false && x.additional != simple_true)
          return refuse("a float or simple value other than true and false", begin);
        node.kind = kind::boolean;
        node.number = x.additional == simple_true ? 1 : 0;
    }
    out_.nodes[number].next = static_cast<uint32_t>(out_.nodes.size());
    return err;
  }

  caf::error string(detail::node& node, const item_head& x, size_t begin) {
    if (x.argument > bytes_.size() - at_)
      return refuse("it ends too early", begin);
    node.kind = x.major == text_major ? kind::text : kind::bytes;
    node.bytes = bytes_.substr(at_, x.argument);
    at_ += x.argument;
    if (x.major == text_major && !json::is_utf8(node.bytes))
      return refuse("text that is not UTF-8", begin);
    return {};
  }

  caf::error container(uint32_t number, const item_head& x, size_t begin, size_t depth) {
    if (depth == bounds_.depth_max)
      return exceed(bounds_.depth_max, "levels");
    // Each element has a byte at least: a length beyond that would only make us work.
    if (x.argument > bytes_.size() - at_)
      return refuse("it ends too early", begin);
    bool is_map = x.major == map_major;
    out_.nodes[number].kind = is_map ? kind::map : kind::array;
    out_.nodes[number].size = static_cast<uint32_t>(x.argument);
    std::string_view last;
    for (uint64_t i = 0; i < x.argument; ++i) {
      if (is_map)
        if (auto err = key(last))
          return err;
      if (auto err = item(depth + 1))
        return err;
    }
    return {};
  }

  /// Keys rise by their bytes (RFC 8949 4.2.1), so that none comes twice.
  caf::error key(std::string_view& last) {
    auto begin = at_;
    if (at_ < bytes_.size() && static_cast<uint8_t>(bytes_[at_]) >> 5 > negative_major)
      return refuse("a key that is not an integer", begin);
    if (auto err = item(0))
      return err;
    auto mine = bytes_.substr(begin, at_ - begin);
    if (!last.empty() && mine <= last)
      return refuse(mine == last ? "a key given twice" : "keys out of order", begin);
    last = mine;
    return {};
  }

  std::string_view bytes_;
  const limits& bounds_;
  detail::tree& out_;
  size_t at_ = 0;
};

} // namespace

expected<document> parse_first(std::string_view bytes, const limits& bounds) {
  if (bytes.size() > bounds.bytes_max)
    return caf::make_error(ec::limit_exceeded,
                           "CBOR: over " + std::to_string(bounds.bytes_max) + " bytes");
  document result;
  result.tree_ = std::make_unique<detail::tree>();
  result.tree_->bytes = bytes;
  if (auto err = parser{bounds, *result.tree_}.run())
    return err;
  return result;
}

expected<document> parse(std::string_view bytes, const limits& bounds) {
  auto result = parse_first(bytes, bounds);
  if (result && result->size() != bytes.size())
    return caf::make_error(ec::malformed,
                           "CBOR: something follows at byte " + std::to_string(result->size()));
  return result;
}

document::document() = default;
document::document(document&&) noexcept = default;
document& document::operator=(document&&) noexcept = default;
document::~document() = default;

value document::root() const {
  return tree_ ? value{tree_.get(), 0} : value{};
}

size_t document::size() const {
  return tree_ ? tree_->size : 0;
}

// -- one item -------------------------------------------------------------------------------------

cbor::kind value::kind() const {
  return tree_ ? tree_->nodes[node_].kind : kind::missing;
}

std::optional<uint64_t> value::as_uint() const {
  if (kind() != kind::integer || tree_->nodes[node_].negative)
    return std::nullopt;
  return tree_->nodes[node_].number;
}

std::optional<int64_t> value::as_int() const {
  if (kind() != kind::integer
      || tree_->nodes[node_].number > uint64_t{std::numeric_limits<int64_t>::max()})
    return std::nullopt;
  auto number = static_cast<int64_t>(tree_->nodes[node_].number);
  return tree_->nodes[node_].negative ? -1 - number : number;
}

std::optional<std::string_view> value::as_bytes() const {
  if (kind() != kind::bytes)
    return std::nullopt;
  return tree_->nodes[node_].bytes;
}

std::optional<std::string_view> value::as_text() const {
  if (kind() != kind::text)
    return std::nullopt;
  return tree_->nodes[node_].bytes;
}

std::optional<bool> value::as_bool() const {
  if (kind() != kind::boolean)
    return std::nullopt;
  return tree_->nodes[node_].number != 0;
}

value value::operator[](int64_t key) const {
  if (!is_map())
    return {};
  auto& nodes = tree_->nodes;
  auto at = node_ + 1;
  for (uint32_t i = 0; i < nodes[node_].size; ++i) {
    auto content = nodes[at].next;
    if (value{tree_, at}.as_int() == key)
      return {tree_, content};
    at = nodes[content].next;
  }
  return {};
}

size_t value::size() const {
  return tree_ ? tree_->nodes[node_].size : 0;
}

std::vector<value> value::items() const {
  std::vector<value> result;
  if (!is_array())
    return result;
  auto& nodes = tree_->nodes;
  auto at = node_ + 1;
  for (uint32_t i = 0; i < nodes[node_].size; ++i) {
    result.emplace_back(tree_, at);
    at = nodes[at].next;
  }
  return result;
}

// -- out ------------------------------------------------------------------------------------------

void writer::head(uint8_t major, uint64_t argument) {
  auto put
    = [this, major](uint64_t additional) { out_ += static_cast<char>(major << 5 | additional); };
  if (argument < 24) {
    put(argument);
    return;
  }
  int length = argument <= 0xff ? 0 : argument <= 0xffff ? 1 : argument <= 0xffff'ffff ? 2 : 3;
  put(24 + static_cast<uint64_t>(length));
  for (int shift = (8 << length) - 8; shift >= 0; shift -= 8)
    out_ += static_cast<char>(argument >> shift & 0xff);
}

writer& writer::unsigned_integer(uint64_t x) {
  head(unsigned_major, x);
  return *this;
}

writer& writer::integer(int64_t x) {
  if (x < 0)
    head(negative_major, static_cast<uint64_t>(-1 - x));
  else
    head(unsigned_major, static_cast<uint64_t>(x));
  return *this;
}

writer& writer::bytes(std::string_view x) {
  head(bytes_major, x.size());
  out_ += x;
  return *this;
}

writer& writer::text(std::string_view x) {
  head(text_major, x.size());
  out_ += x;
  return *this;
}

writer& writer::boolean(bool x) {
  head(simple_major, x ? simple_true : simple_false);
  return *this;
}

writer& writer::array(size_t elements) {
  head(array_major, elements);
  return *this;
}

writer& writer::map(size_t members) {
  head(map_major, members);
  return *this;
}

} // namespace rvi::cbor
