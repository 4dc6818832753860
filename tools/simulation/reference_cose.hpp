// SPDX-License-Identifier: MPL-2.0
//
// Credentials and revocation lists in COSE (RFC 9052, RFC 8392) for the reference verifier, read as
// the JWS that would say the same. Labels are those that messages/credential_claims.hpp and
// messages/revocation.hpp write down.

#pragma once

#include "tools/simulation/reference_jose.hpp"

#include <optional>
#include <string_view>

namespace rvi::simulation::reference {

/// Whose labels the claims have.
enum class cose_claims { credential, list };

/// The first COSE_Sign1 of a sequence with its header and claims under the names of a JWS; `used`
/// are its bytes. Nothing if it is not one in its only encoding (RFC 8949 4.2.1).
std::optional<jws> take_cose_apart(std::string_view sequence, size_t& used,
                                   cose_claims what = cose_claims::credential);

} // namespace rvi::simulation::reference
