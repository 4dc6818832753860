// SPDX-License-Identifier: MPL-2.0
//
// How a record is stored: the payload and four bytes of CRC32C over table, key and payload. The
// sums of a table are a count and a hash that does not depend on the order of changes.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rvi::lmdb::detail {

constexpr size_t crc_size = 4;
constexpr size_t key_size_max = 511; // LMDB's own
constexpr std::string_view sums_table = "$sums";

struct table_sums {
  uint64_t count = 0;
  uint64_t hash = 0;
  bool operator==(const table_sums&) const = default;

  void add(std::string_view key, uint32_t crc);
  void remove(std::string_view key, uint32_t crc);
};

uint32_t record_crc(std::string_view table, std::string_view key, std::string_view payload);

/// The checksum a stored value ends with; 0 if it is too short to have one.
uint32_t stored_crc(std::string_view stored);

void store_crc(char* to, uint32_t crc);

/// The payload; nothing if the checksum is wrong.
std::optional<std::string_view>
verified(std::string_view table, std::string_view key, std::string_view stored);

std::string encode(const table_sums& x);
std::optional<table_sums> decode_sums(std::string_view bytes);

std::string to_hex(std::string_view bytes);

} // namespace rvi::lmdb::detail
