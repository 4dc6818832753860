// SPDX-License-Identifier: MPL-2.0
//
// Hashes and the tree of RVI-B1 for the reference verifier, as the formulas read (B1 3.1).

#pragma once

#include "tools/simulation/reference_verifier.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace rvi::simulation::reference {

std::string sha256(std::string_view x);
std::string hex(std::string_view x); // lowercase

/// Sizes of B1 3.1 and rvi.proto, before anything is hashed. Empty if they hold, else what is
/// wrong.
std::string shape_of_proof(const raw_request& x);

/// The root that leaf, salt and path lead to. Only for a proof whose shape holds.
std::string root_of(const raw_request& x);

/// What the root's signature covers.
std::string root_signing_input(const raw_request& x, std::string_view root);

} // namespace rvi::simulation::reference
