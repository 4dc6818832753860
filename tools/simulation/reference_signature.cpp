// SPDX-License-Identifier: MPL-2.0
//
// Signatures by Botan, with the strictness the documents ask for on top (B1 3.2).

#include "tools/simulation/reference_jose.hpp"
#include "tools/simulation/reference_verifier.hpp"

#include <botan/bigint.h>
#include <botan/ec_group.h>
#include <botan/ecdsa.h>
#include <botan/ed25519.h>
#include <botan/numthry.h>
#include <botan/pubkey.h>

#include <exception>
#include <string>

namespace rvi::simulation::reference {

namespace {

using namespace std::string_literals;

// SubjectPublicKeyInfo of RFC 8410 and of RFC 5480 (named curve P-256, uncompressed): only these
// encodings exist (decisions 2).
const auto ed25519_prefix = "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"s;
const auto p256_prefix = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48"
                         "\xce\x3d\x03\x01\x07\x03\x42\x00\x04"s;

Botan::BigInt big_endian(std::string_view x) {
  return {reinterpret_cast<const uint8_t*>(x.data()), x.size()};
}

/// RFC 8032 writes integers little-endian.
Botan::BigInt little_endian(std::string_view x) {
  std::string reversed{x.rbegin(), x.rend()};
  return big_endian(reversed);
}

const Botan::BigInt& field_prime() {
  static const auto p = (Botan::BigInt{1} << 255) - 19;
  return p;
}

/// A y that is below p and not of a point of small order. The eight points of small
/// order have y in {0, 1, -1, c, -c}, whatever the sign bit.
bool has_sound_y(const Botan::BigInt& y) {
  static const Botan::BigInt order_8{
    "0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7"};
  auto& p = field_prime();
  return y < p && y != 0 && y != 1 && y != p - 1 && y != order_8 && y != p - order_8;
}

/// The sign bit taken off.
Botan::BigInt y_of(std::string_view encoded) {
  auto y = little_endian(encoded);
  y.clear_bit(255);
  return y;
}

bool check_ed25519(std::string_view point, std::string_view message, std::string_view signature) {
  static const auto order
    = (Botan::BigInt{1} << 252) + Botan::BigInt{"27742317777372353535851937790883648493"};
  auto r = signature.substr(0, 32);
  if (!has_sound_y(y_of(point)) || !has_sound_y(y_of(r))
      || little_endian(signature.substr(32)) >= order)
    return false;
  // Botan computes R from S and A and compares bytes: the equation without cofactor.
  Botan::Ed25519_PublicKey key{reinterpret_cast<const uint8_t*>(point.data()), point.size()};
  Botan::PK_Verifier verifier{key, "Pure"};
  return verifier.verify_message(reinterpret_cast<const uint8_t*>(message.data()), message.size(),
                                 reinterpret_cast<const uint8_t*>(signature.data()),
                                 signature.size());
}

bool check_es256(std::string_view point, std::string_view message, std::string_view signature) {
  Botan::EC_Group group{"secp256r1"};
  auto x = big_endian(point.substr(0, 32));
  auto y = big_endian(point.substr(32));
  if (x >= group.get_p() || y >= group.get_p())
    return false;
  auto r = big_endian(signature.substr(0, 32));
  auto s = big_endian(signature.substr(32));
  if (r == 0 || r >= group.get_order() || s == 0 || s > group.get_order() / 2)
    return false;
  auto public_point = group.point(x, y);
  if (!public_point.on_the_curve())
    return false;
  Botan::ECDSA_PublicKey key{group, public_point};
  Botan::PK_Verifier verifier{key, "EMSA1(SHA-256)"};
  return verifier.verify_message(reinterpret_cast<const uint8_t*>(message.data()), message.size(),
                                 reinterpret_cast<const uint8_t*>(signature.data()),
                                 signature.size());
}

} // namespace

bool is_sound_ed25519(std::string_view encoded) {
  // RFC 8032 5.1.3: x^2 = (y^2 - 1) / (d y^2 + 1) has a root. A quotient is a square if the product
  // is.
  static const Botan::BigInt d{
    "0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3"};
  auto& p = field_prime();
  auto y = y_of(encoded);
  if (!has_sound_y(y))
    return false;
  auto square = y * y % p;
  auto product = (square + p - 1) * (d * square + 1) % p;
  return Botan::jacobi(product, p) == 1;
}

bool is_sound_p256(std::string_view x, std::string_view y) {
  static const Botan::EC_Group group{"secp256r1"};
  auto& p = group.get_p();
  auto a = big_endian(x);
  auto b = big_endian(y);
  return a < p && b < p && b * b % p == ((a * a % p) * a + group.get_a() * a + group.get_b()) % p;
}

bool check_signature(const std::string& spki_der, std::string_view message,
                     std::string_view signature) {
  if (signature.size() != 64)
    return false;
  std::string_view key = spki_der;
  try {
    if (key.starts_with(ed25519_prefix) && key.size() == ed25519_prefix.size() + 32)
      return check_ed25519(key.substr(ed25519_prefix.size()), message, signature);
    if (key.starts_with(p256_prefix) && key.size() == p256_prefix.size() + 64)
      return check_es256(key.substr(p256_prefix.size()), message, signature);
  } catch (const std::exception&) {
    return false; // no such point
  }
  return false;
}

} // namespace rvi::simulation::reference
