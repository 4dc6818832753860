// SPDX-License-Identifier: MPL-2.0
//
// CRC32C (Castagnoli, RFC 3720 appendix B.4), by the processor's instruction where there is one.

#pragma once

#include <cstdint>
#include <string_view>

namespace rvi::lmdb {

/// Continues from `before`, so that crc32c(b, crc32c(a)) is the checksum of a and b together.
uint32_t crc32c(std::string_view bytes, uint32_t before = 0);

namespace detail {
/// The way without the instruction; for comparison in tests.
uint32_t crc32c_by_table(std::string_view bytes, uint32_t before);
} // namespace detail

} // namespace rvi::lmdb
