// SPDX-License-Identifier: MPL-2.0
//
// Every n-th call of the store to the system fails, once and for ever, with each error; LMDB's
// requests for memory as well. Nothing crashes, what was answered `committed` stays, everything
// else is answered with an error, and a sync that failed is not tried again.
//
//   store-faults-calls [--seed S] [--error E] [--call N] [--forever 0|1]

#include "actors/storage/store.hpp"
#include "runtime/observe/log.hpp"
#include "test/store_faults/io_shim.hpp"
#include "test/store_faults/ledger_store.hpp"
#include "test/store_faults/options.hpp"
#include "test/support/deterministic_system.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdio>
#include <sys/mman.h>

using namespace test;
using namespace test::faults;

namespace {

constexpr int short_write = 0;
constexpr uint64_t no_limit_reached = ~uint64_t{0};

struct errors {
  int number;
  const char* name;
};
constexpr errors tried[]
  = {{EIO, "EIO"},       {ENOSPC, "ENOSPC"}, {EDQUOT, "EDQUOT"},          {EINTR, "EINTR"},
     {EMFILE, "EMFILE"}, {ENOMEM, "ENOMEM"}, {short_write, "short write"}};

/// What one run did, shared with its child.
struct result {
  uint64_t calls;
  uint64_t committed, refused, full;
  uint64_t opened;
  uint64_t syncs_again;
  bool degraded;
  bool failed_before_open;
  char call[32];
  char problem[600];
};

struct plan {
  uint64_t seed = 1;
  io::fault fault;
  uint64_t memory_call = 0; // instead of a call to the system
  bool memory_for_ever = false;
};

/// One history in a child: the faulty life of a store under its actor.
class faulty_life {
public:
  faulty_life(const fault_folder& folder, const plan& plan, world w, const model& before,
              result& out)
    : folder_(folder),
      plan_(plan),
      world_(std::move(w)),
      allowed_{before},
      out_(out) {}

  int run() {
    io::watch(folder_.base());
    if (plan_.memory_call != 0)
      io::set_memory_fault(plan_.memory_call, plan_.memory_for_ever);
    else
      io::set_fault(plan_.fault);
    work();
    out_.calls = plan_.memory_call != 0 ? io::memory_calls() : io::calls();
    std::snprintf(out_.call, sizeof out_.call, "%s", io::failed_call().c_str());
    out_.syncs_again = io::syncs_after_failed_sync();
    io::set_fault({});
    io::set_memory_fault(0, false);
    if (out_.syncs_again > 0)
      return problem("a sync was tried again after it had failed");
    return healed();
  }

private:
  int problem(const std::string& what) {
    std::snprintf(out_.problem, sizeof out_.problem, "%s", what.c_str());
    return 1;
  }

  void work() {
    auto report = check_as_node(folder_.store());
    if (!report) {
      out_.failed_before_open = true;
      return;
    }
    auto disk = open_disk(folder_.store());
    if (!disk) {
      out_.failed_before_open = true;
      return;
    }
    out_.opened = 1;
    deterministic_system system;
    rvi::store_config config;
    config.disk = *disk;
    auto store = system.spawn(rvi::store, config);
    bool again = true;
    for (int batch = 0; batch < 4 && again; ++batch)
      again = commit_some(system, store);
    out_.degraded = (*disk)->failed();
    caf::anon_send_exit(store, caf::exit_reason::user_shutdown);
    system.settle();
  }

  /// Three transactions asked for at once; false when the store has given up.
  bool commit_some(deterministic_system& system, const rvi::store_actor& store) {
    auto before = world_;
    auto script = draw_script(world_, 2);
    script[0].starts = false;
    using pending = decltype(system.self->request(store, caf::infinite, rvi::atom::commit_v,
                                                  rvi::transaction_step{}));
    std::vector<pending> answers;
    for (auto& x : script)
      answers.push_back(system.self->request(
        store, caf::infinite, rvi::atom::commit_v,
        rvi::transaction_step{[&x](rvi::transaction& t) { return faults::run(t, x); }}));
    system.settle();
    size_t good = 0;
    auto later = false; // one was committed after one that was refused
    caf::error why;
    for (size_t i = 0; i < answers.size(); ++i)
      answers[i].receive(
        [&](rvi::atom::committed) {
          later = later || good < i;
          ++good;
        },
        [&](const caf::error& x) {
          out_.full += x == rvi::ec::store_full;
          why = x;
        });
    out_.committed += good;
    out_.refused += script.size() - good;
    if (later || good < script.size()) {
      // Those refused may have left nothing, or the failed commit is there all the same.
      world_ = std::move(before);
      remember(script, good, later);
      return false;
    }
    allowed_ = {script.back().after};
    return true;
  }

  void remember(const std::vector<transaction_script>& script, size_t good, bool later) {
    if (later) {
      // Which of them are there is what their own steps say, applied one by one.
      allowed_.clear();
      return;
    }
    if (good > 0)
      allowed_ = {script[good - 1].after};
    for (auto i = good; i < script.size(); ++i)
      allowed_.push_back(script[i].after);
  }

  /// The fault is over and the node starts again.
  int healed() {
    auto report = check_as_node(folder_.store());
    if (!report)
      return problem("after the fault: " + rvi::describe(report.error()));
    // A store whose making failed holds nothing yet: it begins anew.
    auto never_there = plan_.seed % 2 == 0 && out_.opened == 0;
    if (!report->empty() && !never_there)
      return problem("after the fault the store is damaged: " + *report);
    auto disk = open_disk(folder_.store());
    if (!disk)
      return problem("after the fault: " + rvi::describe(disk.error()));
    auto found = read_model(**disk);
    if (!found)
      return problem("after the fault: " + rvi::describe(found.error()));
    for (auto& x : allowed_)
      if (difference(x, *found).empty())
        return 0;
    return allowed_.empty() ? 0 : problem(difference(allowed_.front(), *found));
  }

  const fault_folder& folder_;
  plan plan_;
  world world_;
  std::vector<model> allowed_; // what may be found in the end; empty: only sound
  result& out_;
};

struct totals {
  uint64_t runs = 0, degraded = 0, refused = 0, full = 0, unharmed = 0, not_started = 0;
};

/// A store with a past in a folder of its own.
struct prepared {
  explicit prepared(uint64_t seed) : at(seed) {
    if (seed % 2 == 0)
      return; // it is made under the faults
    auto past = draw_script(at, 8);
    REQUIRE(in_child([&] {
              auto disk = open_disk(folder.store());
              return disk && !run_all(**disk, past) ? 0 : 1;
            })
            == 0);
    before = past.back().after;
    content = folder.content();
  }

  result run(const plan& x, int& status) {
    if (content.empty())
      folder.clear();
    else
      folder.put(content);
    *out = {};
    status = in_child([&] { return faulty_life(folder, x, at, before, *out).run(); });
    return *out;
  }

  fault_folder folder;
  world at;
  model before;
  std::string content;
  result* out = static_cast<result*>(
    ::mmap(nullptr, sizeof(result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
};

bool run_one(prepared& store, const plan& x, const std::string& name, totals& counts) {
  int status = 0;
  auto got = store.run(x, status);
  auto n = x.memory_call != 0 ? x.memory_call : x.fault.call;
  CHECK_MESSAGE(status == 0, "status " << status << ": " << got.problem << "; call " << got.call
                                       << "; replay: store-faults-calls --seed " << x.seed
                                       << " --error " << x.fault.error << " --call " << n
                                       << " --forever " << x.fault.for_ever << " (" << name << ")");
  ++counts.runs;
  counts.refused += got.refused;
  counts.full += got.full;
  counts.degraded += got.degraded;
  counts.not_started += got.failed_before_open;
  counts.unharmed += got.refused == 0 && !got.failed_before_open;
  // A disk that fails for good says so: to whoever asked, or at the start.
  if (got.degraded)
    CHECK(got.refused > 0);
  return n <= got.calls;
}

void report(const char* what, const totals& x, const stopwatch& watch) {
  std::printf("store-faults calls: %lu runs with %s, %lu did not start, %lu degraded, %lu "
              "transactions refused (%lu for want of room), %lu runs unharmed; %.1f s of CPU\n",
              x.runs, what, x.not_started, x.degraded, x.refused, x.full, x.unharmed,
              watch.cpu_seconds());
}

} // namespace

TEST_CASE("whatever call fails, with whatever error, no promise is broken") {
  rvi::log::configure(rvi::log::level::off, rvi::log::format::text);
  auto first = option("--seed", 1);
  auto only = option("--call", 0);
  auto only_error = option("--error", no_limit_reached);
  totals counts;
  stopwatch watch;
  for (auto seed = first; seed < first + (only == 0 ? 2 : 1); ++seed) {
    prepared store(seed);
    for (auto& [number, name] : tried)
      for (auto for_ever : {false, true}) {
        if (number == EINTR && for_ever)
          continue; // a call that is interrupted for ever is one that hangs
        if (only != 0
            && (only_error != uint64_t(number) || option("--forever", 0) != uint64_t(for_ever)))
          continue;
        auto n = only == 0 ? 1 : only;
        while (run_one(store, {seed, {n, number, for_ever, false}}, name, counts) && only == 0)
          ++n;
      }
  }
  report("one failing call", counts, watch);
}

TEST_CASE("a store without memory refuses and keeps what it has") {
  rvi::log::configure(rvi::log::level::off, rvi::log::format::text);
  totals counts;
  stopwatch watch;
  for (auto for_ever : {false, true}) {
    prepared store(1);
    plan x;
    x.memory_for_ever = for_ever;
    for (x.memory_call = 1; run_one(store, x, "memory", counts);)
      ++x.memory_call;
  }
  report("memory refused to LMDB", counts, watch);
}
