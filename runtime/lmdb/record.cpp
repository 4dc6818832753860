// SPDX-License-Identifier: MPL-2.0
//
// Checksums and sums of records; all numbers little endian.

#include "runtime/lmdb/record.hpp"

#include "runtime/lmdb/crc32c.hpp"

namespace rvi::lmdb::detail {

namespace {

void write_le(char* to, uint64_t x, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i)
    to[i] = char(x >> 8 * i);
}

uint64_t read_le(std::string_view from) {
  uint64_t result = 0;
  for (size_t i = 0; i < from.size(); ++i)
    result |= uint64_t(uint8_t(from[i])) << 8 * i;
  return result;
}

/// Spreads key and checksum over 64 bits (FNV-1a, finished as in splitmix64).
uint64_t mix(std::string_view key, uint32_t crc) {
  uint64_t x = 0xCBF29CE484222325;
  for (auto c : key)
    x = (x ^ uint8_t(c)) * 0x100000001B3;
  x ^= uint64_t(crc) << 32 | crc;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
  x = (x ^ x >> 27) * 0x94D049BB133111EB;
  return x ^ x >> 31;
}

} // namespace

void table_sums::add(std::string_view key, uint32_t crc) {
  ++count;
  hash += mix(key, crc);
}

void table_sums::remove(std::string_view key, uint32_t crc) {
  --count;
  hash -= mix(key, crc);
}

uint32_t record_crc(std::string_view table, std::string_view key, std::string_view payload) {
  char size[4];
  write_le(size, key.size(), sizeof size); // so that a key's end cannot pass for payload
  auto crc = crc32c(table);
  crc = crc32c({size, sizeof size}, crc);
  return crc32c(payload, crc32c(key, crc));
}

uint32_t stored_crc(std::string_view stored) {
  return stored.size() < crc_size ? 0 : uint32_t(read_le(stored.substr(stored.size() - crc_size)));
}

void store_crc(char* to, uint32_t crc) {
  write_le(to, crc, crc_size);
}

std::optional<std::string_view>
verified(std::string_view table, std::string_view key, std::string_view stored) {
  if (stored.size() < crc_size)
    return std::nullopt;
  auto payload = stored.substr(0, stored.size() - crc_size);
  if (record_crc(table, key, payload) != stored_crc(stored))
    return std::nullopt;
  return payload;
}

std::string encode(const table_sums& x) {
  std::string result(16, '\0');
  write_le(result.data(), x.count, 8);
  write_le(result.data() + 8, x.hash, 8);
  return result;
}

std::optional<table_sums> decode_sums(std::string_view bytes) {
  if (bytes.size() != 16)
    return std::nullopt;
  return table_sums{read_le(bytes.substr(0, 8)), read_le(bytes.substr(8))};
}

std::string to_hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string result;
  result.reserve(bytes.size() * 2);
  for (auto c : bytes) {
    result += digits[uint8_t(c) >> 4];
    result += digits[uint8_t(c) & 15];
  }
  return result;
}

} // namespace rvi::lmdb::detail
