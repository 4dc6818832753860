// SPDX-License-Identifier: MPL-2.0
//
// Crashes and injected failures of the memory disk, and how the store actor takes them.

#include "test/unit/storage/fixture.hpp"

using namespace rvi;
using namespace test;
using strings = std::vector<std::string>;

namespace {

using fixture = store_fixture<memory_medium>;

struct commit_list : commit_watch {
  void changed(table, std::string_view key, int came) override {
    seen.push_back(std::string{key} + (came > 0 ? "+" : came < 0 ? "-" : "="));
  }
  void committed() override { seen.emplace_back("."); }
  strings take() { return std::exchange(seen, {}); }
  strings seen;
};

} // namespace

TEST_SUITE_BEGIN("memory_store");

TEST_CASE_FIXTURE(fixture, "after a failed sync nothing is accepted any more") {
  CHECK(put("a", "1") == ec::none);
  medium.disk->fail_commits(1, ec::store_failed);
  for (auto key : {"b", "c", "d"})
    queue(put_step(key, "2"));
  CHECK(outcomes() == std::vector(3, ec::store_failed));
  CHECK(metrics.get_gauge("rvi_store_degraded", "").value() == 1);
  CHECK(counted("rvi_store_syncs_total") == 2);
  CHECK(put("e", "3") == ec::store_failed);
  CHECK(counted("rvi_store_syncs_total") == 2); // not even tried
  CHECK(content() == strings{"a=1"});           // reads still work
  restart();
  CHECK(metrics.get_gauge("rvi_store_degraded", "").value() == 0);
  CHECK(put("e", "3") == ec::none);
  CHECK(content() == strings{"a=1", "e=3"});
}

TEST_CASE_FIXTURE(fixture, "a failed sync may have reached the disk all the same") {
  CHECK(put("a", "1") == ec::none);
  medium.disk->fail_commits(1, ec::store_failed, true);
  CHECK(put("a", "2") == ec::store_failed);
  CHECK(content() == strings{"a=1"});
  restart();
  CHECK(content() == strings{"a=2"});
}

TEST_CASE_FIXTURE(fixture, "a watch hears of what becomes durable and of nothing else") {
  commit_list heard;
  medium.disk->watch(&heard);
  CHECK(put("a", "1") == ec::none);
  CHECK(heard.take() == strings{"a+", "."});
  CHECK(put("a", "2") == ec::none);
  CHECK(heard.take() == strings{"a=", "."});
  queue([](transaction& t) {
    (void)t.erase(table::queue, "a");
    (void)t.put(table::queue, "a", "3");
    return t.put(table::queue, "b", "3");
  });
  CHECK(outcomes() == std::vector{ec::none});
  CHECK(heard.take() == strings{"a-", "a+", "b+", "."});
  queue([](transaction& t) {
    (void)t.erase(table::queue, "a");
    (void)t.erase(table::queue, "b");
    (void)t.put(table::queue, "b", "4");
    return caf::make_error(ec::not_found);
  });
  CHECK(outcomes() == std::vector{ec::not_found});
  medium.disk->fail_commits(1, ec::store_failed, true);
  CHECK(put("c", "1") == ec::store_failed);
  CHECK(heard.take().empty());
  CHECK(content() == strings{"a=3", "b=3"}); // all of it taken back
  auto bytes = medium.disk->bytes_used();
  restart();
  CHECK(heard.take() == strings{"c+", "."});
  CHECK(medium.disk->bytes_used() == bytes + memory_disk::record_bytes + 2);
  medium.disk->watch(nullptr);
}

TEST_CASE_FIXTURE(fixture, "a failed commit for lack of room is tried in parts") {
  medium.disk->fail_commits(2, ec::store_full);
  for (auto key : {"a", "b", "c", "d"})
    queue(put_step(key, "1"));
  // The four fail, then the first two; a and b each succeed alone, c and d together.
  CHECK(outcomes() == std::vector(4, ec::none));
  CHECK(counted("rvi_store_commits_total") == 3);
  medium.disk->fail_commits(100, ec::store_full);
  for (auto key : {"e", "f", "g"})
    queue(put_step(key, "1"));
  CHECK(outcomes() == std::vector(3, ec::store_full));
  medium.disk->fail_commits(0, ec::none);
  CHECK(put("h", "1") == ec::none);
  CHECK(content() == strings{"a=1", "b=1", "c=1", "d=1", "h=1"});
}

TEST_CASE_FIXTURE(fixture, "a crash loses what was not answered and nothing else") {
  CHECK(put("a", "1") == ec::none);
  queue(put_step("b", "2"));
  REQUIRE(sched.try_run_once()); // queued in the actor
  medium.disk->crash();
  CHECK(outcomes() == std::vector{ec::store_failed}); // the actor lives on, without a disk
  restart();
  CHECK(content() == strings{"a=1"});
}

TEST_CASE("a crash undoes an open transaction") {
  auto disk = memory_disk::make();
  auto opened = disk->open();
  REQUIRE(opened);
  auto bytes = disk->bytes_used();
  auto writing = (*opened)->begin_write();
  REQUIRE(writing);
  CHECK((*writing)->put(table::queue, "a", "1") == caf::error{});
  CHECK((*writing)->put(table::meta, "format", "7") == caf::error{});
  disk->crash();
  CHECK(disk->content(table::queue).empty());
  CHECK(disk->bytes_used() == bytes);
  CHECK((*writing)->put(table::queue, "a", "1") == ec::store_failed);
  CHECK((*writing)->commit() == ec::store_failed);
  CHECK((*opened)->failed());
  CHECK_FALSE((*opened)->begin_write());
  CHECK_FALSE((*opened)->begin_read());
  CHECK(disk->open());
}

TEST_CASE("bytes are counted and bounded") {
  auto disk = memory_disk::make();
  auto opened = disk->open();
  REQUIRE(opened);
  auto before = disk->bytes_used();
  disk->set_capacity(before + memory_disk::record_bytes + 10);
  auto attempt = [&](std::string key, std::string value) {
    auto writing = (*opened)->begin_write();
    REQUIRE(writing);
    auto failure = (*writing)->put(table::queue, key, value);
    return failure ? failure : (*writing)->commit();
  };
  CHECK(attempt("k", std::string(10, 'x')) == ec::store_full);
  CHECK(disk->bytes_used() == before);
  CHECK(attempt("k", std::string(9, 'x')) == caf::error{});
  CHECK(attempt("l", "") == ec::store_full);
  CHECK(attempt("k", "shorter") == caf::error{});
  CHECK(disk->bytes_used() == before + memory_disk::record_bytes + 8);
  CHECK(disk->commits() == 3); // with the format
}

TEST_SUITE_END();
