// SPDX-License-Identifier: MPL-2.0
//
// The RVI-wide name of one request: the node that made it, that node's epoch, and a number
// (HLD 3.2.4, 8.6). Unique for ever: the epoch rises durably before the first id after a start.

#pragma once

#include "runtime/crypto/crypto.hpp"

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace rvi {

struct transaction_id {
  node_uid origin{};
  uint32_t epoch = 0;
  uint64_t seq = 0;

  auto operator<=>(const transaction_id&) const = default;
};

inline constexpr size_t transaction_id_bytes = 28;

/// node_uid | epoch | seq, big-endian: 28 bytes.
std::string to_bytes(const transaction_id& x);
/// Error: `malformed`.
expected<transaction_id> transaction_id_from_bytes(std::string_view x);

/// 56 lowercase hex digits.
std::string to_string(const transaction_id& x);
/// Error: `bad_request`.
expected<transaction_id> parse_transaction_id(std::string_view x);

std::string to_string(const node_uid& x);
/// 32 hexadecimal digits. Error: `bad_request`.
expected<node_uid> parse_node_uid(std::string_view x);

/// Appends and reads big-endian integers, the order LMDB sorts by.
void append_u32(std::string& out, uint32_t x);
void append_u64(std::string& out, uint64_t x);
uint32_t read_u32(std::string_view x);
uint64_t read_u64(std::string_view x);

} // namespace rvi
