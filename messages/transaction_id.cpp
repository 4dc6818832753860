// SPDX-License-Identifier: MPL-2.0

#include "messages/transaction_id.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace rvi {

namespace {

/// Each key of the store is made of these.
template <class T>
void append_big_endian(std::string& out, T x) {
  std::array<char, sizeof x> bytes;
  for (auto i = bytes.rbegin(); i != bytes.rend(); ++i, x = static_cast<T>(x >> 8))
    *i = static_cast<char>(x);
  out.append(bytes.data(), bytes.size());
}

} // namespace

void append_u32(std::string& out, uint32_t x) {
  append_big_endian(out, x);
}

void append_u64(std::string& out, uint64_t x) {
  append_big_endian(out, x);
}

uint32_t read_u32(std::string_view x) {
  assert(x.size() >= 4);
  uint32_t result = 0;
  for (size_t i = 0; i < 4; ++i)
    result = result << 8 | static_cast<uint8_t>(x[i]);
  return result;
}

uint64_t read_u64(std::string_view x) {
  assert(x.size() >= 8);
  return static_cast<uint64_t>(read_u32(x)) << 32 | read_u32(x.substr(4));
}

std::string to_bytes(const transaction_id& x) {
  std::string result;
  result.reserve(transaction_id_bytes);
  result += crypto::view(x.origin);
  append_u32(result, x.epoch);
  append_u64(result, x.seq);
  return result;
}

expected<transaction_id> transaction_id_from_bytes(std::string_view x) {
  if (x.size() != transaction_id_bytes)
    return caf::make_error(ec::malformed, std::string{"a transaction id has 28 bytes"});
  transaction_id result;
  std::copy_n(x.begin(), result.origin.size(), reinterpret_cast<char*>(result.origin.data()));
  result.epoch = read_u32(x.substr(16));
  result.seq = read_u64(x.substr(20));
  return result;
}

std::string to_string(const transaction_id& x) {
  return crypto::hex(to_bytes(x));
}

expected<transaction_id> parse_transaction_id(std::string_view x) {
  auto bytes = crypto::unhex(x);
  if (!bytes || bytes->size() != transaction_id_bytes)
    return caf::make_error(ec::bad_request,
                           std::string{"a transaction id is 56 hexadecimal digits"});
  return transaction_id_from_bytes(*bytes);
}

expected<node_uid> parse_node_uid(std::string_view x) {
  node_uid result;
  auto bytes = crypto::unhex(x);
  if (!bytes || bytes->size() != result.size())
    return caf::make_error(ec::bad_request,
                           std::string{"the uid of a node is 32 hexadecimal digits"});
  std::copy(bytes->begin(), bytes->end(), result.begin());
  return result;
}

std::string to_string(const node_uid& x) {
  return crypto::hex(crypto::view(x));
}

} // namespace rvi
