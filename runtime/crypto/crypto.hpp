// SPDX-License-Identifier: MPL-2.0
//
// Hashes, keys and signatures. The only part of the project that uses Botan. Byte strings are
// std::string, as in protobuf.

#pragma once

#include "runtime/error.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace rvi {

/// First 16 bytes of SHA-256 over the node's canonical SubjectPublicKeyInfo.
using node_uid = std::array<uint8_t, 16>;

} // namespace rvi

namespace rvi::crypto {

using digest = std::array<uint8_t, 32>;

template <size_t N>
std::string_view view(const std::array<uint8_t, N>& x) {
  return {reinterpret_cast<const char*>(x.data()), N};
}

digest sha256(std::string_view x);

/// SHA-256 over parts, without joining them first.
class sha256_stream {
public:
  sha256_stream();
  ~sha256_stream();
  sha256_stream& update(std::string_view x);
  sha256_stream& update(uint8_t x);
  digest finish(); // and starts anew

private:
  struct state;
  std::unique_ptr<state> state_;
};

digest hmac_sha256(std::string_view key, std::string_view x);

/// From the system's generator; for keys, salts, tokens and ids.
std::string random_bytes(size_t n);

std::string hex(std::string_view x);             // lowercase
expected<std::string> unhex(std::string_view x); // either case; `malformed`
std::string base64url(std::string_view x);       // no padding
/// Canonical only: no padding, no other alphabet, unused bits zero. Error: `malformed`.
expected<std::string> unbase64url(std::string_view x);
std::string base64(std::string_view x); // with padding
expected<std::string> unbase64(std::string_view x);

/// Takes the same time wherever the two differ.
bool equal_constant_time(std::string_view x, std::string_view y);

/// Codes of RVI-B1 and of `SignatureAlgorithm` in rvi.proto.
enum class algorithm : uint8_t { ed25519 = 1, es256 = 2 };

/// JOSE names: "EdDSA", "ES256".
const char* to_string(algorithm x);

/// A verified-on-construction public key; cheap to copy.
class public_key {
public:
  public_key() = default;
  /// Canonical DER only (RFC 8410; named curve P-256, uncompressed point): the re-encoding must
  /// equal the input. Errors: `malformed`.
  static expected<public_key> from_spki(std::string_view der);
  /// JWK members: OKP/Ed25519 takes `x`; EC/P-256 takes `x` and `y` (base64url, 32 bytes each).
  static expected<public_key>
  from_jwk(std::string_view kty, std::string_view crv, std::string_view x, std::string_view y);

  explicit operator bool() const { return state_ != nullptr; }
  crypto::algorithm algorithm() const;
  const std::string& spki() const; // canonical DER
  const node_uid& uid() const;
  /// `{"crv":…,"kty":…,"x":…}`: members in RFC 7638 order, no white space.
  std::string jwk() const;
  /// Strict. Ed25519: S < L, canonical A and R, neither of small order, cofactorless equation.
  /// ES256: 64 bytes r||s, both in range, low S.
  bool verify(std::string_view message, std::string_view signature) const;

private:
  friend class private_key;
  struct state;
  std::shared_ptr<const state> state_;
};

/// A private key that lives elsewhere: on a token, in another process. What it signs may fail or
/// take time, unlike what a key of this process signs.
class external_key {
public:
  virtual ~external_key() = default;
  /// 64 bytes, r||s for ES256 with any s. From any thread; takes at most about two seconds. Errors:
  /// `busy` if the key is out of reach now and may come back; others say that it will not sign
  /// this.
  virtual expected<std::string> sign(std::string_view message) const = 0;
  /// Where it is, for people: a URI without secrets.
  virtual std::string location() const = 0;
};

class private_key {
public:
  private_key() = default;
  static expected<private_key> generate(crypto::algorithm x);
  /// PKCS#8 PEM, not encrypted. Errors: `malformed`.
  static expected<private_key> from_pem(std::string_view pem);
  /// The private part of `known`, wherever it is.
  static private_key from_external(const public_key& known, std::shared_ptr<const external_key> x);
  explicit operator bool() const { return state_ != nullptr; }
  std::string to_pem() const; // PKCS#8; the key is in this process (asserted)
  const public_key& public_part() const;
  /// Null: the key is in this process.
  const external_key* external() const;
  /// 64 bytes; ES256 is low S. May be called from several threads at once. Never fails if the key
  /// is in this process. Errors: those of `external_key`.
  expected<std::string> sign(std::string_view message) const;
  /// A self-signed X.509 certificate (DER) for TLS: subject CN = `name`, serverAuth and clientAuth,
  /// valid from one day before `now_s` until `now_s` + `days`. Trust never comes from it: the key
  /// is compared with the credential's cnf key. Errors: `malformed` if `name` is not UTF-8; those
  /// of `sign`.
  expected<std::string>
  self_signed_certificate(std::string_view name, uint64_t now_s, uint32_t days) const;

private:
  struct state;
  std::shared_ptr<const state> state_;
};

/// Reads a small secret (at most 16 KiB) under the same rules as a key.
expected<std::string> load_secret_file(const std::string& path);
/// Writes a new file with mode 0600 and syncs it; refuses to replace one.
caf::error save_secret_file(const std::string& path, std::string_view text);

/// True for a key on a token (RFC 7512), which `load_private_key` takes where a path could be.
bool is_token_uri(std::string_view x);

/// Reads a PEM key file, or finds the key that a `pkcs11:` URI names (pkcs11.hpp). Errors:
/// `io_failed`; `file_unsafe` if group or others may read or write it or it belongs to another user
/// (says which chmod or chown mends it); `malformed`; and for a token those of pkcs11.hpp.
expected<private_key> load_private_key(const std::string& path);
/// Writes a new file with mode 0600 and syncs it; refuses to replace one.
caf::error save_private_key(const std::string& path, const private_key& key);

} // namespace rvi::crypto
