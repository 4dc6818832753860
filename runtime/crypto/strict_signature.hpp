// SPDX-License-Identifier: MPL-2.0
//
// Internal to runtime/crypto: what a signature or public key must fulfil before Botan sees it, so
// that every node gives one answer for every bit pattern (promises-and-security 3.2).

#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace rvi::crypto::detail {

/// Coordinate y below p and the point not of small order, whatever the sign bit. `x` is 32 bytes.
bool ed25519_point_allowed(std::string_view x);

/// The encoding decodes to a point of the curve. `x` is 32 bytes that passed the check above.
bool on_ed25519_curve(std::string_view x);

/// 64 bytes, R allowed, S below the group order.
bool ed25519_signature_allowed(std::string_view signature);

/// 64 bytes, 0 < r < n, 0 < s <= n/2 (P-256).
bool es256_signature_allowed(std::string_view signature);

/// Replaces a high s by n - s; the signature stays valid. `signature` is 64 bytes r||s.
void lower_s(std::span<uint8_t> signature);

} // namespace rvi::crypto::detail
