// SPDX-License-Identifier: MPL-2.0
//
// Names and patterns for the reference verifier, by splitting them into their parts (decisions 3).

#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rvi::simulation::reference {

/// `[type:]organization/path`, taken apart. A colon inside a level is no type.
struct name_parts {
  std::string type; // empty: none
  std::vector<std::string> levels;
};

name_parts parts_of(std::string_view name);

std::string without_type(std::string_view name);

/// RFC 1035 2.3.1, at most 253 bytes, labels at most 63.
bool is_domain(std::string_view x);

/// `name` is `prefix` or below it on level boundaries, whatever the types.
bool is_below(std::string_view name, std::string_view prefix);

/// Whether a pattern covers all that another covers, tried with names that stand for all of them.
bool contains(std::string_view outer, std::string_view inner);

bool has_reserved_level(std::string_view name);

bool is_utf8(std::string_view x);

} // namespace rvi::simulation::reference
