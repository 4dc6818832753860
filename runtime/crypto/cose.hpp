// SPDX-License-Identifier: MPL-2.0
//
// COSE_Sign1 (RFC 9052, tag 18) with EdDSA and ES256 (RFC 9053) and COSE_Key for their keys: what
// jws.hpp is in JSON, for links on which each byte counts. One encoding only (runtime/cbor), and
// the algorithm comes from the key here, too.

#pragma once

#include "runtime/cbor/cbor.hpp"
#include "runtime/crypto/crypto.hpp"
#include "runtime/crypto/jws.hpp"

#include <string>
#include <string_view>

namespace rvi::crypto {

struct cose : signed_payload {};

/// The first byte of each: no text begins with it.
inline constexpr char cose_tag = '\xd2';

/// Header parameters are alg (1), kid (4) and typ (16, RFC 9596), all protected.
expected<std::string> sign_cose(const private_key& key, std::string_view type,
                                std::string_view key_id, std::string_view payload);

/// Takes the bytes apart. Refuses: over 16 KiB, anything that runtime/cbor refuses, no tag 18, any
/// other protected header parameter and any unprotected one, alg neither EdDSA (-8) nor ES256 (-7),
/// a payload that is elsewhere, a signature that has not 64 bytes. Verifies nothing. Error:
/// `malformed`.
expected<cose> parse_cose(std::string_view bytes);

/// How many bytes the first of a sequence (RFC 8742) has. Errors: as `parse_cose`.
expected<size_t> first_cose_size(std::string_view sequence);

/// Appends COSE_Key (RFC 9052 7, RFC 9053 7): kty, crv and coordinates, nothing else.
void write_cose_key(cbor::writer& out, const public_key& key);

/// Reads what `write_cose_key` writes; other members are refused. Error: `malformed`.
expected<public_key> read_cose_key(cbor::value x);

} // namespace rvi::crypto
