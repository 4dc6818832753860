// SPDX-License-Identifier: MPL-2.0
//
// A private key that is not in this process, for OpenSSL: a small provider in this process, with a
// library context of its own beside the one in which everything else happens. Private to this
// folder, because it shows OpenSSL.

#pragma once

#include "runtime/crypto/crypto.hpp"

#include <openssl/evp.h>
#include <openssl/types.h>

namespace rvi::tls {

/// OpenSSL's default provider, and ours behind it. Null if OpenSSL refuses; made once.
OSSL_LIB_CTX* external_key_library();

/// The key as OpenSSL wants it; it signs by `key.sign`, with the whole message. Null on failure.
EVP_PKEY* make_external_key(const crypto::private_key& key);

/// Why the last signature in this thread was not drawn, and forgets it. None: it was drawn, or
/// never asked for.
caf::error take_signing_failure();

} // namespace rvi::tls
