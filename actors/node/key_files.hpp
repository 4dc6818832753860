// SPDX-License-Identifier: MPL-2.0
//
// The files of a node's key while it is replaced (PROV_SVC-2): beside KEY lies KEY.next from when
// it is made until it takes over, and KEY.former names the keys before, one uid (32 hexadecimal
// digits) a line. A crash at any moment leaves a node that starts, with one of the two keys.

#pragma once

#include "actors/routing/authorization.hpp"

#include <string>
#include <vector>

namespace rvi {

/// The uids of the keys this node had before; none if there is no such file. Errors: `io_failed`,
/// `config_invalid`.
expected<std::vector<node_uid>> load_former_keys(const std::string& key_path);

/// Replaces the key in this file, and the public key beside it (`.pub` for `.key`) if there is one.
/// The next key has the algorithm of the present one.
key_replacement replaceable_key(const std::string& key_path, const crypto::public_key& present);

} // namespace rvi
