// SPDX-License-Identifier: MPL-2.0
//
// A key that stands for one on a token or in a signer, and may be out of reach.

#pragma once

#include "runtime/crypto/crypto.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace test {

class distant_key final : public rvi::crypto::external_key {
public:
  explicit distant_key(rvi::crypto::private_key key) : key(std::move(key)) {}
  explicit distant_key(rvi::crypto::algorithm kind)
    : distant_key(*rvi::crypto::private_key::generate(kind)) {}

  rvi::expected<std::string> sign(std::string_view message) const override {
    ++asked;
    last = message;
    if (refusal != rvi::ec::none)
      return caf::make_error(refusal, std::string{"the key is away"});
    return key.sign(message);
  }

  std::string location() const override { return "elsewhere"; }

  rvi::crypto::private_key key;
  rvi::ec refusal = rvi::ec::none; // instead of a signature
  mutable int asked = 0;
  mutable std::string last;
};

inline rvi::crypto::private_key key_at(const std::shared_ptr<distant_key>& x) {
  return rvi::crypto::private_key::from_external(x->key.public_part(), x);
}

} // namespace test
