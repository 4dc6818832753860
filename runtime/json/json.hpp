// SPDX-License-Identifier: MPL-2.0
//
// JSON in and out. A parsed text keeps the exact bytes of each value, because arguments travel as
// the sender wrote them (RVI-B1 signs bytes, not meanings).

#pragma once

#include "runtime/error.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::json {

struct limits {
  size_t bytes_max = 1 << 20;
  size_t depth_max = 32;
  size_t nodes_max = 100'000; // values in the whole text
};

enum class kind : uint8_t { missing, null, boolean, number, string, array, object };

namespace detail {
struct tree;
}

/// A view of one value; valid while its document lives.
class value {
public:
  value() = default;
  value(const detail::tree* tree, uint32_t node) : tree_(tree), node_(node) {}

  json::kind kind() const;
  explicit operator bool() const { return kind() != json::kind::missing; }
  bool is_object() const { return kind() == json::kind::object; }
  bool is_array() const { return kind() == json::kind::array; }

  /// The exact bytes of this value in the text.
  std::string_view raw() const;

  /// Unescaped text of a string, else nothing.
  std::optional<std::string_view> as_string() const;
  std::optional<bool> as_bool() const;
  /// Whole numbers that fit; 1.0 and 1e3 are none.
  std::optional<int64_t> as_int() const;
  std::optional<uint64_t> as_uint() const;
  std::optional<double> as_double() const;

  /// A member of an object; `missing` if there is none or this is no object.
  value operator[](std::string_view key) const;

  /// Elements or members; 0 for everything else.
  size_t size() const;
  /// The i-th element or member value, in text order. O(1) amortised for a loop over all is not
  /// promised; use `items()` for long lists.
  value at(size_t i) const;
  /// The i-th member's name.
  std::string_view key_at(size_t i) const;
  /// All elements (or member values) in text order.
  std::vector<value> items() const;

private:
  const detail::tree* tree_ = nullptr;
  uint32_t node_ = 0;
};

/// A parsed text; owns everything its values point to.
class document {
public:
  document();
  document(document&&) noexcept;
  document& operator=(document&&) noexcept;
  ~document();
  value root() const;

private:
  friend expected<document> parse(std::string_view, const limits&);
  std::unique_ptr<detail::tree> tree_;
};

/// Parses one whole text: RFC 8259, UTF-8, no duplicate member names, nothing after the value.
/// Errors: `malformed` (says what and at which byte), `limit_exceeded`.
expected<document> parse(std::string_view text, const limits& = {});

/// Appends `text` as a JSON string with quotes.
void append_string(std::string& out, std::string_view text);

/// Writes JSON, one value after another; commas come by themselves. The caller keeps begin and end
/// paired; a broken pair is an assertion.
class writer {
public:
  writer& begin_object();
  writer& end_object();
  writer& begin_array();
  writer& end_array();
  writer& key(std::string_view name);
  writer& string(std::string_view x);
  writer& integer(int64_t x);
  writer& unsigned_integer(uint64_t x);
  writer& number(double x);
  writer& boolean(bool x);
  writer& null();
  /// Bytes that already are one JSON value.
  writer& raw(std::string_view x);

  // key and value in one
  writer& member(std::string_view name, std::string_view x) { return key(name).string(x); }
  writer& member(std::string_view name, const char* x) { return key(name).string(x); }
  writer& member(std::string_view name, bool x) { return key(name).boolean(x); }
  writer& member(std::string_view name, uint64_t x) { return key(name).unsigned_integer(x); }

  std::string take();
  const std::string& text() const { return out_; }

private:
  void separate();

  std::string out_;
  bool separator_due_ = false;
  int depth_ = 0;
};

} // namespace rvi::json
