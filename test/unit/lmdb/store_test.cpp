// SPDX-License-Identifier: MPL-2.0
//
// Records in and out of a store whose file is sound.

#include "runtime/lmdb/crc32c.hpp"
#include "runtime/lmdb/lmdb.hpp"
#include "test/unit/lmdb/fixture.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <thread>

using namespace rvi;
using namespace rvi::test;

namespace {

std::optional<std::string>
read(const lmdb::environment& store, lmdb::table_id table, std::string_view key) {
  auto view = store.begin_read();
  REQUIRE(view);
  auto value = view->get(table, key);
  REQUIRE(value);
  if (!*value)
    return std::nullopt;
  return std::string(**value);
}

std::vector<std::string> keys(const lmdb::environment& store, lmdb::scan_range range) {
  std::vector<std::string> result;
  auto view = store.begin_read();
  REQUIRE(view);
  auto n = view->scan(
    range, [&](auto key, auto) { return result.emplace_back(key), true; },
    [](auto) { FAIL("damaged"); });
  REQUIRE(n);
  CHECK(*n == result.size());
  return result;
}

} // namespace

TEST_CASE("knows the published CRC32C values") {
  using lmdb::crc32c;
  CHECK(crc32c("123456789") == 0xE3069283);
  CHECK(crc32c("") == 0);
  CHECK(crc32c("a") == 0xC1D04330);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AA); // RFC 3720 B.4
  CHECK(crc32c(std::string(32, '\xff')) == 0x62A8AB43);
  std::string ascending;
  for (char c = 0; c < 32; ++c)
    ascending += c;
  CHECK(crc32c(ascending) == 0x46DD794E);
  CHECK(crc32c("6789", crc32c("12345")) == 0xE3069283);
  std::string text;
  for (int i = 0; i < 100; ++i) {
    text += char(i * 37);
    CHECK(crc32c(text, 7) == lmdb::detail::crc32c_by_table(text, 7));
  }
}

TEST_CASE_FIXTURE(store_folder, "gives back what was put, also after opening anew") {
  {
    auto store = open();
    auto change = begin(*store);
    CHECK(!change.put(queue, "a", "one"));
    CHECK(!change.put(queue, "b", ""));
    CHECK(!change.put(done, "a", std::string(100'000, 'x')));
    CHECK(**change.get(queue, "a") == "one"); // seen before the commit
    CHECK_FALSE(read(*store, queue, "a"));    // but by nobody else
    CHECK(!change.commit());
    CHECK(read(*store, queue, "a") == "one");
    CHECK(read(*store, queue, "b") == "");
    CHECK_FALSE(read(*store, queue, "c"));
    CHECK(store->count(queue) == 2);
  }
  auto store = open();
  CHECK(read(*store, queue, "a") == "one");
  CHECK(read(*store, done, "a") == std::string(100'000, 'x'));
  CHECK(store->count(queue) == 2);
  CHECK(store->count(done) == 1);
  CHECK((std::filesystem::status(path).permissions() & std::filesystem::perms::others_all)
        == std::filesystem::perms::none);
}

TEST_CASE_FIXTURE(store_folder, "overwrites and erases") {
  auto store = open();
  auto change = begin(*store);
  CHECK(!change.put(queue, "a", "one"));
  CHECK(!change.put(queue, "a", "a longer one"));
  CHECK(!change.put(queue, "b", "two"));
  CHECK(*change.erase(queue, "b") == true);
  CHECK(*change.erase(queue, "b") == false);
  CHECK(*change.erase(done, "a") == false);
  CHECK(!change.commit());
  CHECK(read(*store, queue, "a") == "a longer one");
  CHECK_FALSE(read(*store, queue, "b"));
  CHECK(store->count(queue) == 1);
  store.reset();
  auto report = lmdb::check(path);
  REQUIRE(report);
  CHECK(report->sound());
  CHECK(report->tables["queue"].records == 1);
}

TEST_CASE_FIXTURE(store_folder, "appends at the end, and elsewhere as well") {
  auto store = open();
  auto change = begin(*store);
  CHECK(!change.append(queue, "b", "1"));
  CHECK(!change.append(queue, "c", "2"));
  CHECK(!change.append(queue, "a", "3"));
  CHECK(!change.append(queue, "c", "4"));
  CHECK(!change.commit());
  CHECK(keys(*store, {.table = queue}) == std::vector<std::string>{"a", "b", "c"});
  CHECK(read(*store, queue, "c") == "4");
  CHECK(store->count(queue) == 3);
  store.reset();
  CHECK(lmdb::check(path)->sound());
}

TEST_CASE_FIXTURE(store_folder, "scans from a key, up to a limit, until told to stop") {
  auto store = open();
  CHECK(keys(*store, {.table = queue}).empty());
  put_all(*store, 0, 1000, "v");
  CHECK(keys(*store, {.table = queue}).size() == 1000);
  auto some = keys(*store, {.table = queue, .from = sequence_key(500), .limit = 3});
  CHECK(some == std::vector{sequence_key(500), sequence_key(501), sequence_key(502)});
  CHECK(keys(*store, {.table = queue, .from = sequence_key(1000)}).empty());
  CHECK(keys(*store, {.table = queue, .from = std::string(9, '\0')}).size() == 999);
  CHECK(keys(*store, {.table = queue, .limit = 0}).empty());
  auto view = store->begin_read();
  auto n = view->scan(
    {.table = queue}, [](auto, auto) { return false; }, [](auto) {});
  CHECK(*n == 1);
  CHECK(**view->last_key(queue) == sequence_key(999));
  CHECK_FALSE(*view->last_key(done));
}

TEST_CASE_FIXTURE(store_folder, "a change that is not committed leaves nothing") {
  auto store = open();
  {
    auto change = begin(*store);
    CHECK(!change.put(queue, "a", "one"));
  }
  CHECK_FALSE(read(*store, queue, "a"));
  CHECK(store->count(queue) == 0);
  put_all(*store, 0, 1, "next"); // and the next one goes on from there
  store.reset();
  CHECK(lmdb::check(path)->sound());
}

TEST_CASE_FIXTURE(store_folder, "a reader keeps its view, in any thread") {
  auto store = open();
  put_all(*store, 0, 10, "v");
  auto view = store->begin_read();
  REQUIRE(view);
  put_all(*store, 10, 20, "v");
  std::thread([&] {
    size_t n = *view->scan(
      {.table = queue}, [](auto, auto) { return true; }, [](auto) {});
    CHECK(n == 10);
  }).join();
}

TEST_CASE_FIXTURE(store_folder, "refuses keys LMDB cannot hold, and the change with them") {
  auto store = open();
  auto change = begin(*store);
  CHECK(!change.put(queue, std::string(511, 'k'), "v"));
  CHECK(code_of(change.put(queue, std::string(512, 'k'), "v")) == ec::too_large);
  CHECK(code_of(change.put(queue, "a", "v")) == ec::too_large);
  CHECK(code_of(change.commit()) == ec::too_large);
  CHECK(store->count(queue) == 0);
  CHECK_FALSE(store->failed());
  auto view = store->begin_read();
  CHECK(code_of(view->get(queue, "").error()) == ec::too_large);
}

TEST_CASE_FIXTURE(store_folder, "refuses a second opener but lets readers in") {
  auto store = open();
  put_all(*store, 0, 3, "v");
  auto second = lmdb::environment::open({.path = path}, {"queue"});
  REQUIRE_FALSE(second);
  CHECK(code_of(second.error()) == ec::io_failed);
  CHECK(detail_of(second.error()) == path + " is in use by another process");
  store.reset();
  auto reader = lmdb::environment::open({.path = path, .read_only = true}, {"queue"});
  REQUIRE(reader);
  CHECK((*reader)->count(queue) == 3);
  CHECK(keys(**reader, {.table = queue}).size() == 3);
  reader->reset();
  auto newer = lmdb::environment::open({.path = path, .read_only = true}, {"unheard-of"});
  REQUIRE_FALSE(newer);
  CHECK(code_of(newer.error()) == ec::not_found);
}

TEST_CASE_FIXTURE(store_folder, "says which directory it cannot use") {
  auto file = lmdb::environment::open({.path = "/dev/null/store"}, {"queue"});
  REQUIRE_FALSE(file);
  CHECK(code_of(file.error()) == ec::io_failed);
  CHECK(detail_of(file.error()).find("/dev/null/store") != std::string::npos);
}

TEST_CASE_FIXTURE(store_folder, "a full store still reads, erases, and then writes again") {
  auto store = open(512 << 10);
  auto put = [&](uint64_t from, uint64_t to) {
    auto change = begin(*store);
    for (auto n = from; n < to; ++n)
      if (auto error = change.append(queue, sequence_key(n), std::string(300, 'x')))
        return code_of(error);
    auto error = change.commit();
    return error ? code_of(error) : ec::none;
  };
  auto full = ec::none;
  for (uint64_t n = 0; full == ec::none; n += 20) {
    REQUIRE(n < 10'000);
    full = put(n, n + 20);
  }
  CHECK(full == ec::store_full);
  CHECK_FALSE(store->failed());
  auto held = store->count(queue);
  CHECK(held > 1000);
  CHECK(keys(*store, {.table = queue}).size() == held);
  for (uint64_t n = 0; n < 500; n += 20) {
    auto change = begin(*store);
    for (uint64_t i = n; i < n + 20; ++i)
      CHECK(*change.erase(queue, sequence_key(i)) == true);
    REQUIRE(!change.commit());
  }
  for (uint64_t n = 20'000; n < 20'200; n += 20)
    CHECK(put(n, n + 20) == ec::none);
  CHECK(store->count(queue) == held - 300);
  // A change that is too large as a whole leaves no trace.
  CHECK(put(30'000, 40'000) == ec::store_full);
  CHECK_FALSE(store->failed());
  CHECK(store->count(queue) == held - 300);
  CHECK(put(20'200, 20'201) == ec::none);
  store.reset();
  CHECK(lmdb::check(path)->sound());
}

TEST_CASE_FIXTURE(store_folder, "is quick enough for a queue of 100 000 records") {
  using clock = std::chrono::steady_clock;
  constexpr uint64_t records = 100'000, batch = 256;
  auto store = open();
  auto start = clock::now();
  for (uint64_t n = 0; n < records; n += batch)
    put_all(*store, n, std::min(n + batch, records), std::string(290, 'v'));
  auto put = std::chrono::duration<double>(clock::now() - start).count();
  start = clock::now();
  CHECK(keys(*store, {.table = queue}).size() == records);
  auto scan = std::chrono::duration<double>(clock::now() - start).count();
  start = clock::now();
  for (uint64_t n = 0; n < records;) {
    auto change = begin(*store);
    for (auto end = std::min(n + 1024, records); n < end; ++n)
      REQUIRE(*change.erase(queue, sequence_key(n)));
    REQUIRE(!change.commit());
  }
  auto drain = std::chrono::duration<double>(clock::now() - start).count();
  MESSAGE("puts/s with batch 256: " << uint64_t(records / put)
                                    << ", scanned/s: " << uint64_t(records / scan)
                                    << ", erased/s with batch 1024: " << uint64_t(records / drain));
}
