// SPDX-License-Identifier: MPL-2.0
//
// What commands read about the organizations that sign.

#pragma once

#include "messages/credential.hpp"
#include "messages/revocation.hpp"

#include <string>
#include <vector>

namespace rvi {

/// An organization's name, such as jlr.com. Errors: `bad_request`, `invalid_name`.
expected<std::string> normal_organization(const std::string& text);

/// The trust anchors in these files together. Errors: `config_invalid`, and of the files.
expected<trust_anchors> read_anchors(const std::vector<std::string>& paths);

/// Follows the signed revocation list in this file: the next one after `former`, or the first.
/// Errors: `unknown_issuer` if it is another organization's, `bad_request` if one before it is
/// missing, and those of the list.
caf::error follow_list(const std::string& path, const std::string& issuer,
                       const trust_anchors& anchors, revocation_set_ptr& former);

/// The error, and the file it is about.
caf::error in_file(const std::string& path, const caf::error& x);

} // namespace rvi
