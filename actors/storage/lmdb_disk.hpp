// SPDX-License-Identifier: MPL-2.0
//
// The store's disk in a node: LMDB in one directory.

#pragma once

#include "actors/storage/disk.hpp"
#include "runtime/observe/metrics.hpp"

#include <memory>
#include <string>

namespace rvi {

struct lmdb_disk_options {
  std::string path;                        // a directory
  uint64_t map_bytes = uint64_t(16) << 30; // address space, the limit of the store's size
  metrics::registry* metrics = nullptr;    // outlives the disk; may be null
};

/// Opens or creates a store and checks its format. Call it before the actor system starts, so that
/// an error is a value for main(). Errors: those of `lmdb::environment::open`, and
/// `protocol_mismatch` for the format of a newer program.
expected<std::unique_ptr<durable_disk>> open_store(const lmdb_disk_options& options);

} // namespace rvi
