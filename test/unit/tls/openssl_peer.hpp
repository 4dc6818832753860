// SPDX-License-Identifier: MPL-2.0
//
// Certificates for tests, and a client of plain OpenSSL that may do what our own never does.

#pragma once

#include "runtime/tls/tls.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace rvi::test {

enum class key_kind { ed25519, p256, p384 };

struct test_key {
  std::string pem;
  std::string spki; // DER
};

test_key make_key(key_kind kind);

/// Signed by `issuer_key` in the name of `issuer`; ended a year ago if `expired`.
std::string
make_certificate(const test_key& key, const std::string& name, const test_key& issuer_key,
                 const std::string& issuer, bool authority, bool expired = false);

/// A self-signed identity.
tls::identity make_identity(key_kind kind, const std::string& name = "node");

std::string certificate_pem(const std::string& der);

/// A TLS client over memory BIOs.
class openssl_client {
public:
  struct config {
    std::vector<std::string> certificates; // DER, leaf first; none: no client certificate
    std::string key_pem;
    bool tls_1_2_only = false;
  };
  explicit openssl_client(const config& cfg);
  openssl_client(const openssl_client&) = delete;
  ~openssl_client();
  /// Feeds what the server sent and returns what the client answers.
  std::string exchange(std::string_view from_server);

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace rvi::test
