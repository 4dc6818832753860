// SPDX-License-Identifier: MPL-2.0

#include "messages/transaction_id.hpp"

#include <algorithm>
#include <cassert>

namespace rvi {

void append_u32(std::string& out, uint32_t x) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(x >> shift));
}

void append_u64(std::string& out, uint64_t x) {
  append_u32(out, static_cast<uint32_t>(x >> 32));
  append_u32(out, static_cast<uint32_t>(x));
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

std::string to_string(const node_uid& x) {
  return crypto::hex(crypto::view(x));
}

} // namespace rvi
