// SPDX-License-Identifier: MPL-2.0
//
// Credentials in COSE that are nearly right: labels missing, twice or of another type, items in
// another encoding of themselves, headers of others, chains of both forms.

#pragma once

#include "test/reference/federation.hpp"

#include <string>

namespace test {

std::string draw_cose(const federation& w, dice& roll);

} // namespace test
