// SPDX-License-Identifier: MPL-2.0
//
// Topic names and patterns: [type:]organization/path (HLD 6.2), MQTT 3.1 levels. Everything here
// works on normalised text, so that one comparison serves every layer.

#pragma once

#include "runtime/error.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace rvi {

inline constexpr size_t name_bytes_max = 2'048;
inline constexpr size_t name_levels_min = 3;         // organization and two more
inline constexpr size_t node_address_levels_min = 2; // jlr.com/cloud

/// What kind of request a name takes (HLD 6.2): the prefix before the first colon.
enum class name_type { rpc, message, metric };

const char* to_string(name_type x);

/// Checks a name and folds A-Z: levels of [A-Za-z0-9._~@:+-], no empty level, no wildcard (a
/// literal + only as the start of a phone number such as +447412123123), organization an RFC 1035
/// domain, 3 levels or more, 2048 bytes at most. Error: `invalid_name`, saying what is wrong.
expected<std::string> normalise_name(std::string_view x);

/// The same for the address of a node (HLD 6.3): no type, 2 levels or more.
expected<std::string> normalise_node_address(std::string_view x);

/// True if `normalise_name` would return just this text; it need not be copied to see that.
bool is_normal_name(std::string_view x);

/// `normalise_name` for a pattern: `+` may stand for one whole level or the type, `#` for the rest
/// at the end; one level is enough; a trailing `/` means the same as `/#` and is kept as `/#`.
expected<std::string> normalise_pattern(std::string_view x);

/// The type prefix of a normalised name, if it has one.
std::optional<name_type> type_of(std::string_view name);

/// The name without its type prefix.
std::string_view without_type(std::string_view name);

/// True if a name may begin with it: a domain (RFC 1035) in lower case, at most 253 bytes.
bool is_organization(std::string_view x);

/// The organization: the first level.
std::string_view organization_of(std::string_view name_or_pattern);

/// True if `name` is `prefix` or lies below it, on level boundaries; types are ignored.
bool is_below(std::string_view name, std::string_view prefix);

/// Credential semantics (HLD figure 7, "pattern and prefix matched"): the pattern covers the names
/// it matches and all below them; with a trailing `#` only those at least one level below. A
/// pattern without a type covers every type. Reserved levels (provisioning, trust, sota, admin) are
/// covered only by a pattern that names them literally. Wildcards in `name`: never covered.
bool covers(std::string_view pattern, std::string_view name);

/// Subscription semantics (MQTT): the whole name, `#` also matches its parent level.
bool matches(std::string_view pattern, std::string_view name);

/// True if every name the inner pattern covers is covered by the outer one (credential semantics).
bool contains(std::string_view outer, std::string_view inner);

/// True if some level is reserved for administration.
bool is_reserved(std::string_view name);

} // namespace rvi
