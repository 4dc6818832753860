// SPDX-License-Identifier: MPL-2.0
//
// Credentials in COSE (RFC 9052, RFC 8392) for the reference verifier, read as the JWS that would
// say the same. Labels are those that messages/credential_claims.hpp writes down.

#pragma once

#include "tools/simulation/reference_jose.hpp"

#include <optional>
#include <string_view>

namespace rvi::simulation::reference {

/// The first COSE_Sign1 of a sequence with its header and claims under the names of a JWS; `used`
/// are its bytes. Nothing if it is not one in its only encoding (RFC 8949 4.2.1).
std::optional<jws> take_cose_apart(std::string_view sequence, size_t& used);

} // namespace rvi::simulation::reference
