// SPDX-License-Identifier: MPL-2.0
//
// What holds for every credential that is accepted, in whatever form it came.

#pragma once

#include "messages/credential.hpp"
#include "messages/name.hpp"

#include <algorithm>
#include <cassert>

namespace fuzz {

/// It says nothing outside its organization, and in a chain nothing that the one before does not.
inline void check_accepted(const rvi::credential& x) {
  assert(x.issuer == "jlr.com" && !x.id.empty());
  for (auto* list : {&x.sources, &x.destinations, &x.relay})
    for (auto& pattern : *list) {
      assert(rvi::organization_of(pattern) == "jlr.com");
      auto normal = rvi::normalise_pattern(pattern);
      assert(normal && *normal == pattern);
    }
  assert(x.chain_length() <= rvi::delegations_max + 1);
  if (auto parent = x.parent) {
    assert(x.format == parent->format);
    assert(x.expires_s <= parent->expires_s && x.delegations < parent->delegations);
    for (auto& pattern : x.destinations)
      assert(std::any_of(parent->destinations.begin(), parent->destinations.end(),
                         [&](auto& outer) { return rvi::contains(outer, pattern); }));
  }
  assert(!x.covers_destination("rpc:other.com/a/b"));
  if (!x.administrator)
    assert(!x.covers_destination("rpc:jlr.com/vin/1/provisioning/add_certificate"));
  auto again = rvi::parse_written_credential(rvi::written_form(x));
  assert(again && (*again)->hash == x.hash);
}

} // namespace fuzz
