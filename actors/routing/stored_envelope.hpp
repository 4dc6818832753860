// SPDX-License-Identifier: MPL-2.0
//
// An envelope as the store keeps it: the signed bytes unchanged.

#pragma once

#include "messages/envelope.hpp"

#include <string>
#include <string_view>

namespace rvi {

std::string encode_stored(const envelope& x);
/// Error: `malformed`.
expected<envelope_ptr> decode_stored(std::string_view x);

} // namespace rvi
