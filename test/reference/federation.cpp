// SPDX-License-Identifier: MPL-2.0

#include "test/reference/federation.hpp"

#include "test/unit/crypto/keys.hpp"
#include "tools/simulation/reference_json.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace rvi;

namespace test {

std::string root::kid() const {
  return crypto::hex(crypto::view(key.public_part().uid()));
}

bool root::may(const std::string& use) const {
  return std::find(uses.begin(), uses.end(), use) != uses.end();
}

federation::federation() {
  roots = {{ed25519_key(20), {"cred", "crl", "trust"}},
           {ed25519_key(21), {"cred"}},
           {ed25519_key(22), {"crl"}},
           {crypto::test::p256_key(), {"cred", "crl", "trust"}},
           {ed25519_key(23), {"trust"}}};
  bundle_claims x;
  x.organization = "jlr.com";
  x.issued_s = now_ms / 1'000 - 86'400;
  x.expires_s = now_ms / 1'000 + 86'400;
  for (auto& root : roots)
    x.roots.push_back(
      {root.key.public_part(), root.may("cred"), root.may("crl"), root.may("trust")});
  x.delegates = {{"other.com",
                  {"jlr.com/vin/+/services"},
                  {"jlr.com/cloud", "jlr.com/vin/1234"},
                  {"jlr.com/vin/#"},
                  now_ms / 1'000 + 1'000}};
  auto signed_bundle = issue_trust_bundle(x, {&roots.front().key});
  REQUIRE(signed_bundle);
  REQUIRE_FALSE(anchors.add((*signed_bundle)->text));
  REQUIRE_FALSE(anchors.add(trust_anchor_json("other.com", other.public_part())));
  std::string why;
  auto read = reference::read_bundle((*signed_bundle)->text, why);
  REQUIRE_MESSAGE(read, why);
  pinned = reference::pins_of(*read);
  delegates = read->delegates;
  auto jwk = reference::read_json(other.public_part().jwk());
  auto key = reference::key_of(&*jwk);
  pinned["other.com"][reference::hex(key->uid)] = {*key, true, true, false};
}

std::string federation::organization(dice& roll) const {
  auto at = roll.below(20);
  return at < 17 ? "jlr.com" : at < 19 ? "other.com" : "stranger.com";
}

const crypto::private_key&
federation::signer(const std::string& organization, const std::string& use, dice& roll) const {
  auto& root = roots[roll.below(roots.size())];
  if (roll.below(30) == 0)
    return roll.below(2) == 0 ? stranger : other;
  if (organization == "other.com")
    return other;
  if (root.may(use)
      && (root.key.public_part().algorithm() == crypto::algorithm::ed25519 || roll.below(2) == 0))
    return root.key;
  return roll.below(10) == 0 ? root.key : roots.front().key;
}

} // namespace test
