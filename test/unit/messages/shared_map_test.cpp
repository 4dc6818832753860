// SPDX-License-Identifier: MPL-2.0
//
// The map of the snapshots, compared with std::map.

#include "messages/shared_map.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>
#include <string_view>

using namespace rvi;

namespace {

using plain = std::map<std::string, int>;

plain content(const shared_map<std::string, int>& x) {
  plain result;
  std::string last;
  for (auto& [key, value] : x) {
    CHECK((result.empty() || last < key));
    last = key;
    result[key] = value;
  }
  return result;
}

} // namespace

TEST_CASE("an empty map holds nothing") {
  shared_map<std::string, int> x;
  CHECK(x.empty());
  CHECK(x.begin() == x.end());
  CHECK(x.find("a") == x.end());
  CHECK_FALSE(x.erase("a"));
  x.set("a", 1);
  CHECK(x.at("a") == 1);
  CHECK(x.erase(std::string_view{"a"}));
  CHECK(x.empty());
  CHECK(x.begin() == x.end());
}

TEST_CASE("any sequence of changes leaves what std::map would hold, in its order") {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 rng{seed};
    shared_map<std::string, int> map;
    plain expected;
    for (int i = 0; i < 20'000; ++i) {
      auto key = std::to_string(rng() % 2'000);
      // Grows, then shrinks to almost nothing.
      if (rng() % 100 < (i < 10'000 ? 70u : 10u)) {
        map.set(key, i);
        expected[key] = i;
      } else {
        CHECK(map.erase(key) == (expected.erase(key) == 1));
      }
      CHECK(map.size() == expected.size());
      CHECK(map.contains(std::string_view{key}) == (expected.count(key) == 1));
      if (i % 1'000 == 0)
        CHECK(content(map) == expected);
    }
    CHECK(content(map) == expected);
  }
}

TEST_CASE("a copy stays as it was, and shares its entries") {
  shared_map<std::string, int> map;
  for (int i = 0; i < 1'000; ++i)
    map.set(std::to_string(i), i);
  auto before = map;
  auto expected = content(map);
  for (int i = 0; i < 1'000; i += 2)
    map.erase(std::to_string(i));
  map.set("1", -1);
  CHECK(content(before) == expected);
  CHECK(map.size() == 500);
  CHECK(map.at("1") == -1);
  CHECK(&before.at("3") == &map.at("3"));
}
