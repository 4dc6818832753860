// SPDX-License-Identifier: MPL-2.0
//
// What a node says of the key that is to replace its own (PROV_SVC-2): JWS compact, typ
// `rvi-key+jwt`, signed by the present key, with a signature of the next one inside. Whoever issues
// a credential for the next key sees by it that one node holds both.

#pragma once

#include "runtime/crypto/jws.hpp"
#include "runtime/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace rvi {

struct key_pair_claims {
  std::string node_address;
  uint64_t issued_s = 0;
  crypto::public_key present; // key; sub is its uid
  crypto::public_key next;
};

/// What the present key signs, wherever it is. Errors: those of the next key.
expected<std::string>
key_pair_signing_input(const std::string& node_address, uint64_t now_s,
                       const crypto::public_key& present, const crypto::private_key& next);

/// The text, once that is signed.
std::string signed_key_pair(std::string_view signing_input, std::string_view signature);

/// Takes the text apart and checks both signatures. Error: `malformed`.
expected<key_pair_claims> parse_key_pair(std::string_view text);

} // namespace rvi
