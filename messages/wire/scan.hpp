// SPDX-License-Identifier: MPL-2.0
//
// Walks the fields of protobuf bytes without a schema and without allocating: limits are checked
// before the parser sees a byte.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rvi::wire {

struct field {
  uint32_t number = 0;
  uint32_t wire_type = 0;   // 0 varint, 1 fixed64, 2 bytes, 5 fixed32
  std::string_view content; // of wire type 2
};

class field_scanner {
public:
  explicit field_scanner(std::string_view bytes) : rest_(bytes) {}

  /// The next field; nothing at the end or on an error.
  std::optional<field> next() {
    if (rest_.empty() || failed_)
      return std::nullopt;
    auto tag = varint();
    field result{static_cast<uint32_t>(tag >> 3), static_cast<uint32_t>(tag & 7), {}};
    switch (result.wire_type) {
      case 0:
        varint();
        break;
      case 1:
        skip(8);
        break;
      case 2:
        result.content = take(varint());
        break;
      case 5:
        skip(4);
        break;
      default:
        failed_ = true;
    }
    if (tag > UINT32_MAX || result.number == 0)
      failed_ = true;
    return failed_ ? std::nullopt : std::optional{result};
  }

  bool failed() const { return failed_; }

private:
  uint64_t varint() {
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      result |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0)
        return result;
    }
    failed_ = true;
    return 0;
  }

  std::string_view take(uint64_t n) {
    if (failed_ || n > rest_.size()) {
      failed_ = true;
      return {};
    }
    auto result = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return result;
  }

  void skip(size_t n) { take(n); }

  std::string_view rest_;
  bool failed_ = false;
};

/// True if the fields ascend strictly and each has the wire type of the schema: `wire_types` holds
/// a digit for every field from 1 on. Protobuf itself keeps a known number in another wire type
/// aside and writes it again at the end.
inline bool ascending_and_known(std::string_view bytes, std::string_view wire_types) {
  field_scanner scanner{bytes};
  uint32_t previous = 0;
  while (auto x = scanner.next()) {
    if (x->number <= previous || x->number > wire_types.size()
        || x->wire_type != static_cast<uint32_t>(wire_types[x->number - 1] - '0'))
      return false;
    previous = x->number;
  }
  return !scanner.failed();
}

} // namespace rvi::wire
