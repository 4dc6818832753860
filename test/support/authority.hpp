// SPDX-License-Identifier: MPL-2.0
//
// A provisioning server for tests: one organization's root key, and credentials for whom it likes.

#pragma once

#include "messages/credential.hpp"
#include "messages/revocation.hpp"
#include "runtime/crypto/crypto.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace test {

struct authority {
  explicit authority(std::string organization = "jlr.com")
    : organization(std::move(organization)),
      key(*rvi::crypto::private_key::generate(rvi::crypto::algorithm::ed25519)) {}

  rvi::credential_claims
  claims(const rvi::crypto::public_key& holder, std::vector<std::string> sources,
         std::vector<std::string> destinations, uint64_t now_s) const {
    rvi::credential_claims result;
    result.issuer = organization;
    result.id = rvi::crypto::hex(rvi::crypto::random_bytes(8));
    result.issued_s = now_s;
    result.not_before_s = now_s - 3'600;
    result.expires_s = now_s + 30 * 86'400;
    result.key = holder;
    result.sources = std::move(sources);
    result.destinations = std::move(destinations);
    return result;
  }

  rvi::credential_ptr issue(rvi::credential_claims x,
                            rvi::credential_format format = rvi::credential_format::jws) const {
    auto result = rvi::issue_credential(std::move(x), key, format);
    return result ? *result : nullptr;
  }

  /// A signed list; with `base` a delta on it. Null if it cannot be.
  rvi::revocation_list_ptr
  revocation_list(uint64_t serial, std::vector<rvi::revocation_entry> entries, uint64_t now_s,
                  const rvi::revocation_set* base = nullptr, uint64_t bundle = 1) const {
    rvi::revocation_claims x;
    x.issuer = organization;
    x.version = {bundle, serial};
    x.issued_s = now_s;
    x.next_s = now_s + 86'400;
    x.entries = std::move(entries);
    auto result = rvi::issue_revocation_list(std::move(x), key, base);
    return result ? *result : nullptr;
  }

  std::string anchor() const { return rvi::trust_anchor_json(organization, key.public_part()); }

  std::string organization;
  rvi::crypto::private_key key;
};

} // namespace test
