// SPDX-License-Identifier: MPL-2.0
//
// SIGKILL before and after every system call of a working store, and at random times. A store
// writes its data by system calls only, so that a kill between two calls is a kill at any
// instruction between them.
//
//   store-faults-kill [--kills N] [--random N] [--seed S]

#include "runtime/lmdb/lmdb.hpp"
#include "runtime/observe/log.hpp"
#include "test/store_faults/ledger_store.hpp"
#include "test/store_faults/options.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace test;
using namespace test::faults;

namespace {

using script = std::vector<transaction_script>;

struct figures {
  uint64_t kills = 0;
  uint64_t ahead = 0; // found one transaction ahead of the promise
  uint64_t idle = 0;  // the work was done before the kill
  uint64_t stops_max = 0;
};

/// A child at work on the store, and what it promised.
class worker {
public:
  worker(const std::string& path, const script& work, bool traced) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    child_ = ::fork();
    REQUIRE(child_ >= 0);
    if (child_ == 0) {
      for (auto x : {SIGSEGV, SIGBUS, SIGABRT})
        std::signal(x, SIG_DFL);
      if (traced) {
        if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0)
          ::_exit(3);
        ::raise(SIGSTOP);
      }
      ::_exit(go(ends[1], path, work));
    }
    ::close(ends[1]);
    promises_ = ends[0];
  }

  ~worker() { ::close(promises_); }

  /// Lets it run to its `n`-th stop, one before and one after each call; false if it ended first.
  bool run_to_stop(uint64_t n) {
    for (; wait_for_stop() && n > 0; --n)
      if (::ptrace(PTRACE_SYSCALL, child_, nullptr, nullptr) != 0)
        return false;
    return !ended_;
  }

  void kill() {
    if (ended_)
      return;
    ::kill(child_, SIGKILL);
    while (!ended_)
      wait_for_stop();
  }

  /// How it ended, as of waitpid.
  int status() const { return status_; }

  /// The last transaction it promised.
  size_t promised() {
    size_t result = 0;
    uint32_t number = 0;
    while (::read(promises_, &number, sizeof number) == sizeof number)
      result = number;
    return result;
  }

private:
  static int go(int to, const std::string& path, const script& work) {
    auto disk = open_disk(path);
    if (!disk)
      return 1;
    auto failure = run_all(**disk, work, [to](size_t n) {
      auto number = uint32_t(n);
      if (::write(to, &number, sizeof number) != sizeof number)
        ::_exit(4);
    });
    return failure ? 2 : 0;
  }

  /// True if it stands still; else it has ended.
  bool wait_for_stop() {
    if (ended_)
      return false;
    while (::waitpid(child_, &status_, 0) < 0)
      if (errno != EINTR)
        return false;
    ended_ = !WIFSTOPPED(status_);
    return !ended_;
  }

  pid_t child_ = -1;
  int promises_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

/// Opens what a kill left, as a node does, and says which transaction it holds.
size_t recovered_to(const std::string& path, const model& before, const script& work,
                    size_t promised, model& found) {
  auto report = check_as_node(path);
  REQUIRE_MESSAGE(report, rvi::describe(report.error()));
  REQUIRE_MESSAGE((report->empty() || promised == 0), *report);
  auto disk = open_disk(path);
  REQUIRE_MESSAGE(disk, rvi::describe(disk.error()));
  auto content = read_model(**disk);
  REQUIRE_MESSAGE(content, rvi::describe(content.error()));
  found = std::move(*content);
  auto state = [&](size_t n) -> const model& { return n == 0 ? before : work[n - 1].after; };
  if (promised < work.size() && difference(state(promised + 1), found).empty()
      && !difference(state(promised), found).empty())
    return promised + 1;
  REQUIRE(difference(state(promised), found) == "");
  return promised;
}

/// A store with a past, and work to be killed in.
struct prepared {
  explicit prepared(uint64_t seed) : at(seed) {
    auto past = draw_script(at, seed % 4 == 0 ? 0 : 8);
    if (seed % 4 != 0) {
      // In a child: nobody forks with a store open.
      REQUIRE(in_child([&] {
                auto disk = open_disk(folder.store());
                return disk && !run_all(**disk, past) ? 0 : 1;
              })
              == 0);
      before = past.back().after;
      content = folder.content();
    } else {
      at = world{seed}; // the store is made under the kills
    }
    work = draw_script(at, 4);
  }

  void restore() const {
    if (content.empty())
      folder.clear();
    else
      folder.put(content);
  }

  fault_folder folder;
  world at;
  model before;
  std::string content;
  script work;
};

/// Kills at every stop there is; false if the system allows no tracing.
bool kill_everywhere(uint64_t seed, figures& counts) {
  prepared store(seed);
  for (uint64_t stop = 1;; ++stop) {
    CAPTURE(seed);
    CAPTURE(stop);
    store.restore();
    worker child(store.folder.store(), store.work, true);
    auto stopped = child.run_to_stop(stop);
    if (!stopped && WIFEXITED(child.status()) && WEXITSTATUS(child.status()) == 3)
      return false;
    child.kill();
    auto promised = child.promised();
    if (!stopped) {
      REQUIRE(child.status() == 0);
      REQUIRE(promised == store.work.size());
      counts.stops_max = std::max(counts.stops_max, stop);
      return true;
    }
    ++counts.kills;
    model found;
    auto reached = recovered_to(store.folder.store(), store.before, store.work, promised, found);
    counts.ahead += reached > promised;
  }
}

/// One store lives on through kill after kill; at the end every request has had its end.
void kill_at_random(uint64_t seed, uint64_t kills, figures& counts) {
  fault_folder folder;
  world w{seed};
  model before;
  double ms = 4;
  for (uint64_t i = 0; i < kills; ++i) {
    CAPTURE(seed);
    CAPTURE(i);
    auto work = draw_script(w, 12);
    worker child(folder.store(), work, false);
    auto wait_us = long(w.random() % uint64_t(ms * 1'000 + 1));
    timespec span{0, wait_us * 1'000};
    ::nanosleep(&span, nullptr);
    child.kill();
    auto promised = child.promised();
    REQUIRE((WIFSIGNALED(child.status()) || child.status() == 0));
    // Kills shall strike work, however fast the machine is.
    ms = promised == work.size() ? ms * 0.9 : promised == 0 ? ms * 1.1 + 0.1 : ms;
    ms = std::min(ms, 50.0);
    counts.idle += promised == work.size();
    ++counts.kills;
    auto reached = recovered_to(folder.store(), before, work, promised, w.now);
    counts.ahead += reached > promised;
    before = w.now;
  }
  auto rest = draw_drain(w);
  worker child(folder.store(), rest, false);
  REQUIRE(child.promised() == rest.size()); // waits for its end
  child.kill();
  model found;
  recovered_to(folder.store(), before, rest, rest.size(), found);
  for (auto& [id, x] : found) {
    INFO(describe(id, x));
    // Whatever was made here has ended, and nothing is left in anybody's hands.
    CHECK((id.second != 'o' || x.at == state::ended));
    CHECK(x.at != state::dispatched);
  }
}

} // namespace

TEST_CASE("a kill before or after any system call loses nothing that was promised") {
  rvi::log::configure(rvi::log::level::off, rvi::log::format::text);
  auto wanted = option("--kills", 5'000);
  auto first = option("--seed", 1);
  figures counts;
  stopwatch watch;
  auto traced = true;
  auto seed = first;
  for (; traced && counts.kills < wanted; ++seed)
    traced = kill_everywhere(seed, counts);
  std::printf(
    "store-faults kill: %lu kills before and after every system call (up to %lu of one "
    "history), %lu histories%s, %lu one transaction ahead of the promise; %.1f s of CPU\n",
    counts.kills, counts.stops_max, seed - first,
    traced ? "" : " (NO TRACING HERE: only random times)", counts.ahead, watch.cpu_seconds());
}

TEST_CASE("a kill at any time loses nothing that was promised") {
  rvi::log::configure(rvi::log::level::off, rvi::log::format::text);
  auto wanted = option("--random", 1'000);
  constexpr uint64_t kills_of_a_store = 100;
  figures counts;
  stopwatch watch;
  for (uint64_t seed = option("--seed", 1); counts.kills < wanted; ++seed)
    kill_at_random(seed, kills_of_a_store, counts);
  std::printf("store-faults kill: %lu kills at random times (%lu after the work was done), %lu one "
              "transaction ahead of the promise; %.1f s of CPU\n",
              counts.kills, counts.idle, counts.ahead, watch.cpu_seconds());
}
