// SPDX-License-Identifier: MPL-2.0
//
// What the store promises, on both disks: group commit, and a failing step harms no other.

#include "test/unit/storage/fixture.hpp"

#include <stdexcept>

using namespace rvi;
using namespace test;
using strings = std::vector<std::string>;

namespace {

std::vector<ec> all_good(size_t n) {
  return std::vector<ec>(n, ec::none);
}

transaction_step failing_step(std::string key, ec code) {
  return [=](transaction& x) {
    auto failure = x.put(table::queue, key, "must not stay");
    return failure ? failure : caf::make_error(code, std::string{"by itself"});
  };
}

} // namespace

TEST_SUITE_BEGIN("store");

TEST_CASE_TEMPLATE("commits all that waits together", Medium, memory_medium, lmdb_medium) {
  store_fixture<Medium> f;
  for (int i = 0; i < 100; ++i)
    f.queue(put_step("k" + std::to_string(i), "v"));
  CHECK(f.outcomes() == all_good(100));
  CHECK(f.counted("rvi_store_commits_total") == 1);
  CHECK(f.counted("rvi_store_syncs_total") == 1);
  CHECK(f.counted("rvi_store_steps_total") == 100);
  CHECK(f.content().size() == 100);
}

TEST_CASE_TEMPLATE("keeps to the limit of steps per commit", Medium, memory_medium, lmdb_medium) {
  store_fixture<Medium> f{10};
  for (int i = 0; i < 25; ++i)
    f.queue(put_step("k" + std::to_string(i), "v"));
  CHECK(f.outcomes() == all_good(25));
  CHECK(f.counted("rvi_store_commits_total") == 3);
}

TEST_CASE_TEMPLATE("does not sync for steps that change nothing", Medium, memory_medium,
                   lmdb_medium) {
  store_fixture<Medium> f;
  CHECK(f.commit([](transaction& x) {
    auto erased = x.erase(table::queue, "absent");
    CHECK(erased);
    return erased && !*erased ? caf::error{} : caf::make_error(ec::internal);
  }) == ec::none);
  CHECK(f.counted("rvi_store_syncs_total") == 0);
  CHECK(f.counted("rvi_store_steps_total") == 1);
}

TEST_CASE_TEMPLATE("a failing step takes no other with it", Medium, memory_medium, lmdb_medium) {
  store_fixture<Medium> f;
  auto expected_outcomes = all_good(10);
  strings expected_content;
  for (size_t i = 0; i < 10; ++i) {
    auto key = std::to_string(i);
    if (i == 0 || i == 4 || i == 5 || i == 9) {
      expected_outcomes[i] = i == 4 ? ec::busy : ec::store_failed; // its own, not the disk's
      f.queue(failing_step(key, expected_outcomes[i]));
    } else {
      f.queue(put_step(key, "v"));
      expected_content.push_back(key + "=v");
    }
  }
  CHECK(f.outcomes() == expected_outcomes);
  CHECK(f.content() == expected_content);
  CHECK(f.counted("rvi_store_commits_total") == 2); // 1 to 3 and 6 to 8
  CHECK(f.counted("rvi_store_step_errors_total") == 4);
  CHECK(f.metrics.get_gauge("rvi_store_degraded", "").value() == 0);
  CHECK(f.put("later", "v") == ec::none);
}

TEST_CASE_TEMPLATE("a step that throws is refused alone", Medium, memory_medium, lmdb_medium) {
  store_fixture<Medium> f;
  f.queue(put_step("a", "1"));
  f.queue([](transaction&) -> caf::error { throw std::runtime_error("boom"); });
  f.queue([](transaction&) -> caf::error { throw 1; });
  f.queue(put_step("b", "2"));
  CHECK(f.outcomes() == std::vector{ec::none, ec::internal, ec::internal, ec::none});
  CHECK(f.content() == strings{"a=1", "b=2"});
}

TEST_CASE_TEMPLATE("a failed change fails its step even if unreported", Medium, memory_medium,
                   lmdb_medium) {
  store_fixture<Medium> f;
  for (auto& key : {std::string{}, std::string(512, 'k')}) {
    f.queue(put_step("a", "1"));
    f.queue([key](transaction& x) {
      x.put(table::queue, "c", "3");
      x.put(table::queue, key, "v");
      return caf::error{};
    });
    f.queue(put_step("b", "2"));
    CHECK(f.outcomes() == std::vector{ec::none, ec::too_large, ec::none});
    CHECK(f.content() == strings{"a=1", "b=2"});
  }
  CHECK(f.put(std::string(511, 'k'), "v") == ec::none);
}

TEST_CASE_TEMPLATE("steps see what was done before them", Medium, memory_medium, lmdb_medium) {
  store_fixture<Medium> f;
  for (int i = 0; i < 50; ++i)
    f.queue([](transaction& x) -> caf::error {
      auto old = x.get(table::meta, "n");
      if (!old)
        return old.error();
      auto n = *old ? std::stoi(**old) : 0;
      return x.put(table::meta, "n", std::to_string(n + 1));
    });
  CHECK(f.outcomes() == all_good(50));
  CHECK(f.content(table::meta) == strings{"format=1", "n=50"});
}

TEST_CASE_TEMPLATE("a read sees the steps queued before it", Medium, memory_medium, lmdb_medium) {
  store_fixture<Medium> f;
  f.queue(put_step("a", "1"));
  std::optional<std::string> seen;
  CHECK(f.read([&](transaction& x) {
    auto found = x.get(table::queue, "a");
    seen = found ? *found : std::nullopt;
    return caf::error{};
  }) == ec::none);
  CHECK(seen == "1");
  CHECK(f.outcomes() == all_good(1));
  CHECK(f.counted("rvi_store_commits_total") == 1);
}

TEST_CASE_TEMPLATE("a reading step cannot change anything", Medium, memory_medium, lmdb_medium) {
  store_fixture<Medium> f;
  CHECK(f.put("a", "1") == ec::none);
  CHECK(f.read(put_step("b", "2")) == ec::internal);
  CHECK(f.read([](transaction& x) {
    x.append(table::queue, "b", "2");
    return caf::error{};
  }) == ec::internal);
  CHECK(f.read([](transaction& x) {
    CHECK_FALSE(x.erase(table::queue, "a"));
    return caf::error{};
  }) == ec::internal);
  CHECK(f.read([](transaction&) { return caf::make_error(ec::not_found); }) == ec::not_found);
  CHECK(f.read([](transaction&) -> caf::error { throw 1; }) == ec::internal);
  CHECK(f.content() == strings{"a=1"});
}

TEST_CASE_TEMPLATE("what was answered is there after a restart", Medium, memory_medium,
                   lmdb_medium) {
  store_fixture<Medium> f;
  CHECK(f.put("a", "1") == ec::none);
  CHECK(f.put("b", "2") == ec::none);
  CHECK(f.commit([](transaction& x) {
    auto erased = x.erase(table::queue, "a");
    return erased && *erased ? caf::error{} : caf::make_error(ec::internal);
  }) == ec::none);
  f.restart();
  CHECK(f.content() == strings{"b=2"});
}

TEST_CASE_TEMPLATE("what waits is committed when the node stops", Medium, memory_medium,
                   lmdb_medium) {
  store_fixture<Medium> f;
  f.queue(put_step("a", "1"));
  REQUIRE(f.sched.try_run_once()); // the actor has it now, and has sent itself the marker
  f.end(caf::exit_reason::user_shutdown);
  CHECK(f.outcomes() == all_good(1));
  f.start();
  CHECK(f.content() == strings{"a=1"});
}

TEST_CASE_TEMPLATE("a full store refuses what does not fit and recovers", Medium, memory_medium,
                   lmdb_medium) {
  store_fixture<Medium> f;
  f.medium.limit_size();
  f.restart();
  int written = 0;
  while (f.put("k" + std::to_string(10'000 + written), std::string(2'000, 'x')) == ec::none)
    REQUIRE(++written < 1'000);
  CHECK(written > 50);
  f.queue(put_step("big", std::string(100'000, 'x')));
  f.queue([](transaction& x) {
    auto erased = x.erase(table::queue, "k10000");
    return erased ? caf::error{} : erased.error();
  });
  auto outcomes = f.outcomes();
  CHECK(outcomes == std::vector{ec::store_full, ec::none});
  CHECK(f.metrics.get_gauge("rvi_store_degraded", "").value() == 0);
  for (int i = 1; i < written; ++i)
    f.queue([i](transaction& x) {
      auto erased = x.erase(table::queue, "k" + std::to_string(10'000 + i));
      return erased ? caf::error{} : erased.error();
    });
  CHECK(f.outcomes() == all_good(size_t(written) - 1));
  CHECK(f.put("a", std::string(2'000, 'x')) == ec::none);
  CHECK(f.content().size() == 1);
}

TEST_CASE_TEMPLATE("refuses the format of a newer program", Medium, memory_medium, lmdb_medium) {
  for (auto format : {"2", "0", "x", "", "1 "}) {
    CAPTURE(format);
    store_fixture<Medium> f;
    CHECK(f.commit([format](transaction& x) { return x.put(table::meta, "format", format); })
          == ec::none);
    f.end();
    auto opened = f.medium.open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error() == ec::protocol_mismatch);
  }
}

TEST_SUITE_END();
