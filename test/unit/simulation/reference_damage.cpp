// SPDX-License-Identifier: MPL-2.0

#include "test/unit/simulation/reference_damage.hpp"

#include "rvi.pb.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace rvi;

namespace test {

namespace {

using namespace std::string_literals;

std::string varint(uint64_t x) {
  std::string result;
  for (; x >= 0x80; x >>= 7)
    result += static_cast<char>(x | 0x80);
  return result + static_cast<char>(x);
}

/// The same number in one byte more than it needs.
std::string long_varint(uint64_t x) {
  auto result = varint(x);
  result.back() = static_cast<char>(result.back() | '\x80');
  return result + '\0';
}

uint64_t take_varint(const std::string& x, size_t& at) {
  uint64_t result = 0;
  for (int shift = 0; at < x.size(); shift += 7) {
    auto byte = static_cast<uint8_t>(x[at++]);
    result |= static_cast<uint64_t>(byte & 0x7f) << (shift & 63);
    if (byte < 0x80)
      break;
  }
  return result;
}

/// One field as it stands in a message: tag, then a number or a length and content.
struct chunk {
  uint64_t tag = 0;
  uint64_t number = 0; // or the length
  std::string content;

  bool delimited() const { return (tag & 7) == 2; }
  std::string bytes() const { return varint(tag) + varint(number) + content; }
};

std::vector<chunk> chunks_of(const std::string& x) {
  std::vector<chunk> result;
  for (size_t at = 0; at < x.size();) {
    chunk c;
    c.tag = take_varint(x, at);
    c.number = take_varint(x, at);
    if (c.delimited() && at < x.size()) {
      c.content = x.substr(at, c.number);
      at += std::min<size_t>(c.content.size(), x.size() - at);
    }
    result.push_back(std::move(c));
  }
  return result;
}

std::string joined(const std::vector<chunk>& xs) {
  std::string result;
  for (auto& x : xs)
    result += x.bytes();
  return result;
}

std::string field(uint64_t number, uint64_t wire_type, const std::string& value) {
  return varint(number << 3 | wire_type) + value;
}

/// Contents for on_behalf_of, good and odd.
std::string odd_on_behalf_of(dice& roll) {
  auto user = field(1, 2, varint(16) + std::string(16, 'u'));
  auto role = field(2, 2, varint(5) + "owner");
  auto time = field(3, 0, varint(now_ms));
  auto method = field(4, 2, varint(3) + "pin");
  const std::vector<std::string> choices = {
    user,
    user + role + time + method,
    user + method,
    user + user,
    role + user,
    user + role + field(3, 0, long_varint(9)),
    user + field(3, 0, "\0"s),
    user + field(2, 2, varint(0)),
    user + field(5, 0, "\1"s),
    user + field(2, 2, varint(2) + "\xc3\x28"),
    user + field(2, 2, varint(9) + "short"),
    user.substr(0, 9),
  };
  return roll.pick(choices);
}

/// Puts a field where its number belongs, instead of one that is there.
void set_field(std::string& header, uint64_t number, const std::string& field_bytes) {
  std::string result;
  bool put = false;
  for (auto& x : chunks_of(header)) {
    if (!put && x.tag >> 3 >= number) {
      result += field_bytes;
      put = true;
    }
    if (x.tag >> 3 != number)
      result += x.bytes();
  }
  header = put ? result : result + field_bytes;
}

const std::vector<std::string> odd_texts = {"",
                                            "x",
                                            "text/plain",
                                            "\xc3\xa4",
                                            "\xc3\x28",
                                            "\xed\xa0\x80",
                                            "\xf4\x90\x80\x80",
                                            "\xc0\x80",
                                            "a\0b"s,
                                            std::string(128, 'c'),
                                            std::string(129, 'c'),
                                            "\xf0\x9f\x9a\x97"};
const std::vector<size_t> odd_sizes = {0, 1, 15, 16, 17, 20, 27, 28, 29, 31, 32, 33};
const std::vector<uint64_t> odd_numbers = {0,
                                           1,
                                           2,
                                           3,
                                           4,
                                           5,
                                           7,
                                           8,
                                           127,
                                           128,
                                           now_ms,
                                           UINT32_MAX,
                                           uint64_t{UINT32_MAX} + 1,
                                           uint64_t{1} << 32 | 1,
                                           UINT64_MAX,
                                           uint64_t{1} << 63};

std::string delimited(uint64_t number, const std::string& content) {
  return field(number, 2, varint(content.size()) + content);
}

wire::RequestHeader plain_header(dice& roll) {
  wire::RequestHeader x;
  x.set_version(1);
  x.set_kind(static_cast<wire::Kind>(1 + roll.below(4)));
  auto reply = x.kind() == wire::REPLY || x.kind() == wire::ERROR;
  x.set_transaction_id(std::string(28, 't'));
  x.set_source("jlr.com/vin/1234/services/player");
  x.set_target(x.kind() == wire::RPC       ? "rpc:jlr.com/cloud/media_server/x"
               : x.kind() == wire::MESSAGE ? "message:jlr.com/cloud/log"
                                           : "jlr.com/vin/1234/services/player");
  x.set_created_ms(now_ms);
  x.set_expires_ms(now_ms + 1 + roll.below(100));
  x.set_credential_hash(std::string(32, 'c'));
  x.set_arguments_sha256(std::string(32, 'a'));
  x.set_arguments_length(roll.below(3));
  x.set_priority(static_cast<uint32_t>(roll.below(8)));
  if (reply)
    x.set_request_hash(std::string(32, 'r'));
  return x;
}

void damage_proof(reference::raw_request& x, dice& roll, uint64_t how) {
  switch (how) {
    case 0:
      flip(x.salt, roll);
      break;
    case 1:
      x.salt.resize(roll.pick(odd_sizes), 's');
      break;
    case 2:
      x.leaf_index = static_cast<uint32_t>(roll.below(x.batch_size + 2));
      break;
    case 3:
      x.batch_size = static_cast<uint32_t>(roll.below(4) == 0 ? roll.below(1'030)
                                                              : x.batch_size + roll.below(3) - 1);
      break;
    case 4:
      x.path.push_back(roll.bytes(32));
      break;
    default:
      if (x.path.empty())
        return;
      if (auto& hash = x.path[roll.below(x.path.size())]; how == 5)
        flip(hash, roll);
      else if (how == 6)
        hash.resize(roll.pick(odd_sizes), 'p');
      else if (how == 7)
        x.path.pop_back();
      else
        std::swap(hash, x.path.front());
  }
}

} // namespace

void flip(std::string& x, dice& roll) {
  if (x.empty())
    return;
  auto bit = roll.below(x.size() * 8);
  x[bit / 8] = static_cast<char>(x[bit / 8] ^ 1 << bit % 8);
}

void damage_text(std::string& x, dice& roll) {
  const std::vector<std::string> pieces
    = {"/", "/",        ":",   "+",    "#",     "$",  ".",   "-",  "A",  "z", "1", "_", "~", "@",
       " ", "\xc3\xa4", "\0"s, "rpc:", "admin", "//", "+12", "/#", "/+", "%", "*", "[", "`", "{"};
  auto at = roll.below(x.size() + 1);
  switch (roll.below(4)) {
    case 0:
      x.erase(at, 1 + roll.below(3));
      break;
    case 1:
      if (at < x.size())
        x[at] = static_cast<char>(roll.below(256));
      break;
    default:
      x.insert(at, roll.pick(pieces));
  }
}

std::string with_field(std::string header, uint64_t number, const std::string& content) {
  set_field(header, number, delimited(number, content));
  return header;
}

void change_meaning(std::string& header, dice& roll) {
  auto number = 1 + roll.below(21);
  switch (number) {
    case 1:
    case 5:
    case 6:
    case 9:
    case 11:
    case 13:
    case 16:
    case 17:
    case 18: {
      auto value = roll.pick(odd_numbers);
      set_field(header, number, value == 0 ? "" : field(number, 0, varint(value)));
      break;
    }
    case 3:
    case 4: {
      wire::RequestHeader x;
      if (!x.ParseFromString(header))
        return;
      auto text = number == 3 ? x.source() : x.target();
      damage_text(text, roll);
      set_field(header, number, text.empty() ? "" : delimited(number, text));
      break;
    }
    case 10:
    case 12:
    case 14: {
      auto& text = roll.pick(odd_texts);
      set_field(header, number, text.empty() ? "" : delimited(number, text));
      break;
    }
    case 15:
      set_field(header, number, delimited(number, odd_on_behalf_of(roll)));
      break;
    default: {
      auto size = roll.pick(odd_sizes);
      set_field(header, number, size == 0 ? "" : delimited(number, roll.bytes(size)));
    }
  }
}

void change_encoding(std::string& header, dice& roll) {
  auto xs = chunks_of(header);
  if (xs.empty())
    return;
  auto& x = xs[roll.below(xs.size())];
  auto at = static_cast<size_t>(&x - xs.data());
  switch (roll.below(12)) {
    case 0:
      std::swap(x, xs[roll.below(xs.size())]);
      break;
    case 1:
      xs.insert(xs.begin() + static_cast<long>(at), chunk{x});
      break;
    case 2:
      xs.erase(xs.begin() + static_cast<long>(at));
      break;
    case 3: // an unknown field, or a known one at the wrong place
      header += field(1 + roll.below(40), 0, varint(1 + roll.below(9)));
      return;
    case 4: // an explicit default
      set_field(header, 1 + roll.below(21), field(1 + roll.below(21), roll.below(3), "\0"s));
      return;
    case 5:
      set_field(header, x.tag >> 3, varint(x.tag) + long_varint(x.number) + x.content);
      return;
    case 6:
      set_field(header, x.tag >> 3, long_varint(x.tag) + varint(x.number) + x.content);
      return;
    case 7:
      x.tag = x.tag >> 3 << 3 | roll.below(8);
      break;
    case 8:
      header.resize(roll.below(header.size() + 1));
      return;
    case 9: // a number of ten bytes or more
      set_field(header, x.tag >> 3,
                varint(x.tag) + std::string(9 + roll.below(3), '\xff') + roll.pick(odd_texts));
      return;
    case 10:
      x.number += roll.below(3) - 1;
      break;
    default:
      flip(header, roll);
      return;
  }
  header = joined(xs);
}

std::string odd_header(dice& roll, uint64_t meanings, uint64_t encodings) {
  auto result = plain_header(roll).SerializeAsString();
  for (; meanings > 0; --meanings)
    change_meaning(result, roll);
  for (; encodings > 0; --encodings)
    change_encoding(result, roll);
  return result;
}

void damage(reference::raw_request& x, dice& roll, const world& w) {
  switch (roll.below(18)) {
    case 0:
      flip(x.header, roll);
      break;
    case 1:
      change_encoding(x.header, roll);
      break;
    case 2:
      flip(x.arguments, roll);
      break;
    case 3:
      x.arguments += 'x';
      break;
    case 4:
      flip(x.batch_id, roll);
      break;
    case 5:
      x.batch_id.resize(roll.pick(odd_sizes), 'b');
      break;
    case 6:
      x.signed_at_ms += roll.below(3) - 1;
      break;
    case 7:
      x.algorithm = static_cast<int>(roll.below(5));
      break;
    case 8:
      flip(x.signature, roll);
      break;
    case 9:
      x.signature.resize(62 + roll.below(4), 's');
      break;
    case 10:
      flip(x.credential_hash, roll);
      break;
    case 11:
      x.credential_hash = roll.pick(w.senders).credential->hash;
      break;
    default:
      damage_proof(x, roll, roll.below(9));
  }
}

} // namespace test
