// SPDX-License-Identifier: MPL-2.0
//
// The checks of numbers and points around Botan's verification. All numbers here are public, so
// nothing needs constant time except `lower_s`, which depends on a signature about to be published.

#include "runtime/crypto/strict_signature.hpp"

#include "runtime/crypto/key_state.hpp"

#include <botan/bigint.h>
#include <botan/numthry.h>

#include <algorithm>
#include <array>
#include <cassert>

namespace rvi::crypto::detail {

namespace {

/// Big-endian, so that comparing bytes compares numbers.
using number = std::array<uint8_t, 32>;

consteval uint8_t digit(char c) {
  return uint8_t(c <= '9' ? c - '0' : c - 'a' + 10);
}

consteval number parse(const char (&hex)[65]) {
  number result{};
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = uint8_t(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
  return result;
}

constexpr number zero{};

// Curve25519: p = 2^255 - 19 and the group order L.
constexpr auto p = parse("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed");
constexpr auto l = parse("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed");

// The y of the eight points of order 1, 2, 4 and 8. Their non-canonical encodings have y >= p or a
// sign bit where x = 0; the first are refused as such, the second because the sign is not looked
// at.
constexpr std::array small_order = {
  zero,
  parse("0000000000000000000000000000000000000000000000000000000000000001"),
  parse("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec"),
  parse("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826"),
  parse("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7"),
};

// P-256: the group order n and (n - 1) / 2.
constexpr auto n = parse("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
constexpr auto n_half = parse("7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8");

number big_endian(std::string_view x) {
  assert(x.size() == 32);
  number result;
  std::copy(x.begin(), x.end(), result.begin());
  return result;
}

number little_endian(std::string_view x) {
  auto result = big_endian(x);
  std::reverse(result.begin(), result.end());
  return result;
}

/// The y coordinate of a point's encoding.
number y_of(std::string_view x) {
  auto result = little_endian(x);
  result[0] &= 0x7f; // the sign of x
  return result;
}

} // namespace

bool ed25519_point_allowed(std::string_view x) {
  auto y = y_of(x);
  return y < p && std::find(small_order.begin(), small_order.end(), y) == small_order.end();
}

bool on_ed25519_curve(std::string_view x) {
  // x^2 = (y^2 - 1) / (d y^2 + 1) with d = -121665 / 121666 has a root iff numerator times
  // denominator has one. Neither is zero: y = 0, 1 and -1 are of small order.
  static const Botan::BigInt prime{p.data(), p.size()};
  auto y = y_of(x);
  Botan::BigInt yy{y.data(), y.size()};
  yy = (yy * yy) % prime;
  auto denominator = (Botan::BigInt{121'666} + (prime - yy) * 121'665) * 121'666;
  return Botan::jacobi((yy - 1) * denominator % prime, prime) == 1;
}

bool ed25519_signature_allowed(std::string_view signature) {
  return signature.size() == 64 && little_endian(signature.substr(32)) < l
         && ed25519_point_allowed(signature.substr(0, 32));
}

bool es256_signature_allowed(std::string_view signature) {
  if (signature.size() != 64)
    return false;
  auto r = big_endian(signature.substr(0, 32));
  auto s = big_endian(signature.substr(32));
  return r > zero && r < n && s > zero && s <= n_half;
}

void lower_s(std::span<uint8_t> signature) {
  assert(signature.size() == 64);
  auto s = signature.subspan(32);
  if (!std::lexicographical_compare(n_half.begin(), n_half.end(), s.begin(), s.end()))
    return;
  int borrow = 0;
  for (size_t i = s.size(); i-- > 0;) {
    int difference = n[i] - s[i] - borrow;
    borrow = difference < 0;
    s[i] = uint8_t(difference);
  }
}

} // namespace rvi::crypto::detail
