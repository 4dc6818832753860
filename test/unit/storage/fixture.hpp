// SPDX-License-Identifier: MPL-2.0
//
// A store actor over either disk, and short ways to ask it.

#pragma once

#include "actors/storage/lmdb_disk.hpp"
#include "actors/storage/memory_store.hpp"
#include "actors/storage/store.hpp"
#include "test/support/deterministic_system.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace test {

/// Opens the same disk again and again, as a node does over its life.
struct memory_medium {
  rvi::expected<std::shared_ptr<rvi::durable_disk>> open() { return disk->open(); }
  void limit_size() { disk->set_capacity(200'000); }

  std::shared_ptr<rvi::memory_disk> disk = rvi::memory_disk::make();
};

class lmdb_medium {
public:
  lmdb_medium() {
    std::string pattern = std::filesystem::temp_directory_path() / "rvi-store-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  lmdb_medium(const lmdb_medium&) = delete;
  lmdb_medium& operator=(const lmdb_medium&) = delete;
  ~lmdb_medium() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  rvi::expected<std::shared_ptr<rvi::durable_disk>> open() {
    rvi::lmdb_disk_options options;
    options.path = path_ + "/store";
    options.map_bytes = map_bytes_;
    auto opened = rvi::open_store(options);
    if (!opened)
      return opened.error();
    return std::shared_ptr<rvi::durable_disk>{std::move(*opened)};
  }

  /// From the next opening on.
  void limit_size() { map_bytes_ = 1 << 20; }

private:
  std::string path_;
  uint64_t map_bytes_ = uint64_t(1) << 30;
};

template <class Medium>
struct store_parts { // a base, so that it outlives the actors
  Medium medium;
  rvi::metrics::registry metrics;
};

template <class Medium>
struct store_fixture : store_parts<Medium>, deterministic_system {
  using pending = decltype(std::declval<caf::scoped_actor&>()->request(
    rvi::store_actor{}, caf::infinite, rvi::atom::commit_v, rvi::transaction_step{}));

  explicit store_fixture(size_t steps_max = 4'096) : steps_per_commit_max(steps_max) { start(); }

  void start() {
    auto disk = this->medium.open();
    REQUIRE(disk);
    rvi::store_config config;
    config.disk = std::move(*disk);
    config.steps_per_commit_max = steps_per_commit_max;
    config.metrics = &this->metrics;
    store = spawn(rvi::store, std::move(config));
    settle();
  }

  void end(caf::exit_reason reason = caf::exit_reason::kill) {
    caf::anon_send_exit(store, reason);
    store = nullptr;
    settle();
  }

  void restart() {
    end();
    start();
  }

  /// Hands the actor a step; it does not run yet.
  void queue(rvi::transaction_step step) {
    queued.push_back(self->request(store, caf::infinite, rvi::atom::commit_v, std::move(step)));
  }

  /// What became of the steps queued, in order.
  std::vector<rvi::ec> outcomes() {
    settle();
    std::vector<rvi::ec> result;
    for (auto& x : queued)
      x.receive([&](rvi::atom::committed) { result.push_back(rvi::ec::none); },
                [&](const caf::error& e) { result.push_back(rvi::code_of(e)); });
    queued.clear();
    return result;
  }

  rvi::ec commit(rvi::transaction_step step) {
    queue(std::move(step));
    return outcomes().front();
  }

  rvi::ec put(const std::string& key, const std::string& value) {
    return commit([=](rvi::transaction& x) { return x.put(rvi::table::queue, key, value); });
  }

  rvi::ec read(rvi::transaction_step step) {
    auto answer = ask<rvi::atom::done>(store, rvi::atom::read_v, std::move(step));
    return answer ? rvi::ec::none : rvi::code_of(answer.error());
  }

  /// The records of a table as `key=value`, in order.
  std::vector<std::string> content(rvi::table t = rvi::table::queue) {
    std::vector<std::string> result;
    CHECK(read([&](rvi::transaction& x) {
            result.clear();
            return x.scan(t, "", x.no_limit, [&](std::string_view key, std::string_view value) {
              result.push_back(std::string{key} + "=" + std::string{value});
              return true;
            });
          })
          == rvi::ec::none);
    return result;
  }

  uint64_t counted(const std::string& name) { return this->metrics.get_counter(name, "").value(); }

  size_t steps_per_commit_max;
  rvi::store_actor store;
  std::vector<pending> queued;
};

inline rvi::transaction_step put_step(std::string key, std::string value) {
  return [=](rvi::transaction& x) { return x.put(rvi::table::queue, key, value); };
}

} // namespace test
