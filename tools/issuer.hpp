// SPDX-License-Identifier: MPL-2.0
//
// What commands read about the organizations that sign.

#pragma once

#include "messages/credential.hpp"

#include <string>
#include <vector>

namespace rvi {

/// An organization's name, such as jlr.com. Errors: `bad_request`, `invalid_name`.
expected<std::string> normal_organization(const std::string& text);

/// The trust anchors in these files together. Errors: `config_invalid`, and of the files.
expected<trust_anchors> read_anchors(const std::vector<std::string>& paths);

} // namespace rvi
