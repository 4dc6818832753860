// SPDX-License-Identifier: MPL-2.0
//
// Ways to damage a header before it is signed.

#pragma once

#include "test/unit/simulation/reference_world.hpp"

#include <string>

namespace test {

/// Sets some field to another value, in the canonical encoding where there is one.
void change_meaning(std::string& header, dice& roll);

/// The header with this length-delimited field, where its number belongs.
std::string with_field(std::string header, uint64_t number, const std::string& content);

/// Writes the same or nearly the same fields in other bytes.
void change_encoding(std::string& header, dice& roll);

} // namespace test
