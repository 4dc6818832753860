// SPDX-License-Identifier: MPL-2.0

#include "test/reference/odd_text.hpp"

#include "test/unit/crypto/speccheck.hpp"

#include <algorithm>

using namespace rvi;

namespace test {

namespace {

using namespace std::string_literals;

const std::vector<std::string> odd_values = {
  "null",
  "true",
  "false",
  "0",
  "1",
  "2",
  "-1",
  "\"\"",
  "\"x\"",
  "[]",
  "{}",
  "[1]",
  "[[]]",
  "tru",
  "[1,]",
  "+1",
  "1.",
  ".5",
  "-0",
  "0.0",
  "1E5",
  "'a'",
  "\"\\x\"",
  "\"\\ud83d\"",
  "\"\xff\"",
  "\"a\nb\"",
  "\"a\\u0000b\"",
  "[[[[[[[1]]]]]]]",
  "[[[[[[1]]]]]]",
  "{\"a\":1,\"a\":1}",
  "01",
  "\"jlr.com\"",
  "\"other.com\"",
  "[\"trust\"]",
  "[\"cred\",\"cred\"]",
  "",
};

const std::vector<std::string> more_names
  = {"adm", "relay", "extra", "del",    "par", "usr", "iss", "crit", "jku", "x5u",
     "jwk", "x5c",   "b64",   "header", "typ", "cty", "zip", "ver",  "d",   "former"};

/// Numbers next to this one, the same in other writing, and the edges of what doubles and 64 bits
/// can hold.
std::string odd_number(const std::string& x, dice& roll) {
  const std::vector<std::string> edges
    = {"9007199254740992",     "9007199254740993",     "9223372036854775807",
       "9223372036854775808",  "18446744073709551615", "18446744073709551616",
       "4294967295",           "4294967296",           "1e400",
       "184467440737095516150"};
  auto value = x.size() < 19 ? std::stoull(x) : 0;
  switch (roll.below(12)) {
    case 0:
      return "-" + x;
    case 1:
      return x + ".0";
    case 2:
      return x + "e0";
    case 3:
      return "0" + x;
    case 4:
      return quoted(x);
    case 5:
      return x + ".5";
    case 6:
      return roll.pick(edges);
    case 7:
      return std::to_string(value + 1 + roll.below(2));
    case 8:
      return std::to_string(value - std::min<uint64_t>(value, 1 + roll.below(2)));
    case 9:
      return x + "E+0";
    default:
      return "0";
  }
}

std::string escaped_first(const std::string& x) {
  constexpr auto digits = "0123456789abcdef";
  auto c = static_cast<uint8_t>(x.at(0));
  return "\\u00"s + digits[c >> 4] + digits[c & 15] + x.substr(1);
}

/// A string with its quotes.
std::string odd_string(const std::string& x, dice& roll) {
  auto inner = x.substr(1, x.size() - 2);
  switch (roll.below(7)) {
    case 0:
      return inner.empty() ? "\" \"" : quoted(escaped_first(inner)); // the same
    case 1:
      for (auto& c : inner)
        c = c >= 'a' && c <= 'z' && c != 'u' ? static_cast<char>(c - 32) : c;
      return quoted(inner);
    case 2:
      return quoted(inner + " ");
    case 3:
      return quoted(inner.substr(0, inner.size() - std::min<size_t>(1, inner.size())));
    case 4:
      return "[" + x + "]";
    default:
      damage_text(inner, roll);
      return quoted(inner);
  }
}

std::string space(dice& roll) {
  return roll.below(80) == 0 ? std::vector<std::string>{" ", "\n", "\t", "\r"}[roll.below(4)] : "";
}

/// Of numbers of 32 bytes, big-endian.
std::string sum(const std::string& x, const std::string& y) {
  std::string result(32, '\0');
  int carry = 0;
  for (size_t i = 32; i-- > 0;) {
    carry += static_cast<uint8_t>(x[i]) + static_cast<uint8_t>(y[i]);
    result[i] = static_cast<char>(carry & 0xff);
    carry >>= 8;
  }
  return result;
}

std::string difference(const std::string& x, std::string y) {
  for (auto& c : y)
    c = static_cast<char>(~c);
  return sum(sum(x, y), std::string(31, '\0') + '\1');
}

std::string reversed(std::string x) {
  std::reverse(x.begin(), x.end());
  return x;
}

/// S + L of Ed25519 (little-endian), n - S of P-256.
std::string twin(const std::string& signature, crypto::algorithm algorithm) {
  auto s = signature.substr(32);
  if (algorithm == crypto::algorithm::es256)
    return signature.substr(0, 32)
           + difference(
             *crypto::unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"), s);
  return signature.substr(0, 32)
         + reversed(
           sum(reversed(s),
               *crypto::unhex("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed")));
}

/// Of the twelve cases and beyond: small order, not canonical, mixed order, no point at all.
std::string odd_point_bytes(dice& roll) {
  static const std::vector<std::string> others = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0200000000000000000000000000000000000000000000000000000000000000",
    "0300000000000000000000000000000000000000000000000000000000000000",
    "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  };
  auto at = roll.below(others.size() + 24);
  if (at < 24) {
    auto& x = crypto::test::speccheck[at / 2];
    return crypto::unhex(at % 2 == 0 ? x.key : x.signature)->substr(0, 32);
  }
  return *crypto::unhex(others[at - 24]);
}

} // namespace

std::string quoted(const std::string& x) {
  return "\"" + x + "\"";
}

std::string list_of(const std::vector<std::string>& values) {
  std::string result = "[";
  for (size_t i = 0; i < values.size(); ++i)
    result += (i > 0 ? "," : "") + values[i];
  return result + "]";
}

std::string text_of(const members& xs, dice& roll) {
  std::string result = "{";
  for (size_t i = 0; i < xs.size(); ++i)
    result
      += (i > 0 ? "," : "") + space(roll) + quoted(xs[i].first) + ":" + space(roll) + xs[i].second;
  return result + space(roll) + "}";
}

std::string odd_value(const std::string& value, dice& roll) {
  if (value.empty() || roll.below(4) == 0)
    return roll.pick(odd_values);
  if (value[0] >= '0' && value[0] <= '9')
    return odd_number(value, roll);
  if (value[0] == '"')
    return odd_string(value, roll);
  if (value[0] == '[' && value.size() > 2 && roll.below(2) == 0)
    return value.substr(0, value.size() - 1) + "," + roll.pick(odd_values) + "]";
  return roll.below(2) == 0 ? "[" + value + "]" : roll.pick(odd_values);
}

void make_odd(members& xs, dice& roll) {
  if (xs.empty())
    return;
  auto at = roll.below(xs.size());
  auto x = xs[at];
  switch (roll.below(9)) {
    case 0:
      xs.erase(xs.begin() + static_cast<long>(at));
      break;
    case 1:
      xs.emplace_back(roll.pick(more_names), roll.pick(odd_values));
      break;
    case 2: // twice
      xs.insert(xs.begin() + static_cast<long>(roll.below(xs.size() + 1)), x);
      break;
    case 3: // twice, in another writing
      xs.emplace_back(escaped_first(x.first), x.second);
      break;
    case 4:
      xs[at].first = escaped_first(x.first);
      break;
    case 5:
      std::swap(xs[at], xs[roll.below(xs.size())]);
      break;
    case 6:
      xs[at].first[0] = static_cast<char>(xs[at].first[0] ^ 0x20);
      break;
    default:
      xs[at].second = odd_value(x.second, roll);
  }
}

void damage_symbols(std::string& x, dice& roll) {
  if (x.empty())
    return;
  auto at = roll.below(x.size());
  switch (roll.below(7)) {
    case 0:
      x[at] = "AZaz09-_.=+/ \n~{"[roll.below(16)];
      break;
    case 1:
      x.erase(at, 1);
      break;
    case 2:
      x.insert(at, 1, "A.= \n~"[roll.below(6)]);
      break;
    case 3:
      x.resize(at);
      break;
    case 4:
      x += "\n =~A."[roll.below(6)];
      break;
    case 5:
      flip(x, roll);
      break;
    default: // the unused bits of the last symbol
      x.back() = "ABCDEFGHQRgw"[roll.below(12)];
  }
}

void make_signature_odd(std::string& signature, crypto::algorithm algorithm, dice& roll) {
  switch (roll.below(7)) {
    case 0:
    case 1:
      signature = twin(signature, algorithm);
      break;
    case 2:
      signature.resize(62 + roll.below(5), 's');
      break;
    case 3: {
      auto& x = crypto::test::speccheck[roll.below(12)];
      signature = *crypto::unhex(x.signature);
      break;
    }
    case 4:
      signature.replace(0, 32, odd_point_bytes(roll));
      break;
    case 5:
      signature.assign(64, '\0');
      break;
    default:
      flip(signature, roll);
  }
}

std::string odd_point(dice& roll) {
  return crypto::base64url(odd_point_bytes(roll));
}

std::pair<std::string, std::string>
odd_signature(const signing& by, const std::string& payload_symbols, dice& roll) {
  auto& named = by.named ? *by.named : *by.key;
  auto algorithm = by.key->public_part().algorithm();
  members header = {{"alg", quoted(crypto::to_string(algorithm))},
                    {"kid", quoted(crypto::hex(crypto::view(named.public_part().uid())))},
                    {"typ", quoted(by.type)}};
  if (roll.below(16) == 0)
    make_odd(header, roll);
  if (roll.below(40) == 0)
    header[0].second = quoted(
      std::vector<std::string>{"ES256", "EdDSA", "none", "HS256", "Ed25519"}[roll.below(5)]);
  if (roll.below(60) == 0)
    header.back().second = quoted(std::vector<std::string>{"rvi-cred+jwt", "rvi-crl+jwt",
                                                           "rvi-bundle+jwt", "JWT"}[roll.below(4)]);
  auto symbols = crypto::base64url(text_of(header, roll) + space(roll));
  auto signature = *by.key->sign(symbols + "." + payload_symbols);
  if (roll.below(16) == 0)
    make_signature_odd(signature, algorithm, roll);
  return {symbols, crypto::base64url(signature)};
}

std::string odd_jws(const signing& by, const std::string& payload, dice& roll) {
  auto symbols = crypto::base64url(payload);
  if (roll.below(60) == 0)
    damage_symbols(symbols, roll);
  auto [header, signature] = odd_signature(by, symbols, roll);
  return header + "." + symbols + "." + signature;
}

} // namespace test
