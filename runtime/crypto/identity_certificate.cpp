// SPDX-License-Identifier: MPL-2.0
//
// The self-signed certificate in which a node shows its key in TLS. Nobody follows a chain from it,
// so it carries no more than TLS libraries ask for.

#include "runtime/crypto/crypto.hpp"
#include "runtime/crypto/key_state.hpp"
#include "runtime/json/utf8.hpp"

#include <botan/pk_keys.h>
#include <botan/rng.h>
#include <botan/x509self.h>

#include <algorithm>
#include <cassert>
#include <chrono>

namespace rvi::crypto {

namespace {

constexpr uint64_t day_s = 24 * 60 * 60;
// 2262-01-01: later does not fit into nanoseconds, in which the clock type counts.
constexpr uint64_t latest_s = 9'214'646'400;

Botan::X509_Time calendar(uint64_t s) {
  using std::chrono::system_clock;
  return Botan::X509_Time{system_clock::time_point{std::chrono::seconds{std::min(s, latest_s)}}};
}

} // namespace

expected<std::string> private_key::self_signed_certificate(std::string_view name, uint64_t now_s,
                                                           uint32_t days) const try {
  assert(state_);
  if (!json::is_utf8(name)) // Botan would write it, OpenSSL not read it
    return caf::make_error(ec::malformed, std::string{"a certificate's name must be UTF-8"});
  Botan::X509_Cert_Options options;
  options.common_name = name; // not by the constructor, which splits at '/'
  options.start = calendar(now_s - std::min(now_s, day_s));
  options.end = calendar(std::min(now_s, latest_s) + days * day_s);
  options.constraints = Botan::DIGITAL_SIGNATURE;
  options.add_ex_constraint("PKIX.ServerAuth");
  options.add_ex_constraint("PKIX.ClientAuth");
  options.set_padding_scheme(state_->public_part.algorithm() == algorithm::ed25519 ? "Pure"
                                                                                   : "EMSA1");
  auto der = Botan::X509::create_self_signed_cert(options, *state_->key, "SHA-256",
                                                  detail::thread_generator())
               .BER_encode();
  return std::string{der.begin(), der.end()};
} catch (detail::external_failure& e) {
  return std::move(e.error);
} catch (const std::exception& e) {
  return caf::make_error(ec::malformed, std::string{"cannot make a certificate: "} + e.what());
}

} // namespace rvi::crypto
