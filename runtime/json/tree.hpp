// SPDX-License-Identifier: MPL-2.0
//
// What a parsed text consists of: its bytes and one flat list of values. Internal to this folder.

#pragma once

#include "runtime/json/json.hpp"

namespace rvi::json::detail {

struct node {
  std::string_view raw;
  std::string_view key;    // empty outside of objects
  std::string_view string; // unescaped
  json::kind kind = json::kind::missing;
  uint32_t next = 0;  // the next element of the same array or object; 0 is none
  uint32_t first = 0; // the first element; 0 is none
  uint32_t count = 0; // elements
};

struct tree {
  std::string text;
  std::string unescaped; // reserved once at full size, so that views into it stay
  std::vector<node> nodes;
};

} // namespace rvi::json::detail
