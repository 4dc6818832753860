// SPDX-License-Identifier: MPL-2.0
//
// Transactions of both disks against a plain map, with changes, scans and aborts drawn from a seed.

#include "test/unit/storage/fixture.hpp"

#include <map>
#include <random>

using namespace rvi;
using namespace test;

namespace {

using model = std::map<std::string, std::string, std::less<>>;
using pairs = std::vector<std::pair<std::string, std::string>>;

constexpr auto tested = table::due;

std::string random_key(std::mt19937_64& rng) {
  return "k" + std::to_string(100 + rng() % 40);
}

/// What a scan hands out, stopping after `visits` records.
pairs scanned(transaction& x, std::string_view from, size_t limit, size_t visits) {
  pairs result;
  CHECK(x.scan(tested, from, limit, [&](std::string_view key, std::string_view value) {
    result.emplace_back(key, value);
    return result.size() < visits;
  }) == caf::error{});
  return result;
}

pairs expected_scan(const model& m, std::string_view from, size_t n) {
  pairs result;
  for (auto i = m.lower_bound(from); i != m.end() && result.size() < n; ++i)
    result.emplace_back(*i);
  return result;
}

void check_reads(transaction& x, const model& m, std::mt19937_64& rng) {
  auto key = random_key(rng);
  auto found = x.get(tested, key);
  REQUIRE(found);
  auto i = m.find(key);
  CHECK(*found == (i == m.end() ? std::nullopt : std::optional{i->second}));
  auto last = x.last_key(tested);
  REQUIRE(last);
  CHECK(*last == (m.empty() ? std::nullopt : std::optional{m.rbegin()->first}));
  auto from = rng() % 4 == 0 ? std::string{} : random_key(rng);
  CHECK(scanned(x, from, x.no_limit, 1'000) == expected_scan(m, from, 1'000));
  size_t n = 1 + rng() % 5;
  CHECK(scanned(x, from, n, 1'000) == expected_scan(m, from, n));
  CHECK(scanned(x, from, x.no_limit, n) == expected_scan(m, from, n));
  CHECK(scanned(x, from, 0, n).empty());
}

void change(transaction& x, model& m, std::mt19937_64& rng) {
  auto key = rng() % 8 == 0 && !m.empty() ? m.rbegin()->first : random_key(rng);
  auto value = std::to_string(rng() % 1'000);
  switch (rng() % 4) {
    case 0:
      CHECK(x.put(tested, key, value) == caf::error{});
      m[key] = value;
      break;
    case 1:
      CHECK(x.append(tested, key, value) == caf::error{});
      m[key] = value;
      break;
    default: {
      auto erased = x.erase(tested, key);
      REQUIRE(erased);
      CHECK(*erased == (m.erase(key) == 1));
    }
  }
}

} // namespace

TEST_SUITE_BEGIN("transaction");

TEST_CASE_TEMPLATE("reads and changes agree with a map", Medium, memory_medium, lmdb_medium) {
  Medium medium;
  auto disk = medium.open();
  REQUIRE(disk);
  std::mt19937_64 rng{17};
  model committed;
  for (int round = 0; round < 200; ++round) {
    auto m = committed;
    auto writing = (*disk)->begin_write();
    REQUIRE(writing);
    auto changes = rng() % 20;
    for (uint64_t i = 0; i < changes; ++i) {
      change(**writing, m, rng);
      check_reads(**writing, m, rng);
    }
    if (rng() % 3 != 0) {
      CHECK((*writing)->commit() == caf::error{});
      committed = m;
    }
    writing->reset();
    auto reading = (*disk)->begin_read();
    REQUIRE(reading);
    check_reads(**reading, committed, rng);
  }
}

TEST_CASE_TEMPLATE("tables are apart, and keys and values may be any bytes", Medium, memory_medium,
                   lmdb_medium) {
  using namespace std::string_literals;
  store_fixture<Medium> f;
  CHECK(f.commit([](transaction& x) {
    for (auto name : {table::queue, table::nodes, table::records})
      if (auto failure = x.put(name, "\0\xFF"s, to_string(name) + "\0x"s))
        return failure;
    return x.put(table::ids, "empty", "");
  }) == ec::none);
  CHECK(f.content(table::nodes) == std::vector{"\0\xFF=nodes\0x"s});
  CHECK(f.content(table::queue) == std::vector{"\0\xFF=queue\0x"s});
  CHECK(f.content(table::ids) == std::vector{"empty="s});
  CHECK(f.content(table::due).empty());
}

TEST_SUITE_END();
