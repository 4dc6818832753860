// SPDX-License-Identifier: MPL-2.0
//
// Keys and byte strings that several crypto tests use.

#pragma once

#include "runtime/crypto/crypto.hpp"

#include <string>
#include <string_view>

namespace rvi::crypto::test {

inline std::string bytes(std::string_view hex) {
  auto result = unhex(hex);
  return result ? *result : std::string{"not hex"};
}

/// Made with openssl 3.0.
inline constexpr auto ed25519_pem
  = "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIHtLB6rLKIjvFSDdv5z1jdP5zM3MPYK08gm7oFm0d705\n"
    "-----END PRIVATE KEY-----\n";
inline constexpr auto ed25519_spki = "302a300506032b657003210091a2ec26a6bf78ac5eaa5406f5b4ddc59a64"
                                     "c9d372e462039cd67f3c2467669f";
inline constexpr auto p256_pem
  = "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgtzMzvHHztL0dLUp1\n"
    "ShuGWKXT+T4tc3EVSsOOfDWOS26hRANCAARx40WHMCjZaU7VSOqOnFJQHNqNoeD+\n"
    "Lv5sA/W7C37OTLq1e693w8EtYg2YupQqNHJMaHfVQUkCa1+Qp5y6JtvY\n"
    "-----END PRIVATE KEY-----\n";
inline constexpr auto p256_spki
  = "3059301306072a8648ce3d020106082a8648ce3d0301070342000471e345873028d9694ed548ea8e9c52501cda8da1"
    "e0fe2efe6c03f5bb0b7ece4cbab57baf77c3c12d620d98ba942a34724c6877d54149026b5f90a79cba26dbd8";

inline private_key ed25519_key() {
  return *private_key::from_pem(ed25519_pem);
}

inline private_key p256_key() {
  return *private_key::from_pem(p256_pem);
}

inline constexpr auto ed25519_spki_prefix = "302a300506032b6570032100";
inline constexpr auto p256_spki_prefix = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

} // namespace rvi::crypto::test
