// SPDX-License-Identifier: MPL-2.0

#include "actors/storage/lmdb_disk.hpp"

#include "runtime/lmdb/lmdb.hpp"
#include "runtime/observe/log.hpp"

#include <array>
#include <cassert>
#include <filesystem>
#include <set>

namespace rvi {

namespace {

constexpr lmdb::table_id id_of(table t) {
  return static_cast<lmdb::table_id>(t);
}

caf::error read_only() {
  return caf::make_error(ec::internal, std::string{"a change in a step that only reads"});
}

expected<std::optional<std::string>>
copy_of(const expected<std::optional<std::string_view>>& found) {
  if (!found)
    return found.error();
  if (!*found)
    return std::optional<std::string>{};
  return std::optional<std::string>{std::string{**found}};
}

/// Counts and names records whose checksum is wrong; scans go on without them.
class damage_report {
public:
  explicit damage_report(metrics::registry* registry) {
    if (registry)
      damaged_ = &registry->get_counter("rvi_store_damaged_records_total",
                                        "Damaged records that scans came across.");
  }

  void add(table t) {
    if (damaged_)
      damaged_->add();
    log::error("store", "skipped a damaged record", {{"table", to_string(t)}});
  }

private:
  metrics::counter* damaged_ = nullptr;
};

class reading final : public transaction {
public:
  reading(lmdb::read_transaction inner, damage_report& damage)
    : inner_(std::move(inner)),
      damage_(damage) {}

  expected<std::optional<std::string>> get(table t, std::string_view key) override {
    return copy_of(inner_.get(id_of(t), key));
  }

  caf::error put(table, std::string_view, std::string_view) override { return read_only(); }

  caf::error append(table, std::string_view, std::string_view) override { return read_only(); }

  void use_reserve(bool) override {}

  expected<bool> erase(table, std::string_view) override { return read_only(); }

  caf::error
  scan(table t, std::string_view from_key, size_t limit, const record_visitor& visit) override {
    if (limit == 0)
      return {};
    auto visited
      = inner_.scan({id_of(t), from_key, limit}, visit, [&](std::string_view) { damage_.add(t); });
    return visited ? caf::error{} : visited.error();
  }

  expected<std::optional<std::string>> last_key(table t) override {
    return copy_of(inner_.last_key(id_of(t)));
  }

private:
  lmdb::read_transaction inner_;
  damage_report& damage_;
};

/// LMDB's writer has no cursor here: scans merge the committed state with the keys changed since.
/// There is one writer, so the committed state stands still meanwhile.
class writing final : public durable_transaction {
public:
  writing(lmdb::environment& environment, lmdb::write_transaction inner, damage_report& damage)
    : environment_(environment),
      inner_(std::move(inner)),
      damage_(damage) {}

  expected<std::optional<std::string>> get(table t, std::string_view key) override {
    return copy_of(inner_.get(id_of(t), key));
  }

  caf::error put(table t, std::string_view key, std::string_view value) override {
    changed(t).emplace(key);
    return inner_.put(id_of(t), key, value);
  }

  caf::error append(table t, std::string_view key, std::string_view value) override {
    auto& keys = changed(t);
    keys.emplace_hint(keys.end(), key);
    return inner_.append(id_of(t), key, value);
  }

  void use_reserve(bool allowed) override { inner_.use_reserve(allowed); }

  expected<bool> erase(table t, std::string_view key) override {
    changed(t).emplace(key);
    return inner_.erase(id_of(t), key);
  }

  caf::error
  scan(table t, std::string_view from_key, size_t limit, const record_visitor& visit) override;

  expected<std::optional<std::string>> last_key(table t) override;

  caf::error commit() override { return inner_.commit(); }

private:
  using key_set = std::set<std::string, std::less<>>;

  key_set& changed(table t) { return changed_[id_of(t)]; }

  expected<lmdb::read_transaction*> committed() {
    if (!committed_) {
      auto begun = environment_.begin_read();
      if (!begun)
        return begun.error();
      committed_.emplace(std::move(*begun));
    }
    return &*committed_;
  }

  lmdb::environment& environment_;
  lmdb::write_transaction inner_;
  damage_report& damage_;
  std::optional<lmdb::read_transaction> committed_;
  std::array<key_set, table_names.size()> changed_;
};

/// Hands out records in order, until the limit or the visitor ends it.
struct limited_visit {
  const transaction::record_visitor& visit;
  size_t left;
  caf::error failure;

  bool take(std::string_view key, std::string_view value) {
    return visit(key, value) && --left > 0;
  }

  /// The same for a changed key, which may have been erased.
  bool take_current(const expected<std::optional<std::string_view>>& value, std::string_view key) {
    if (!value) {
      failure = value.error();
      return false;
    }
    return !*value || take(key, **value);
  }
};

caf::error
writing::scan(table t, std::string_view from_key, size_t limit, const record_visitor& visit) {
  if (limit == 0)
    return {};
  auto snapshot = committed();
  if (!snapshot)
    return snapshot.error();
  auto& keys = changed(t);
  auto next = keys.lower_bound(from_key);
  limited_visit out{visit, limit, {}};
  bool stopped = false;
  // Hands out the changed keys before `key`, or all that are left.
  auto take_changed = [&](const std::string_view* key) {
    while (!stopped && next != keys.end() && (!key || *next < *key)) {
      stopped = !out.take_current(inner_.get(id_of(t), *next), *next);
      ++next;
    }
  };
  auto record = [&](std::string_view key, std::string_view value) {
    take_changed(&key);
    if (stopped)
      return false;
    if (next != keys.end() && *next == key) {
      stopped = !out.take_current(inner_.get(id_of(t), key), key);
      ++next;
    } else {
      stopped = !out.take(key, value);
    }
    return !stopped;
  };
  auto visited = (*snapshot)->scan({id_of(t), from_key, no_limit}, record,
                                   [&](std::string_view) { damage_.add(t); });
  if (!visited)
    return visited.error();
  take_changed(nullptr);
  return out.failure;
}

expected<std::optional<std::string>> writing::last_key(table t) {
  auto snapshot = committed();
  if (!snapshot)
    return snapshot.error();
  auto last = copy_of((*snapshot)->last_key(id_of(t)));
  auto& keys = changed(t);
  if (!last || keys.empty())
    return last;
  std::optional<std::string> largest_changed;
  for (auto i = keys.rbegin(); i != keys.rend() && !largest_changed; ++i) {
    auto value = inner_.get(id_of(t), *i);
    if (!value)
      return value.error();
    if (*value)
      largest_changed = *i;
  }
  if (!*last || largest_changed >= *last)
    return largest_changed;
  if (keys.count(**last) == 0)
    return last;
  // The last committed record was erased: what is before it can only be found forwards.
  auto failure = scan(t, largest_changed.value_or(""), no_limit, [&](std::string_view key, auto) {
    largest_changed = std::string{key};
    return true;
  });
  if (failure)
    return failure;
  return largest_changed;
}

class lmdb_disk final : public durable_disk {
public:
  lmdb_disk(const lmdb_disk_options& options, std::unique_ptr<lmdb::environment> environment)
    : file_(std::filesystem::path{options.path} / "data.mdb"),
      environment_(std::move(environment)),
      damage_(options.metrics) {}

  expected<std::unique_ptr<durable_transaction>> begin_write() override {
    auto begun = environment_->begin_write();
    if (!begun)
      return begun.error();
    return std::unique_ptr<durable_transaction>{
      std::make_unique<writing>(*environment_, std::move(*begun), damage_)};
  }

  expected<std::unique_ptr<transaction>> begin_read() override {
    auto begun = environment_->begin_read();
    if (!begun)
      return begun.error();
    return std::unique_ptr<transaction>{std::make_unique<reading>(std::move(*begun), damage_)};
  }

  bool failed() const override { return environment_->failed(); }

  /// The file never shrinks: this is the most there ever was.
  uint64_t bytes_used() const override {
    std::error_code failure;
    auto size = std::filesystem::file_size(file_, failure);
    return failure ? 0 : size;
  }

private:
  std::filesystem::path file_;
  std::unique_ptr<lmdb::environment> environment_;
  damage_report damage_;
};

} // namespace

expected<std::unique_ptr<durable_disk>> open_store(const lmdb_disk_options& options) {
  lmdb::options lmdb_options;
  lmdb_options.path = options.path;
  lmdb_options.map_bytes = options.map_bytes;
  auto opened = lmdb::environment::open(lmdb_options, {table_names.begin(), table_names.end()});
  if (!opened)
    return opened.error();
  std::unique_ptr<durable_disk> disk = std::make_unique<lmdb_disk>(options, std::move(*opened));
  if (auto failure = check_format(*disk))
    return caf::make_error(code_of(failure), options.path + ": " + detail_of(failure));
  return disk;
}

} // namespace rvi
