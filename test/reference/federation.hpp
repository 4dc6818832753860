// SPDX-License-Identifier: MPL-2.0
//
// Who signs credentials, lists and bundles: jlr.com, whose keys a trust bundle names for what they
// are for, other.com, pinned by a key alone, and a stranger. Both verifiers are told the same.

#pragma once

#include "messages/credential.hpp"
#include "test/reference/reference_bundle.hpp"
#include "test/unit/simulation/reference_world.hpp"

#include <string>
#include <vector>

namespace test {

/// A key, and what a bundle says it is for.
struct root {
  rvi::crypto::private_key key;
  std::vector<std::string> uses;

  std::string kid() const;
  bool may(const std::string& use) const;
};

struct federation {
  federation();

  /// A key that speaks for this organization, mostly one that may do so for `use`.
  const rvi::crypto::private_key&
  signer(const std::string& organization, const std::string& use, dice& roll) const;
  /// Mostly jlr.com.
  std::string organization(dice& roll) const;

  std::vector<root> roots; // of jlr.com
  rvi::crypto::private_key other = ed25519_key(30);
  rvi::crypto::private_key stranger = ed25519_key(31);
  rvi::trust_anchors anchors;
  reference::pins pinned;
  std::vector<reference::delegate> delegates; // of jlr.com to other.com
};

} // namespace test
