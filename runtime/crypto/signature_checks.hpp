// SPDX-License-Identifier: MPL-2.0
//
// What strangers cost: a signature check takes more time than everything before it.

#pragma once

#include <cstdint>

namespace rvi::crypto {

/// How many signatures this process has checked.
uint64_t signature_checks();

} // namespace rvi::crypto
