// SPDX-License-Identifier: MPL-2.0
//
// CBOR in and out, only the part of it that has one encoding for each value (RFC 8949 4.2.1): what
// is signed by one and read by many must not have two readings.
//
// Integers, byte strings, text, arrays, maps with integer keys, true and false. Refused: indefinite
// lengths, a number or length that is not in its shortest form, keys out of order or given twice,
// floats, null and other simple values, tags, text that is not UTF-8.

#pragma once

#include "runtime/error.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::cbor {

struct limits {
  size_t bytes_max = size_t{16} << 10;
  size_t depth_max = 8; // arrays and maps within each other
  size_t items_max = 2'048;
};

enum class kind : uint8_t { missing, integer, bytes, text, array, map, boolean };

namespace detail {
struct tree;
}

/// A view of one item; valid while its document lives.
class value {
public:
  value() = default;
  value(const detail::tree* tree, uint32_t node) : tree_(tree), node_(node) {}

  cbor::kind kind() const;
  explicit operator bool() const { return kind() != cbor::kind::missing; }
  bool is_array() const { return kind() == cbor::kind::array; }
  bool is_map() const { return kind() == cbor::kind::map; }

  /// An integer that is not negative.
  std::optional<uint64_t> as_uint() const;
  /// An integer that fits.
  std::optional<int64_t> as_int() const;
  std::optional<std::string_view> as_bytes() const;
  std::optional<std::string_view> as_text() const;
  std::optional<bool> as_bool() const;

  /// A member of a map; `missing` if there is none or this is no map.
  value operator[](int64_t key) const;
  /// Elements or members; 0 for everything else.
  size_t size() const;
  /// Elements of an array in their order; nothing for everything else.
  std::vector<value> items() const;

private:
  const detail::tree* tree_ = nullptr;
  uint32_t node_ = 0;
};

/// A parsed item; owns everything its values point to.
class document {
public:
  document();
  document(document&&) noexcept;
  document& operator=(document&&) noexcept;
  ~document();
  value root() const;
  /// How many bytes the item has.
  size_t size() const;

private:
  friend expected<document> parse_first(std::string_view, const limits&);
  std::unique_ptr<detail::tree> tree_;
};

/// One item and nothing after it. Errors: `malformed` (says what and at which byte),
/// `limit_exceeded`.
expected<document> parse(std::string_view bytes, const limits& = {});

/// The first item of a sequence (RFC 8742). Errors: as `parse`.
expected<document> parse_first(std::string_view bytes, const limits& = {});

/// Writes items one after the other, each in its only encoding. The caller gives as many elements
/// as it has said, keys of a map in their order: 0, 1, 2, … then -1, -2, ….
class writer {
public:
  writer& unsigned_integer(uint64_t x);
  writer& integer(int64_t x);
  writer& bytes(std::string_view x);
  writer& text(std::string_view x); // UTF-8
  writer& boolean(bool x);
  writer& array(size_t elements);
  writer& map(size_t members);

  const std::string& written() const { return out_; }
  std::string take() { return std::move(out_); }

private:
  void head(uint8_t major, uint64_t argument);

  std::string out_;
};

} // namespace rvi::cbor
