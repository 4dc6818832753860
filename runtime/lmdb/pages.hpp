// SPDX-License-Identifier: MPL-2.0
//
// The file's own structure: what LMDB follows without a second look.

#pragma once

#include "runtime/error.hpp"

#include <string>

namespace rvi::lmdb::detail {

/// Reads the pages of a data file by itself, following LMDB's format (version 1, 64 bits, this
/// machine's byte order): both headers, every tree, the list of free pages; each page must be what
/// its place says and must belong to exactly one of them. Says what is wrong first; empty if
/// nothing is. Nobody may write to the file meanwhile. Error: `io_failed`.
expected<std::string> broken_structure(const std::string& file);

} // namespace rvi::lmdb::detail
