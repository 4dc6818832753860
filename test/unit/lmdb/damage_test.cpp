// SPDX-License-Identifier: MPL-2.0
//
// What happens to a store whose file was damaged: it is noticed, nothing wrong is given out, and
// what verifies can be saved.

#include "runtime/lmdb/lmdb.hpp"
#include "test/unit/lmdb/fixture.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr uint64_t records = 2000;

std::string filler(uint64_t n) {
  std::string result = "value-" + std::to_string(n) + "-";
  result.append(100 + n % 50, char('a' + n % 26));
  return result;
}

struct damaged_store : store_folder {
  damaged_store() {
    auto store = open();
    auto change = begin(*store);
    for (uint64_t n = 0; n < records; ++n)
      REQUIRE(!change.append(queue, sequence_key(n), filler(n)));
    REQUIRE(!change.put(done, "only", "one"));
    REQUIRE(!change.commit());
  }

  std::string data() const { return path + "/data.mdb"; }

  std::string content() const {
    std::ifstream in(data(), std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }

  void replace_content(const std::string& bytes) const {
    std::ofstream(data(), std::ios::binary | std::ios::trunc) << bytes;
  }

  /// Changes one byte inside the value of a record.
  void damage_value(uint64_t n) const {
    auto bytes = content();
    auto at = bytes.find(filler(n));
    REQUIRE(at != bytes.npos);
    bytes[at + 20] ^= 1;
    replace_content(bytes);
  }

  lmdb::check_report report() const {
    auto result = lmdb::check_in_child(path);
    REQUIRE(result);
    return *result;
  }
};

/// Reads all in a child, which may crash. 0: every record handed out was good.
int wrong_records_read_in_child(const std::string& path) {
  auto child = ::fork();
  if (child == 0) {
    for (auto x : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE})
      std::signal(x, SIG_DFL); // not doctest's
    ::alarm(10);
    int wrong = 0;
    auto store = lmdb::environment::open({.path = path, .read_only = true}, {"queue", "done"});
    if (store)
      if (auto view = (*store)->begin_read()) {
        auto all = view->scan(
          {.table = queue},
          [&](auto key, auto value) {
            uint64_t n = 0;
            for (auto c : key)
              n = n << 8 | uint8_t(c);
            wrong += n >= records || value != filler(n);
            return true;
          },
          [](auto) {});
        static_cast<void>(all);
      }
    ::_exit(wrong > 0 ? 100 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 100 ? 1 : 0; // a crash gives out nothing
}

} // namespace

TEST_CASE_FIXTURE(damaged_store, "finds a whole store sound") {
  auto result = report();
  CHECK(result.sound());
  CHECK(result.tables["queue"].records == records);
  CHECK(result.tables["done"].records == 1);
  CHECK(result.describe() == "done: 1 records; queue: 2000 records");
  CHECK(lmdb::check_in_child(base + "/none")->sound());
}

TEST_CASE_FIXTURE(damaged_store, "names the record whose value was changed") {
  damage_value(1234);
  auto result = report();
  CHECK_FALSE(result.sound());
  CHECK_FALSE(result.crashed);
  auto& table = result.tables["queue"];
  CHECK(table.records == records - 1);
  CHECK(table.damaged == 1);
  CHECK(table.damaged_keys == std::vector<std::string>{"00000000000004d2"});
  CHECK(table.count_matches);
  CHECK(result.tables["done"].sound());

  auto store = open();
  auto view = store->begin_read();
  auto one = view->get(queue, sequence_key(1234));
  REQUIRE_FALSE(one);
  CHECK(code_of(one.error()) == ec::malformed);
  CHECK(detail_of(one.error()) == "damaged record in queue, key 00000000000004d2");
  std::vector<std::string> damaged;
  auto good = view->scan(
    {.table = queue}, [](auto, auto) { return true; },
    [&](auto key) { damaged.emplace_back(key); });
  CHECK(*good == records - 1);
  CHECK(damaged == std::vector{sequence_key(1234)});
}

TEST_CASE_FIXTURE(damaged_store, "a damaged record can be erased, and the sums are right again") {
  damage_value(7);
  auto store = open();
  auto change = begin(*store);
  CHECK(code_of(change.get(queue, sequence_key(7)).error()) == ec::malformed);
  CHECK(*change.erase(queue, sequence_key(7)) == true);
  REQUIRE(!change.commit());
  store.reset();
  CHECK(report().sound());
}

TEST_CASE_FIXTURE(damaged_store, "notices a table that lost records as a whole") {
  // An older data file beside newer sums cannot arise within one file; so write another table's
  // records under this one's name by renaming the table inside the file.
  auto bytes = content();
  for (auto at = bytes.find("done"); at != bytes.npos; at = bytes.find("done", at + 1))
    bytes.replace(at, 4, "dome");
  replace_content(bytes);
  auto result = report();
  CHECK_FALSE(result.sound());
}

TEST_CASE_FIXTURE(damaged_store, "reports an empty, short or foreign file") {
  auto whole = content();
  replace_content("");
  CHECK(report().problem == "the file is empty");
  replace_content(std::string(40'000, 'x'));
  CHECK_FALSE(report().sound());
  replace_content(whole.substr(0, whole.size() / 2));
  CHECK_FALSE(report().sound());
  replace_content(whole.substr(0, 100));
  CHECK_FALSE(report().sound());
}

TEST_CASE_FIXTURE(damaged_store, "never gives out a wrong record, wherever bits flip") {
  auto whole = content();
  int noticed = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::mt19937_64 rng(seed);
    auto bytes = whole;
    auto flips = 1 + rng() % 40;
    for (uint64_t i = 0; i < flips; ++i)
      bytes[rng() % bytes.size()] ^= char(1 << rng() % 8);
    replace_content(bytes);
    CAPTURE(seed);
    CHECK(wrong_records_read_in_child(path) == 0);
    noticed += !report().sound();
  }
  // Some flips hit unused bytes only.
  CHECK(noticed > 40);
}

TEST_CASE_FIXTURE(damaged_store, "salvage keeps what verifies and the damaged file") {
  damage_value(3);
  damage_value(1999);
  auto before = content();
  auto saved = lmdb::salvage(path);
  INFO((saved ? std::string{} : describe(saved.error())));
  REQUIRE(saved);
  CHECK(*saved == records - 2 + 1);
  auto result = report();
  CHECK(result.sound());
  CHECK(result.tables["queue"].records == records - 2);
  int kept = 0;
  for (auto& entry : std::filesystem::directory_iterator(path)) {
    auto name = entry.path().filename().string();
    if (name.starts_with("data.mdb.damaged-")) {
      ++kept;
      CHECK(entry.file_size() == before.size());
    }
    CHECK(name != "salvage");
  }
  CHECK(kept == 1);
  auto store = open();
  CHECK(store->count(queue) == records - 2);
  put_all(*store, 5000, 5010, "new");
  auto view = store->begin_read();
  CHECK(**view->get(queue, sequence_key(4)) == filler(4));
  CHECK_FALSE(*view->get(queue, sequence_key(3)));
}

TEST_CASE_FIXTURE(damaged_store, "salvage works around pages that crash the reader") {
  auto bytes = content();
  auto at = bytes.find(filler(1000));
  REQUIRE(at != bytes.npos);
  auto page = at / 4096 * 4096;
  for (size_t i = 0; i < 4096; ++i)
    bytes[page + i] = char(0xA5 ^ i);
  replace_content(bytes);
  CHECK_FALSE(report().sound());
  auto saved = lmdb::salvage(path);
  REQUIRE(saved);
  MESSAGE("saved " << *saved << " of " << records + 1 << " records around a wrecked page");
  CHECK(*saved > records - 100);
  CHECK(report().sound());
}

TEST_CASE_FIXTURE(damaged_store, "salvage of a hopeless file leaves an empty store") {
  replace_content(std::string(8192, '\x5a'));
  auto saved = lmdb::salvage(path);
  REQUIRE(saved);
  CHECK(*saved == 0);
  auto store = open();
  CHECK(store->count(queue) == 0);
  put_all(*store, 0, 10, "v");
}

TEST_CASE_FIXTURE(damaged_store, "salvage refuses a store in use or absent") {
  CHECK(code_of(lmdb::salvage(base + "/none").error()) == ec::io_failed);
  auto store = open();
  CHECK(code_of(lmdb::salvage(path).error()) == ec::io_failed);
}

TEST_CASE_FIXTURE(damaged_store, "salvage survives any random damage") {
  auto whole = content();
  for (uint64_t seed = 100; seed < 115; ++seed) {
    std::mt19937_64 rng(seed);
    auto bytes = whole;
    for (uint64_t i = 0; i < 60; ++i)
      bytes[rng() % bytes.size()] ^= char(1 << rng() % 8);
    replace_content(bytes);
    CAPTURE(seed);
    auto saved = lmdb::salvage(path);
    REQUIRE(saved);
    CHECK(report().sound());
    CHECK(wrong_records_read_in_child(path) == 0);
    for (auto& entry : std::filesystem::directory_iterator(path))
      if (entry.path().filename().string().starts_with("data.mdb.damaged-"))
        std::filesystem::remove(entry.path());
  }
}

namespace {

constexpr size_t page = 4096;

/// Pages of the file that are branches of a tree.
std::vector<size_t> branch_pages(const std::string& bytes) {
  std::vector<size_t> result;
  for (size_t at = 2 * page; at + page <= bytes.size(); at += page)
    if (uint8_t(bytes[at + 10]) == 1 && bytes[at + 11] == 0)
      result.push_back(at);
  return result;
}

} // namespace

TEST_CASE_FIXTURE(damaged_store, "reports a page that is free and in use") {
  {
    auto store = open(); // pages become free, and their list has a page of its own
    for (uint64_t n = 0; n < 40; ++n)
      put_all(*store, 10'000 + n, 10'001 + n, "v");
  }
  REQUIRE(report().sound());
  auto bytes = content();
  auto newer = bytes[page + 16 + 128] > bytes[16 + 128] ? page : 0; // transaction 41 or so
  uint64_t root = 0;
  std::memcpy(&root, bytes.data() + newer + 16 + 24 + 40, sizeof root);
  // The first free page of the first entry becomes one that is in use: the list's own.
  auto list = bytes.data() + root * page;
  uint16_t entry = 0;
  std::memcpy(&entry, list + 16, sizeof entry);
  std::memcpy(list + entry + 8 + 8 + 8, &root, sizeof root);
  replace_content(bytes);
  auto result = report();
  CHECK_FALSE(result.sound());
  CHECK(result.problem.find("free list") != std::string::npos);
}

TEST_CASE_FIXTURE(damaged_store, "salvage comes out of a tree that leads in circles") {
  auto bytes = content();
  for (auto at : branch_pages(bytes)) {
    uint64_t self = at / page;
    uint16_t lower = 0;
    std::memcpy(&lower, bytes.data() + at + 12, sizeof lower);
    for (auto entry = at + 18; entry < at + lower; entry += 2) {
      uint16_t place = 0;
      std::memcpy(&place, bytes.data() + entry, sizeof place);
      std::memcpy(bytes.data() + at + place, &self, 4); // all but the first child
    }
  }
  replace_content(bytes);
  CHECK_FALSE(report().sound());
  auto begun = std::chrono::steady_clock::now();
  auto saved = lmdb::salvage(path);
  REQUIRE(saved);
  CHECK(*saved > 0);
  CHECK(report().sound());
  // Far from the minutes after which a child that reads for ever is ended.
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(30));
}

TEST_CASE_FIXTURE(damaged_store, "two salvages in one second keep both damaged files") {
  for (int i = 0; i < 2; ++i) {
    replace_content(std::string(8192, char('x' + i)));
    REQUIRE(lmdb::salvage(path));
  }
  int kept = 0;
  for (auto& entry : std::filesystem::directory_iterator(path))
    kept += entry.path().filename().string().starts_with("data.mdb.damaged-");
  CHECK(kept == 2);
}
