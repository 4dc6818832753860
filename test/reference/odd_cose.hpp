// SPDX-License-Identifier: MPL-2.0
//
// Credentials in COSE that are nearly right: labels missing, twice or of another type, items in
// another encoding of themselves, headers of others, chains of both forms.

#pragma once

#include "test/reference/federation.hpp"

#include <string>

namespace test {

std::string draw_cose(const federation& w, dice& roll);

/// Any item, also such as nothing of ours holds.
std::string odd_item(dice& roll);

/// A payload, now and then in another encoding of itself.
std::string odd_encoding(std::string payload, dice& roll);

/// COSE_Sign1 signed by this key, with the kid of `named`; mostly as it should be.
std::string odd_cose(const rvi::crypto::private_key& key, const rvi::crypto::private_key& named,
                     const std::string& type, const std::string& payload, dice& roll);

} // namespace test
