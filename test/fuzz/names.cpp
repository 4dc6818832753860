// SPDX-License-Identifier: MPL-2.0
//
// Names and patterns: normalising is done once and for all, and containment means what it says.

#include "messages/name.hpp"
#include "test/fuzz/fuzz.hpp"

using namespace rvi;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::input in{data, size};
  auto first = in.line();
  auto second = in.line();
  auto third = in.line();
  auto name = normalise_name(third);
  assert(is_normal_name(third) == (name && *name == third));
  // Whether a name comes folded or not, it is read the same, though not on the same way.
  std::string loud{third};
  for (auto& c : loud)
    c = c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c;
  auto folded = normalise_name(loud);
  assert(bool(folded) == bool(name) && (!name || *folded == *name));
  auto address = normalise_node_address(third);
  assert(!address || !type_of(*address));
  (void)covers(first, third);
  (void)matches(first, third);
  (void)contains(first, second);
  auto outer = normalise_pattern(first);
  auto inner = normalise_pattern(second);
  if (!outer || !inner)
    return 0;
  assert(*normalise_pattern(*outer) == *outer);
  assert(contains(*outer, *outer));
  if (!name)
    return 0;
  assert(*normalise_name(*name) == *name);
  if (contains(*outer, *inner) && covers(*inner, *name))
    assert(covers(*outer, *name));
  return 0;
}
