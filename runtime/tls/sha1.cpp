// SPDX-License-Identifier: MPL-2.0
//
// SHA-1 by OpenSSL's EVP interface.

#include "runtime/tls/sha1.hpp"

#include <cassert>
#include <openssl/evp.h>

namespace rvi::tls {

std::string sha1(std::string_view x) {
  std::string result(20, '\0');
  unsigned length = 0;
  [[maybe_unused]] auto done
    = EVP_Digest(x.data(), x.size(), reinterpret_cast<unsigned char*>(result.data()), &length,
                 EVP_sha1(), nullptr);
  assert(done == 1 && length == 20);
  return result;
}

} // namespace rvi::tls
