// SPDX-License-Identifier: MPL-2.0
//
// Private keys on a token (smart card, HSM, TPM) that a PKCS#11 module serves. The module is a
// shared library that the user names; it is loaded into this process and trusted like it.

#pragma once

#include "runtime/crypto/crypto.hpp"

#include <map>
#include <string>
#include <string_view>

namespace rvi::crypto {

/// A key by RFC 7512: `pkcs11:token=T;object=K?module-path=/lib/m.so&pin-source=/etc/rvi/pin`.
/// Attributes may be percent-encoded. Of the path `token`, `object`, `id`, `serial`,
/// `manufacturer`, `model`, `slot-id` and `type=private` are known; those left out match anything.
struct token_uri {
  std::map<std::string, std::string> path; // decoded
  std::string module_path;                 // absolute
  std::string pin_file;                    // absolute; empty: the token asks for none

  /// Without the PIN's place.
  std::string shown() const;
};

/// Refuses what would be ignored: unknown attributes, doubled ones, `pin-value` (a PIN in a
/// configuration or on a command line is no secret). Errors: `config_invalid`.
expected<token_uri> parse_token_uri(std::string_view text);

/// Finds the one key that the URI names, with CKA_SIGN: P-256 or, if the module has CKM_EDDSA,
/// Ed25519. Its public key comes from the token. The PIN file is read under the rules of a key file
/// at each login. A token that goes away is logged into again at the next use, at most once in
/// half a second. Errors: `config_invalid` (URI, module), `not_found` (no such token or key),
/// `unauthenticated` (PIN refused; then it is not tried again, as tokens lock themselves),
/// `file_unsafe`, `io_failed`, `busy` (the token does not answer).
expected<private_key> load_token_key(const std::string& uri);

/// Makes a key pair on the token, not extractable, and returns it. Refuses if one of that name is
/// there (`refused`). The URI needs `token` and `object`.
expected<private_key> generate_token_key(const std::string& uri, algorithm kind);

} // namespace rvi::crypto
