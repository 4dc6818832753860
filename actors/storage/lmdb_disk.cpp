// SPDX-License-Identifier: MPL-2.0

#include "actors/storage/lmdb_disk.hpp"

#include "runtime/lmdb/lmdb.hpp"
#include "runtime/observe/log.hpp"

#include <filesystem>

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

template <class Transaction>
caf::error scan_in(const Transaction& x, damage_report& damage, const lmdb::scan_range& range,
                   const transaction::record_visitor& visit) {
  auto visited
    = x.scan(range, visit, [&](std::string_view) { damage.add(static_cast<table>(range.table)); });
  return visited ? caf::error{} : visited.error();
}

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
    return scan_in(inner_, damage_, {id_of(t), from_key, limit}, visit);
  }

  expected<std::optional<std::string>> last_key(table t) override {
    return copy_of(inner_.last_key(id_of(t)));
  }

private:
  lmdb::read_transaction inner_;
  damage_report& damage_;
};

class writing final : public durable_transaction {
public:
  writing(lmdb::write_transaction inner, damage_report& damage)
    : inner_(std::move(inner)),
      damage_(damage) {}

  expected<std::optional<std::string>> get(table t, std::string_view key) override {
    return copy_of(inner_.get(id_of(t), key));
  }

  caf::error put(table t, std::string_view key, std::string_view value) override {
    return inner_.put(id_of(t), key, value);
  }

  caf::error append(table t, std::string_view key, std::string_view value) override {
    return inner_.append(id_of(t), key, value);
  }

  void use_reserve(bool allowed) override { inner_.use_reserve(allowed); }

  expected<bool> erase(table t, std::string_view key) override {
    return inner_.erase(id_of(t), key);
  }

  caf::error
  scan(table t, std::string_view from_key, size_t limit, const record_visitor& visit) override {
    return scan_in(inner_, damage_, {id_of(t), from_key, limit}, visit);
  }

  expected<std::optional<std::string>> last_key(table t) override {
    return copy_of(inner_.last_key(id_of(t)));
  }

  caf::error commit() override { return inner_.commit(); }

private:
  lmdb::write_transaction inner_;
  damage_report& damage_;
};

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
      std::make_unique<writing>(std::move(*begun), damage_)};
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
