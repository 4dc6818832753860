// SPDX-License-Identifier: MPL-2.0
//
// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rvi::json {

/// Whether the whole text is UTF-8.
bool is_utf8(std::string_view text);

/// Bytes of the character at `i`, 1 to 4; 0 if the bytes there are not UTF-8.
size_t utf8_length(std::string_view text, size_t i);

/// The first byte that is not UTF-8; the text's size if there is none.
size_t utf8_valid_up_to(std::string_view text);

/// Appends a code point below U+110000 that is no surrogate.
void append_utf8(std::string& out, uint32_t code_point);

} // namespace rvi::json
