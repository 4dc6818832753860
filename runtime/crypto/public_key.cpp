// SPDX-License-Identifier: MPL-2.0
//
// Public keys: decoding, names and verification. A SubjectPublicKeyInfo of our two kinds is a fixed
// prefix and the key's bytes, so only the canonical DER gets past a comparison and no DER parser
// ever sees a peer's bytes.

#include "runtime/crypto/crypto.hpp"
#include "runtime/crypto/key_state.hpp"
#include "runtime/crypto/signature_checks.hpp"
#include "runtime/crypto/strict_signature.hpp"

#include <botan/ec_group.h>
#include <botan/ecdsa.h>
#include <botan/ed25519.h>
#include <botan/pubkey.h>

#include <algorithm>
#include <atomic>
#include <cassert>

namespace rvi::crypto {

namespace {

using namespace std::string_view_literals;

// RFC 8410: SEQUENCE { SEQUENCE { 1.3.101.112 }, BIT STRING }.
constexpr auto ed25519_prefix = "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"sv;
// RFC 5480: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING 04 | x | y }.
constexpr auto p256_prefix = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a"
                             "\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04"sv;
constexpr size_t coordinate_size = 32;

std::atomic<uint64_t> checks = 0;

caf::error refuse(std::string why) {
  return caf::make_error(ec::malformed, std::move(why));
}

const Botan::EC_Group& p256() {
  static const Botan::EC_Group result{"secp256r1"};
  return result;
}

std::unique_ptr<Botan::Public_Key> decode_ed25519(std::string_view x) {
  if (!detail::ed25519_point_allowed(x) || !detail::on_ed25519_curve(x))
    return nullptr;
  return std::make_unique<Botan::Ed25519_PublicKey>(detail::bytes(x), x.size());
}

/// `xy` is both coordinates. Botan throws if they are not below p or not on the curve.
std::unique_ptr<Botan::Public_Key> decode_p256(std::string_view xy) {
  std::vector<uint8_t> encoding{0x04};
  encoding.insert(encoding.end(), xy.begin(), xy.end());
  return std::make_unique<Botan::ECDSA_PublicKey>(p256(), p256().OS2ECP(encoding));
}

} // namespace

uint64_t signature_checks() {
  return checks.load(std::memory_order_relaxed);
}

const char* to_string(algorithm x) {
  return x == algorithm::ed25519 ? "EdDSA" : "ES256";
}

struct public_key::state {
  std::unique_ptr<Botan::Public_Key> key; // null if a scheme stands for Ed25519
  crypto::algorithm algorithm = algorithm::ed25519;
  std::string spki;
  node_uid uid{};
  mutable detail::prepared<Botan::PK_Verifier> verifiers; // they refer to `key`

  std::string_view coordinates() const {
    auto& prefix = algorithm == algorithm::ed25519 ? ed25519_prefix : p256_prefix;
    return std::string_view{spki}.substr(prefix.size());
  }
};

expected<public_key> public_key::from_spki(std::string_view der) try {
  auto result = std::make_shared<state>();
  if (der.size() == ed25519_prefix.size() + coordinate_size && der.starts_with(ed25519_prefix)) {
    result->algorithm = algorithm::ed25519;
    if (!detail::substitute())
      result->key = decode_ed25519(der.substr(ed25519_prefix.size()));
  } else if (der.size() == p256_prefix.size() + 2 * coordinate_size
             && der.starts_with(p256_prefix)) {
    result->algorithm = algorithm::es256;
    result->key = decode_p256(der.substr(p256_prefix.size()));
  } else {
    return refuse("not the canonical SubjectPublicKeyInfo of an Ed25519 or P-256 key");
  }
  if (!result->key && !(result->algorithm == algorithm::ed25519 && detail::substitute()))
    return refuse("not an Ed25519 point, not canonical, or of small order");
  result->spki = der;
  auto hash = sha256(der);
  std::copy_n(hash.begin(), result->uid.size(), result->uid.begin());
  public_key key;
  key.state_ = std::move(result);
  return key;
} catch (const std::exception& x) {
  return refuse(std::string{"not a P-256 point: "} + x.what());
}

expected<public_key> public_key::from_jwk(std::string_view kty, std::string_view crv,
                                          std::string_view x, std::string_view y) {
  auto okp = kty == "OKP" && crv == "Ed25519" && y.empty();
  if (!okp && !(kty == "EC" && crv == "P-256"))
    return refuse("a JWK is OKP with Ed25519 and x, or EC with P-256, x and y");
  std::string spki{okp ? ed25519_prefix : p256_prefix};
  for (auto coordinate : {x, y}) {
    if (okp && coordinate.empty())
      continue; // `y`; an empty `x` leaves the SPKI too short
    auto decoded = unbase64url(coordinate);
    if (!decoded)
      return std::move(decoded.error());
    if (decoded->size() != coordinate_size)
      return refuse("a JWK coordinate has 32 bytes");
    spki += *decoded;
  }
  return from_spki(spki);
}

crypto::algorithm public_key::algorithm() const {
  assert(state_);
  return state_->algorithm;
}

const std::string& public_key::spki() const {
  assert(state_);
  return state_->spki;
}

const node_uid& public_key::uid() const {
  assert(state_);
  return state_->uid;
}

std::string public_key::jwk() const {
  assert(state_);
  auto xy = state_->coordinates();
  auto x = base64url(xy.substr(0, coordinate_size));
  if (state_->algorithm == algorithm::ed25519)
    return R"({"crv":"Ed25519","kty":"OKP","x":")" + x + "\"}";
  auto y = base64url(xy.substr(coordinate_size));
  return R"({"crv":"P-256","kty":"EC","x":")" + x + R"(","y":")" + y + "\"}";
}

bool public_key::verify(std::string_view message, std::string_view signature) const try {
  if (!state_)
    return false;
  if (auto* scheme = detail::substitute(); scheme && state_->algorithm == algorithm::ed25519)
    return scheme->verify(state_->coordinates(), message, signature);
  auto allowed = state_->algorithm == algorithm::ed25519
                   ? detail::ed25519_signature_allowed(signature)
                   : detail::es256_signature_allowed(signature);
  if (!allowed)
    return false;
  checks.fetch_add(1, std::memory_order_relaxed);
  auto verifier = state_->verifiers.take();
  if (!verifier)
    verifier
      = std::make_unique<Botan::PK_Verifier>(*state_->key, detail::padding(state_->algorithm));
  auto valid = verifier->verify_message(detail::bytes(message), message.size(),
                                        detail::bytes(signature), signature.size());
  state_->verifiers.give_back(std::move(verifier));
  return valid;
} catch (const std::exception&) {
  return false; // the verifier is dropped, whatever state it is in
}

} // namespace rvi::crypto
