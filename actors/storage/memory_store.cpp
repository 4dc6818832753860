// SPDX-License-Identifier: MPL-2.0
//
// Changes are made in place and undone if they are not committed: there is one writer, so a read
// within the transaction sees them without more.

#include "actors/storage/memory_store.hpp"

#include <cassert>
#include <utility>
#include <vector>

namespace rvi {

namespace {

caf::error failed_disk() {
  return caf::make_error(ec::store_failed, std::string{"the memory disk failed or was closed"});
}

caf::error check_key(std::string_view key) {
  if (!key.empty() && key.size() <= key_bytes_max)
    return {};
  return caf::make_error(ec::too_large, std::string{"a key has 1 to 511 bytes"});
}

} // namespace

class memory_transaction final : public durable_transaction {
public:
  memory_transaction(std::shared_ptr<memory_disk> disk, uint64_t opening, bool writes)
    : disk_(std::move(disk)),
      opening_(opening),
      writes_(writes) {
    if (writes_) {
      assert(disk_->writing_ == nullptr);
      disk_->writing_ = this;
    }
  }

  ~memory_transaction() override { undo(); }

  expected<std::optional<std::string>> get(table t, std::string_view key) override {
    if (auto failure = check(key))
      return failure;
    return disk_->value_of(t, key);
  }

  caf::error put(table t, std::string_view key, std::string_view value) override {
    if (auto failure = check_change(key))
      return failure;
    auto bytes = disk_->bytes_;
    return change(disk_->set(t, key, value), bytes);
  }

  caf::error append(table t, std::string_view key, std::string_view value) override {
    return put(t, key, value);
  }

  void use_reserve(bool allowed) override { reserve_allowed_ = allowed; }

  expected<bool> erase(table t, std::string_view key) override {
    if (auto failure = check_change(key))
      return failure;
    auto removed = disk_->remove(t, key);
    if (!removed)
      return false;
    before_.push_back(std::move(*removed));
    if (error_)
      return error_;
    return true;
  }

  caf::error
  scan(table t, std::string_view from_key, size_t limit, const record_visitor& visit) override {
    if (auto failure = usable())
      return failure;
    auto& records = disk_->content(t);
    for (auto i = records.lower_bound(from_key); i != records.end() && limit > 0; ++i, --limit)
      if (!visit(i->first, i->second))
        break;
    return {};
  }

  expected<std::optional<std::string>> last_key(table t) override {
    if (auto failure = usable())
      return failure;
    auto& records = disk_->content(t);
    return records.empty() ? std::optional<std::string>{} : records.rbegin()->first;
  }

  caf::error commit() override;

  /// Takes all changes back.
  void undo() {
    if (!disk_ || disk_->writing_ != this)
      return;
    for (auto i = before_.rbegin(); i != before_.rend(); ++i)
      disk_->take_back(std::move(*i));
    before_.clear();
    disk_->writing_ = nullptr;
  }

private:
  caf::error usable() const {
    if (error_)
      return error_;
    // As with LMDB, a failed disk can still be read.
    bool open
      = writes_ ? disk_->serves(opening_) && disk_->writing_ == this : disk_->is_current(opening_);
    return open ? caf::error{} : failed_disk();
  }

  caf::error check(std::string_view key) const {
    if (auto failure = usable())
      return failure;
    return check_key(key);
  }

  caf::error check_change(std::string_view key) {
    if (!writes_)
      return caf::make_error(ec::internal, std::string{"a change in a step that only reads"});
    auto failure = check(key);
    if (failure)
      error_ = failure;
    return failure;
  }

  caf::error change(memory_disk::undo_step x, uint64_t bytes_before) {
    before_.push_back(std::move(x));
    auto capacity = disk_->capacity_;
    if (reserve_allowed_)
      capacity += std::min(capacity / 4, std::numeric_limits<uint64_t>::max() - capacity);
    if (disk_->bytes_ > bytes_before && disk_->bytes_ > capacity)
      error_ = caf::make_error(ec::store_full, std::string{"the memory disk is full"});
    return error_;
  }

  /// Keeps what the changes led to, for the next opening.
  void land() {
    for (auto& x : before_)
      disk_->landed_.push_back({x.where, *x.key, disk_->value_of(x.where, *x.key)});
  }

  std::shared_ptr<memory_disk> disk_;
  uint64_t opening_;
  bool reserve_allowed_ = false;
  bool writes_;
  std::vector<memory_disk::undo_step> before_;
  caf::error error_;                        // the first failure stays
};

caf::error memory_transaction::commit() {
  if (auto failure = usable()) {
    undo();
    return failure;
  }
  auto& injected = disk_->failure_;
  if (injected.commits > 0) {
    --injected.commits;
    if (injected.lands)
      land();
    disk_->failed_ = injected.code != ec::store_full;
    undo();
    if (disk_->on_failure_)
      disk_->on_failure_();
    return caf::make_error(injected.code, std::string{"injected"});
  }
  disk_->writing_ = nullptr;
  ++disk_->commits_;
  if (disk_->watch_) {
    for (auto& x : before_)
      disk_->tell(x);
    disk_->watch_->committed();
  }
  before_.clear();
  return {};
}

class memory_opening final : public durable_disk {
public:
  memory_opening(std::shared_ptr<memory_disk> disk, uint64_t opening)
    : disk_(std::move(disk)),
      opening_(opening) {}

  expected<std::unique_ptr<durable_transaction>> begin_write() override {
    if (failed())
      return failed_disk();
    return std::unique_ptr<durable_transaction>{
      std::make_unique<memory_transaction>(disk_, opening_, true)};
  }

  expected<std::unique_ptr<transaction>> begin_read() override {
    if (!disk_->is_current(opening_))
      return failed_disk();
    return std::unique_ptr<transaction>{
      std::make_unique<memory_transaction>(disk_, opening_, false)};
  }

  bool failed() const override { return !disk_->serves(opening_); }

  uint64_t bytes_used() const override { return disk_->bytes_used(); }

private:
  std::shared_ptr<memory_disk> disk_;
  uint64_t opening_;
};

std::shared_ptr<memory_disk> memory_disk::make() {
  return std::shared_ptr<memory_disk>{new memory_disk};
}

expected<std::shared_ptr<durable_disk>> memory_disk::open() {
  crash();
  std::shared_ptr<durable_disk> result
    = std::make_shared<memory_opening>(shared_from_this(), opening_);
  if (auto failure = check_format(*result))
    return failure;
  return result;
}

void memory_disk::crash() {
  if (writing_)
    writing_->undo();
  bool landed = !landed_.empty();
  for (auto& x : landed_) {
    auto step = x.value ? set(x.where, x.key, *x.value) : remove(x.where, x.key);
    if (step && watch_)
      tell(*step);
  }
  landed_.clear();
  if (landed && watch_)
    watch_->committed();
  failure_ = {};
  failed_ = false;
  ++opening_;
}

std::shared_ptr<memory_disk> memory_disk::copy() const {
  auto result = make();
  result->tables_ = tables_;
  result->capacity_ = capacity_;
  result->bytes_ = bytes_;
  return result;
}

void memory_disk::fail_commits(size_t n, ec code, bool lands) {
  failure_ = {n, code, lands};
}

memory_disk::undo_step memory_disk::set(table t, std::string_view key, std::string_view value) {
  auto& records = tables_[static_cast<size_t>(t)];
  auto i = records.lower_bound(key);
  undo_step result{t, nullptr, std::nullopt, {}};
  if (i != records.end() && i->first == key) {
    bytes_ -= size_of(*i);
    result.old = std::exchange(i->second, std::string{value});
  } else {
    i = records.emplace_hint(i, key, value);
  }
  bytes_ += size_of(*i);
  result.key = &i->first;
  return result;
}

std::optional<memory_disk::undo_step> memory_disk::remove(table t, std::string_view key) {
  auto& records = tables_[static_cast<size_t>(t)];
  auto i = records.find(key);
  if (i == records.end())
    return std::nullopt;
  bytes_ -= size_of(*i);
  undo_step result{t, &i->first, std::nullopt, records.extract(i)};
  return result;
}

void memory_disk::take_back(undo_step x) {
  auto& records = tables_[static_cast<size_t>(x.where)];
  if (x.gone) {
    auto i = records.insert(std::move(x.gone)).position;
    bytes_ += size_of(*i);
    return;
  }
  auto i = records.find(*x.key);
  assert(i != records.end());
  bytes_ -= size_of(*i);
  if (x.old) {
    i->second = std::move(*x.old);
    bytes_ += size_of(*i);
  } else {
    records.erase(i);
  }
}

void memory_disk::tell(const undo_step& x) {
  watch_->changed(x.where, *x.key, x.gone ? -1 : x.old ? 0 : 1);
}

std::optional<std::string> memory_disk::value_of(table t, std::string_view key) const {
  auto& records = content(t);
  auto i = records.find(key);
  return i == records.end() ? std::optional<std::string>{} : i->second;
}

} // namespace rvi
