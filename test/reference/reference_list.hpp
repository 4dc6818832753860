// SPDX-License-Identifier: MPL-2.0
//
// A second reading of revocation lists, from messages/revocation.hpp, decisions 4 and security
// design 3.2.3. Slow and plain: what is in force is a map.

#pragma once

#include "test/reference/pins.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace rvi::simulation::reference {

/// What is in force of one issuer.
struct list_state {
  uint64_t bundle = 0;
  uint64_t serial = 0;
  uint64_t issued_s = 0;
  uint64_t next_s = 0;
  size_t deltas = 0;
  std::map<std::string, uint32_t> entries; // 16 bytes, and when it leaves
};

/// By issuer.
using list_states = std::map<std::string, list_state>;

/// A list as it says it is.
struct list_text {
  jws parts;
  std::string issuer;
  uint64_t bundle = 0;
  uint64_t serial = 0;
  uint64_t base = 0;
  uint64_t issued_s = 0;
  uint64_t next_s = 0;
  std::string result_sha256; // 32 bytes
  std::map<std::string, uint32_t> entries;
};

/// Nothing: malformed, and in `why` for which rule.
std::optional<list_text> read_list(const std::string& text, std::string& why);

/// What would be in force after `x`.
list_state sum_of(const list_state* known, const list_text& x);

/// The 20 bytes of each entry, in order.
std::string bytes_of(const std::map<std::string, uint32_t>& entries);

struct list_judgement {
  reasons refused;
  std::string why;    // of `malformed`
  std::string issuer; // if it was read
  list_state next;    // if accepted
};

list_judgement judge_list(const std::string& text, const list_states& known, const pins& pinned,
                          const signature_check& holds);

} // namespace rvi::simulation::reference
