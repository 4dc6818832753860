// SPDX-License-Identifier: MPL-2.0
//
// An organization that signs whatever a fuzzer makes up, so that what lies behind the signature is
// reached.

#pragma once

#include "messages/credential.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/crypto.hpp"
#include "runtime/crypto/jws.hpp"

#include <cassert>
#include <string>
#include <string_view>

namespace fuzz {

/// The text with `mark` replaced wherever it stands.
inline std::string filled(std::string_view text, std::string_view mark, std::string_view by) {
  std::string result;
  for (size_t at; (at = text.find(mark)) != text.npos; text.remove_prefix(at + mark.size())) {
    result += text.substr(0, at);
    result += by;
  }
  return result += text;
}

struct organization {
  organization() {
    auto err = anchors.add(rvi::trust_anchor_json("jlr.com", key.public_part()));
    assert(!err);
    (void)err;
  }

  std::string sign(std::string_view type, std::string_view payload) const {
    return *rvi::crypto::sign_jws(key, type, rvi::to_string(key.public_part().uid()), payload);
  }

  rvi::crypto::private_key key
    = *rvi::crypto::private_key::generate(rvi::crypto::algorithm::ed25519);
  rvi::trust_anchors anchors;
};

} // namespace fuzz
