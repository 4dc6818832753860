// SPDX-License-Identifier: MPL-2.0
//
// A second reading of trust bundles, from messages/trust_bundle.hpp and security design 3.2.1.

#pragma once

#include "test/reference/pins.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rvi::simulation::reference {

struct bundle {
  std::string organization;
  uint64_t sequence = 0;
  std::string previous; // 32 bytes; none for the first
  std::string digest;   // SHA-256 of the payload
  uint64_t threshold = 0;
  std::map<std::string, pinned_key> roots; // by kid
  std::vector<delegate> delegates;

  struct signature {
    std::string algorithm;
    std::string signing_input;
    std::string bytes;
  };
  std::map<std::string, signature> signatures; // by kid
};

/// Nothing: malformed, and in `why` for which rule.
std::optional<bundle> read_bundle(const std::string& text, std::string& why);

/// May it be pinned?
reasons judge_pinned(const bundle& x, const signature_check& holds);

/// May a node go on from `known` to `next`?
reasons judge_step(const bundle& known, const bundle& next, const signature_check& holds);

/// A file of bundles, one a line: the last one if the first may be pinned and each of the others
/// follows the one before it.
std::optional<bundle> walk(const std::string& lines, const signature_check& holds);

/// The keys that count once this bundle does.
pins pins_of(const bundle& x);

} // namespace rvi::simulation::reference
