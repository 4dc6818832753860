// SPDX-License-Identifier: MPL-2.0
//
// Power cuts: what the store writes and syncs is recorded; at every point of it images are made of
// what a disk may hold then, opened as a node opens its store, and held to what was promised.
//
//   store-faults-power [--images N] [--seed S] [--image I]

#include "runtime/observe/log.hpp"
#include "test/store_faults/io_shim.hpp"
#include "test/store_faults/ledger_store.hpp"
#include "test/store_faults/options.hpp"
#include "test/store_faults/sim_disk.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <sys/mman.h>
#include <sys/stat.h>

using namespace test;
using namespace test::faults;

namespace {

/// Figures shared with the child that works, and where it is.
struct progress {
  uint64_t images, points, events, salvages, reopened, nested, newest, ahead;
  uint64_t seed, image;
};

using script = std::vector<transaction_script>;

/// One history of a store: lives of a node, one after another, recorded as one log.
struct history {
  std::vector<script> lives;
  /// States by promise number: what is there after so many transactions.
  std::vector<const model*> states;
  model empty;
  // After a failed commit: it may be there all the same, until the next promise.
  std::map<uint64_t, model> failed;

  /// The states that may be found after a cut: as promised, or one transaction ahead.
  bool allows(uint64_t promised, const model& found, progress& counts) const {
    if (difference(*states[promised], found).empty()) {
      ++counts.newest;
      return true;
    }
    ++counts.ahead;
    auto other = failed.find(promised);
    if (other != failed.end() && difference(other->second, found).empty())
      return true;
    return promised + 1 < states.size() && difference(*states[promised + 1], found).empty();
  }
};

enum class failing : uint8_t { nothing, sync };

/// Opens, starts and runs; promises go to the log. With a fault, the disk refuses one sync or one
/// durable write for good, and the node is started again.
void live(history& h, const std::string& path, world& w, size_t transactions, failing fault) {
  auto before = h.states.size() - 1;
  auto life = draw_script(w, transactions);
  if (fault == failing::sync)
    io::set_fault({.call = 1 + w.random() % (2 * transactions), .error = EIO, .syncs_only = true});
  auto start = w;
  size_t durable = 0;
  {
    auto disk = open_disk(path);
    if (disk) {
      auto failure = run_all(**disk, life, [&](size_t n) {
        durable = n;
        io::promise(before + n);
      });
      REQUIRE_MESSAGE((!failure || fault != failing::nothing), rvi::describe(failure));
    } else {
      REQUIRE_MESSAGE(fault != failing::nothing, rvi::describe(disk.error()));
    }
  }
  io::set_fault({});
  h.lives.push_back(std::move(life));
  auto& kept = h.lives.back();
  if (durable < kept.size()) {
    // The next life goes on from what is there now: as promised, or one transaction ahead.
    auto disk = open_disk(path);
    REQUIRE(disk);
    auto found = read_model(**disk);
    REQUIRE(found);
    if (difference(kept[durable].after, *found).empty()) {
      ++durable;
    } else {
      auto& promised = durable == 0 ? *h.states.back() : kept[durable - 1].after;
      REQUIRE(difference(promised, *found) == "");
      h.failed[before + durable] = kept[durable].after;
    }
    kept.resize(durable);
    w.now = *found;
    io::promise(before + durable);
  }
  for (auto& x : kept)
    h.states.push_back(&x.after);
}

class cut_run {
public:
  cut_run(uint64_t seed, uint64_t images, uint64_t only, progress& counts)
    : random_(seed * 7919),
      images_(images),
      only_(only),
      counts_(counts),
      world_(seed) {
    h_.lives.reserve(8);
    h_.states.push_back(&h_.empty);
    counts_.seed = seed;
  }

  void run() {
    auto fault = counts_.seed % 3 == 2 ? failing::sync : failing::nothing;
    io::watch(folder_.base());
    io::start_log();
    live(h_, folder_.store(), world_, 10, failing::nothing);
    live(h_, folder_.store(), world_, 10, fault);
    live(h_, folder_.store(), world_, 6, failing::nothing);
    io::stop_log();
    auto points = walk([](auto&, auto) {});
    auto each = std::max<uint64_t>(1, images_ / std::max<uint64_t>(1, points));
    walk([&](sim_disk& disk, uint64_t promised) {
      ++counts_.points;
      for (uint64_t i = 0; i < each; ++i)
        cut(disk, promised);
    });
  }

private:
  using at_point = std::function<void(sim_disk&, uint64_t promised)>;

  /// Goes through the log and stops wherever a cut may leave something new.
  uint64_t walk(const at_point& visit) {
    std::mt19937_64 failures(counts_.seed);
    sim_disk disk(folder_.base() + "/node");
    uint64_t promised = 0, points = 0;
    io::event x;
    for (io::log_reader log; log.next(x);) {
      disk.apply(x, failures);
      if (x.kind == io::event_kind::promise)
        promised = x.offset;
      if (!disk.unsettled() && x.kind != io::event_kind::sync
          && x.kind != io::event_kind::write_end)
        continue;
      ++points;
      visit(disk, promised);
    }
    return points;
  }

  void put(const std::map<std::string, std::string>& image) const {
    auto data = image.find(folder_.data());
    auto simple
      = image.size() <= 3 && data != image.end() && std::filesystem::exists(folder_.store());
    if (simple) { // stale lock files stay, as after a cut
      folder_.put(data->second);
      return;
    }
    folder_.clear();
    for (auto& [path, content] : image) {
      std::filesystem::create_directories(std::filesystem::path{path}.parent_path());
      auto file = std::fopen(path.c_str(), "wb");
      REQUIRE(file);
      std::fwrite(content.data(), 1, content.size(), file);
      std::fclose(file);
    }
  }

  void cut(const sim_disk& disk, uint64_t promised) {
    auto image = disk.draw(random_);
    if (only_ != 0 && counts_.image + 1 != only_) {
      ++counts_.image;
      return;
    }
    put(image);
    ++counts_.images;
    ++counts_.image;
    open_image(promised);
  }

  void open_image(uint64_t promised) {
    auto report = check_as_node(folder_.store());
    REQUIRE_MESSAGE(report, rvi::describe(report.error()));
    // A store that was never promised to anybody may be torn: it begins anew.
    counts_.salvages += !report->empty();
    REQUIRE_MESSAGE((report->empty() || promised == 0), *report);
    auto store = open_disk(folder_.store());
    REQUIRE_MESSAGE(store, rvi::describe(store.error()));
    auto found = read_model(**store);
    REQUIRE_MESSAGE(found, rvi::describe(found.error()));
    INFO(difference(*h_.states[promised], *found));
    REQUIRE(h_.allows(promised, *found, counts_));
    if (random_() % 50 == 0)
      go_on(**store, std::move(*found));
  }

  /// What was recovered must work on; and a cut in that must be survived as well.
  void go_on(rvi::durable_disk& store, model found) {
    world w{random_()};
    w.now = std::move(found);
    w.now_ms = world_.now_ms;
    w.next_number = world_.next_number;
    w.next_seq = world_.next_seq;
    auto more = draw_script(w, 3);
    auto failure = run_all(store, more);
    REQUIRE_MESSAGE(!failure, rvi::describe(failure));
    auto now = read_model(store);
    REQUIRE_MESSAGE(now, rvi::describe(now.error()));
    REQUIRE(difference(more.back().after, *now) == "");
    ++counts_.reopened;
  }

  fault_folder folder_;
  std::mt19937_64 random_;
  uint64_t images_;
  uint64_t only_;
  progress& counts_;
  world world_;
  history h_;
};

} // namespace

TEST_CASE("after a power cut the store holds what was promised, wherever it strikes") {
  rvi::log::configure(rvi::log::level::off, rvi::log::format::text);
  auto total = option("--images", 100'000);
  auto first = option("--seed", 1);
  auto only = option("--image", 0);
  constexpr uint64_t images_per_seed = 2'500;
  auto memory
    = ::mmap(nullptr, sizeof(progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  auto& counts = *new (memory) progress{};
  stopwatch watch;
  for (auto seed = first; counts.images < total; ++seed) {
    counts.image = 0;
    auto status = in_child(
      [&] { return checked([&] { cut_run(seed, images_per_seed, only, counts).run(); }); });
    CHECK_MESSAGE(status == 0,
                  "replay: store-faults-power --seed " << seed << " --image " << counts.image);
    if (status != 0 || only != 0)
      break;
  }
  std::printf(
    "store-faults power: %lu images at %lu points of %lu seeds, %lu one transaction ahead "
    "of the promise, %lu went on; %.1f s of CPU\n",
    counts.images, counts.points, counts.seed - first + 1, counts.ahead, counts.reopened,
    watch.cpu_seconds());
}
