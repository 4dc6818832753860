// SPDX-License-Identifier: MPL-2.0
//
// What the reference says about signed documents beside credentials, and whom it believes.
//
// The documents say which codes a check may answer, and mostly not in which order the checks come
// ("cheap refusals first"). So a judgement here is the set of all codes that stand against a text,
// by their stable names; the router has to answer one of them. Only what does not parse is
// `malformed` and nothing else, for then there is nothing more to ask.

#pragma once

#include "tools/simulation/reference_jose.hpp"
#include "tools/simulation/reference_verifier.hpp"

#include <map>
#include <set>
#include <string>

namespace rvi::simulation::reference {

using reasons = std::set<std::string>; // empty: accepted

/// A pinned key and what it may sign.
struct pinned_key {
  reference::key key;
  bool credentials = false;
  bool lists = false;
  bool bundles = false;
};

/// By organization, then by kid (hex of the uid).
using pins = std::map<std::string, std::map<std::string, pinned_key>>;

} // namespace rvi::simulation::reference
