// SPDX-License-Identifier: MPL-2.0
//
// Small files whole: read, and written once without ever replacing one.

#pragma once

#include "runtime/error.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace rvi {

inline constexpr size_t text_file_bytes_max = size_t{16} << 20;

/// The whole file; "-" is standard input. Errors: `io_failed`, `too_large`.
expected<std::string> read_text(const std::string& path);

/// Creates a file; refuses to replace one. Error: `io_failed`.
caf::error write_new_text(const std::string& path, std::string_view text, mode_t mode = 0644);

/// Creates the directory and those above it, new ones with this mode. Error: `io_failed`.
caf::error make_directory(const std::string& path, mode_t mode = 0750);

/// Without white space at the end.
std::string trimmed_end(std::string text);

/// A shell word, quoted if it needs to be.
std::string shell_word(std::string_view text);

} // namespace rvi
