// SPDX-License-Identifier: MPL-2.0
//
// What the store actor asks of its disk: LMDB in a node, memory in tests and in the simulation. One
// thread uses a disk at a time, and one transaction is open at a time.

#pragma once

#include "actors/storage/transaction.hpp"

#include <memory>

namespace rvi {

inline constexpr size_t key_bytes_max = 511;

/// A transaction that changes the disk. The destructor drops what was not committed.
class durable_transaction : public transaction {
public:
  /// Returns once the changes are on disk. `store_full` leaves the disk usable, every other error
  /// makes it fail for good. The transaction is over in any case.
  virtual caf::error commit() = 0;
};

class durable_disk {
public:
  virtual ~durable_disk() = default;

  virtual expected<std::unique_ptr<durable_transaction>> begin_write() = 0;

  /// Changes in it are refused with `internal`.
  virtual expected<std::unique_ptr<transaction>> begin_read() = 0;

  /// True after a commit failed for good.
  virtual bool failed() const = 0;

  virtual uint64_t bytes_used() const = 0;
};

/// The version of what is written in the tables; kept under `format` in `meta`.
inline constexpr uint32_t store_format = 1;

/// Writes the format into a new store; refuses any but this program's with `protocol_mismatch`.
caf::error check_format(durable_disk& disk);

} // namespace rvi
