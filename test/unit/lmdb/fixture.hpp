// SPDX-License-Identifier: MPL-2.0
//
// A store in a folder of its own that goes away with the test.

#pragma once

#include "runtime/lmdb/lmdb.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

namespace rvi::test {

struct store_folder {
  store_folder() {
    std::string name = std::filesystem::temp_directory_path() / "rvi-lmdb-XXXXXX";
    REQUIRE(::mkdtemp(name.data()));
    base = name;
    path = name + "/store";
  }
  ~store_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(base, ignored);
  }

  std::unique_ptr<lmdb::environment> open(uint64_t map_bytes = 1 << 30) {
    auto result
      = lmdb::environment::open({.path = path, .map_bytes = map_bytes}, {"queue", "done"});
    INFO((result ? std::string{} : describe(result.error())));
    REQUIRE(result);
    return std::move(*result);
  }

  std::string base;
  std::string path;
};

constexpr lmdb::table_id queue = 0;
constexpr lmdb::table_id done = 1;

/// Keys as the queue has them: eight bytes, big endian.
inline std::string sequence_key(uint64_t n) {
  std::string result;
  for (int shift = 56; shift >= 0; shift -= 8)
    result += char(n >> shift);
  return result;
}

inline lmdb::write_transaction begin(lmdb::environment& store) {
  auto result = store.begin_write();
  REQUIRE(result);
  return std::move(*result);
}

inline void
put_all(lmdb::environment& store, uint64_t from, uint64_t to, const std::string& value) {
  auto change = begin(store);
  for (auto n = from; n < to; ++n)
    REQUIRE(!change.append(queue, sequence_key(n), value + std::to_string(n)));
  REQUIRE(!change.commit());
}

} // namespace rvi::test
