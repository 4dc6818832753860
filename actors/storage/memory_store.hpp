// SPDX-License-Identifier: MPL-2.0
//
// A disk in memory for tests and the simulation: it outlives the actor that uses it, forgets at a
// crash what was not durable, and fails when told to. Not thread-safe.

#pragma once

#include "actors/storage/disk.hpp"

#include <array>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <vector>

namespace rvi {

class memory_transaction;

class memory_disk : public std::enable_shared_from_this<memory_disk> {
public:
  using records = std::map<std::string, std::string, std::less<>>;

  /// What each record costs besides its bytes.
  static constexpr uint64_t record_bytes = 16;

  static std::shared_ptr<memory_disk> make();

  /// What a store actor gets. The disk serves the latest opening only: an actor that outlives a
  /// crash can do nothing any more. Errors as in `open_store`.
  expected<std::shared_ptr<durable_disk>> open();

  /// Power off: an open transaction is lost, openings end, injected failures are over.
  void crash();

  /// The next n commits fail. `store_full` leaves the disk usable; any other code makes it fail
  /// until it is opened again. If `lands`, the changes are on disk all the same, as a failed sync
  /// may leave it; they show after the next opening.
  void fail_commits(size_t n, ec code, bool lands = false);

  /// Called within each commit that fails so, before anybody hears of it.
  void on_failure(std::function<void()> x) { on_failure_ = std::move(x); }

  /// It serves nobody until it is opened again.
  bool is_failed() const { return failed_; }

  /// A disk with the same content, as somebody who had it in hand may make.
  std::shared_ptr<memory_disk> copy() const;

  /// More than this and changes fail with `store_full`.
  void set_capacity(uint64_t bytes) { capacity_ = bytes; }

  /// What is in a table, for checks.
  const records& content(table t) const { return tables_[static_cast<size_t>(t)]; }

  uint64_t bytes_used() const { return bytes_; }

  /// Transactions that became durable, over all openings.
  uint64_t commits() const { return commits_; }

private:
  friend class memory_transaction;
  friend class memory_opening;

  struct injected {
    size_t commits = 0;
    ec code = ec::none;
    bool lands = false;
  };

  struct change {
    table where;
    std::string key;
    std::optional<std::string> value; // nothing if the record is absent
  };

  memory_disk() = default;
  bool is_current(uint64_t opening) const { return opening == opening_; }
  bool serves(uint64_t opening) const { return is_current(opening) && !failed_; }
  /// Nothing for `value` removes the record. What was there before.
  std::optional<std::string> set(table t, const std::string& key, std::optional<std::string> value);
  std::optional<std::string> value_of(table t, std::string_view key) const;

  std::array<records, table_names.size()> tables_;
  memory_transaction* writing_ = nullptr;
  std::vector<change> landed_; // of a failed commit; applied at the next opening
  injected failure_;
  std::function<void()> on_failure_;
  uint64_t capacity_ = std::numeric_limits<uint64_t>::max();
  uint64_t bytes_ = 0;
  uint64_t commits_ = 0;
  uint64_t opening_ = 0;
  bool failed_ = false;
};

} // namespace rvi
