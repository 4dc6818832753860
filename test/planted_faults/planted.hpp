// SPDX-License-Identifier: MPL-2.0
//
// The switch of the planted faults. The patches of this folder ask it; the product never does.

#pragma once

namespace rvi {

/// The number of the fault that this process has; 0: none.
inline int planted_fault = 0;

/// True if this fault is to happen.
inline bool planted(int number) {
  return number == planted_fault;
}

} // namespace rvi
