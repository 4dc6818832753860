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

/// Hears of everything that becomes durable, for checks that miss no moment.
class commit_watch {
public:
  virtual ~commit_watch() = default;

  /// One change of a commit: the record came (1), went (-1) or has another value (0).
  virtual void changed(table t, std::string_view key, int came) = 0;

  /// These were all of one commit.
  virtual void committed() = 0;
};

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

  /// Told of each commit from now on; outlives the disk or is taken off with null.
  void watch(commit_watch* x) { watch_ = x; }

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

  struct landed_change {
    table where;
    std::string key;
    std::optional<std::string> value; // nothing if the record is absent
  };

  /// What takes a change back.
  struct undo_step {
    table where;
    const std::string* key = nullptr; // of the record, in the table or in `gone`
    std::optional<std::string> old;   // the value that was replaced
    records::node_type gone;          // the record that was removed
  };

  memory_disk() = default;
  bool is_current(uint64_t opening) const { return opening == opening_; }
  bool serves(uint64_t opening) const { return is_current(opening) && !failed_; }
  static uint64_t size_of(const records::value_type& x) {
    return record_bytes + x.first.size() + x.second.size();
  }
  undo_step set(table t, std::string_view key, std::string_view value);
  /// Nothing if there is no such record.
  std::optional<undo_step> remove(table t, std::string_view key);
  void take_back(undo_step x);
  void tell(const undo_step& x);
  std::optional<std::string> value_of(table t, std::string_view key) const;

  std::array<records, table_names.size()> tables_;
  memory_transaction* writing_ = nullptr;
  std::vector<landed_change> landed_; // of a failed commit; applied at the next opening
  injected failure_;
  std::function<void()> on_failure_;
  commit_watch* watch_ = nullptr;
  uint64_t capacity_ = std::numeric_limits<uint64_t>::max();
  uint64_t bytes_ = 0;
  uint64_t commits_ = 0;
  uint64_t opening_ = 0;
  bool failed_ = false;
};

} // namespace rvi
