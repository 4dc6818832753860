// SPDX-License-Identifier: MPL-2.0
//
// A data file that rots at rest: bits flip, pages are misplaced or fall back to an older state, the
// end is missing. The check must say so, or nothing that matters was touched: then the store must
// hold exactly what it held, and work on. What is salvaged must be true.
//
//   store-faults-rot [--cases N] [--seed S] [--case C]

#include "runtime/lmdb/lmdb.hpp"
#include "runtime/observe/log.hpp"
#include "test/store_faults/ledger_store.hpp"
#include "test/store_faults/options.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <sys/mman.h>
#include <sys/wait.h>

using namespace test;
using namespace test::faults;

namespace {

constexpr size_t page = 4096;

enum class rot : uint8_t { two_bits, cut_short, misplaced_page, stale_page, kinds };

struct progress {
  uint64_t done, detected, crashed, harmless, salvaged, kept;
  uint64_t by_kind[size_t(rot::kinds)], found[size_t(rot::kinds)];
  uint64_t next; // the case at work
};

/// A store and an older state of its file.
struct history {
  explicit history(uint64_t seed) : at(seed) {
    // In children: nobody forks with a store open. The script is the same here and there.
    REQUIRE(in_child([&] { return write(8); }) == 0);
    draw_script(at, 8);
    older = folder.content();
    REQUIRE(in_child([&] { return write(6); }) == 0);
    draw_script(at, 6);
    now = folder.content();
  }

  int write(size_t transactions) {
    auto script = draw_script(at, transactions);
    auto disk = open_disk(folder.store());
    return disk && !run_all(**disk, script) ? 0 : 1;
  }

  fault_folder folder;
  world at;
  std::string older, now;
};

std::string damage(const history& h, rot kind, std::mt19937_64& random) {
  auto bytes = h.now;
  auto draw = [&](uint64_t n) { return random() % n; };
  auto pages = bytes.size() / page;
  switch (kind) {
    case rot::two_bits:
      for (int i = 0; i < 2; ++i)
        bytes[draw(bytes.size())] ^= char(1 << draw(8));
      break;
    case rot::cut_short:
      bytes.resize(draw(bytes.size()));
      break;
    case rot::misplaced_page: {
      auto from = draw(pages), to = draw(pages);
      std::copy_n(h.now.begin() + std::ptrdiff_t(from * page), page,
                  bytes.begin() + std::ptrdiff_t(to * page));
      break;
    }
    case rot::stale_page: {
      auto at = draw(std::min(pages, h.older.size() / page)) * page;
      std::copy_n(h.older.begin() + std::ptrdiff_t(at), page, bytes.begin() + std::ptrdiff_t(at));
      break;
    }
    case rot::kinds:
      break;
  }
  return bytes;
}

/// The check found nothing: then nothing may be wrong.
void must_work(const history& h, std::mt19937_64& random) {
  auto disk = open_disk(h.folder.store());
  REQUIRE_MESSAGE(disk, rvi::describe(disk.error()));
  auto found = read_model(**disk);
  REQUIRE_MESSAGE(found, rvi::describe(found.error()));
  REQUIRE(difference(h.at.now, *found) == "");
  world w = h.at;
  w.random.seed(random());
  auto more = draw_script(w, 8);
  auto failure = run_all(**disk, more);
  REQUIRE_MESSAGE(!failure, rvi::describe(failure));
  auto now = read_model(**disk);
  REQUIRE_MESSAGE(now, rvi::describe(now.error()));
  REQUIRE(difference(more.back().after, *now) == "");
  disk->reset();
  auto report = rvi::lmdb::check(h.folder.store());
  REQUIRE(report);
  REQUIRE_MESSAGE(report->sound(), report->describe());
}

/// What the product makes of it: nothing that was handed over may be handed over again.
void must_salvage(const history& h, progress& counts) {
  auto report = rvi::lmdb::check_in_child(h.folder.store());
  REQUIRE(report);
  REQUIRE_FALSE(report->sound());
  REQUIRE(report->describe() != "");
  auto kept = rvi::lmdb::salvage(h.folder.store());
  REQUIRE_MESSAGE(kept, rvi::describe(kept.error()));
  ++counts.salvaged;
  counts.kept += *kept;
  auto disk = open_disk(h.folder.store());
  REQUIRE_MESSAGE(disk, rvi::describe(disk.error()));
  auto ready = ready_for_hand_over(**disk);
  REQUIRE_MESSAGE(ready, rvi::describe(ready.error()));
  for (auto number : *ready) {
    auto at = h.at.now.find({number, 'i'});
    CAPTURE(number);
    REQUIRE((at != h.at.now.end() && at->second.at == state::held));
  }
}

/// A page of another place or time can bring back what a request was before it was handed over: the
/// check sees it, but what is salvaged then is not the latest (README, Limits).
bool keeps_order(rot kind) {
  return kind == rot::two_bits || kind == rot::cut_short;
}

/// Cases from `counts.next` on, until `end`; a crash ends the child, and its parent counts it.
void run_cases(const history& h, uint64_t seed, uint64_t end, progress& counts) {
  for (; counts.next < end; ++counts.next) {
    std::mt19937_64 random(seed * 1'000'003 + counts.next);
    auto kind = rot(counts.next % size_t(rot::kinds));
    auto bytes = damage(h, kind, random);
    h.folder.put(bytes);
    ++counts.done;
    ++counts.by_kind[size_t(kind)];
    auto report = rvi::lmdb::check(h.folder.store());
    auto sound = report && report->sound();
    counts.detected += !sound;
    counts.found[size_t(kind)] += !sound;
    counts.harmless += sound;
    if (sound && bytes != h.now)
      must_work(h, random);
    else if (!sound && keeps_order(kind) && random() % 75 == 0)
      must_salvage(h, counts);
  }
}

} // namespace

TEST_CASE("a rotten file is reported, and what it gives out is true") {
  rvi::log::configure(rvi::log::level::off, rvi::log::format::text);
  auto total = option("--cases", 50'000);
  auto first = option("--seed", 1);
  auto only = option("--case", ~uint64_t{0});
  constexpr uint64_t cases_per_store = 5'000;
  auto& counts = *new (::mmap(nullptr, sizeof(progress), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0)) progress{};
  stopwatch watch;
  auto broken = false;
  for (auto seed = first; counts.done < total && !broken; ++seed) {
    history h(seed);
    counts.next = only == ~uint64_t{0} ? 0 : only;
    auto end = only == ~uint64_t{0} ? cases_per_store : only + 1;
    while (counts.next < end && !broken) {
      auto status = in_child([&] { return checked([&] { run_cases(h, seed, end, counts); }); });
      if (WIFSIGNALED(status) && WTERMSIG(status) != SIGABRT) {
        // The check crashed: a node runs it in a child, which must say that.
        auto report = rvi::lmdb::check_in_child(h.folder.store());
        broken = !report || report->sound();
        ++counts.crashed;
        ++counts.detected;
        ++counts.next;
      } else {
        broken = status != 0;
      }
      CHECK_MESSAGE(!broken,
                    "replay: store-faults-rot --seed " << seed << " --case " << counts.next);
    }
    broken = broken || only != ~uint64_t{0};
  }
  std::printf("store-faults rot: %lu cases, %lu detected (%lu of them by a crash of the check's "
              "child), %lu harmless (and went on); two bits %lu of %lu, cut short %lu of %lu, "
              "misplaced page %lu of %lu, stale page %lu of %lu; %lu salvaged; %.1f s of CPU\n",
              counts.done, counts.detected, counts.crashed, counts.harmless, counts.found[0],
              counts.by_kind[0], counts.found[1], counts.by_kind[1], counts.found[2],
              counts.by_kind[2], counts.found[3], counts.by_kind[3], counts.salvaged,
              watch.cpu_seconds());
}
