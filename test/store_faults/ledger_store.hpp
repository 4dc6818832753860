// SPDX-License-Identifier: MPL-2.0
//
// Runs scripts on the real ledger and the real store, and reads a store back into a model.

#pragma once

#include "actors/storage/disk.hpp"
#include "test/store_faults/model.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace test::faults {

/// Small, so that a store is opened, checked and copied in microseconds.
constexpr uint64_t map_bytes = 4 << 20;

/// Opens the store as a node does, without its check before.
rvi::expected<std::shared_ptr<rvi::durable_disk>> open_disk(const std::string& path);

/// The steps of one transaction, run by the ledger. Errors: the ledger's; `internal` if a step
/// answers otherwise than the model says.
caf::error run(rvi::transaction& t, const transaction_script& x);

/// Runs and commits them one after the other and reports each that is durable; the first error.
caf::error run_all(rvi::durable_disk& disk, const std::vector<transaction_script>& script,
                   const std::function<void(size_t)>& durable = {});

/// All tables read into a model. The error tells what in them contradicts each other.
rvi::expected<model> read_model(rvi::durable_disk& disk);

/// Requests that would be handed over to a service from what is there, by number.
rvi::expected<std::vector<uint64_t>> ready_for_hand_over(rvi::durable_disk& disk);

/// What a node does with a store at its start: check in this process, salvage if it is unsound.
/// The report's text if it was unsound.
rvi::expected<std::string> check_as_node(const std::string& path);

/// A folder in memory that goes away at the end, and stores in it.
class fault_folder {
public:
  fault_folder();
  ~fault_folder();
  fault_folder(const fault_folder&) = delete;
  fault_folder& operator=(const fault_folder&) = delete;

  const std::string& base() const { return base_; }
  std::string store() const { return base_ + "/node/store"; }
  std::string data() const { return store() + "/data.mdb"; }

  /// Removes the store.
  void clear() const;
  /// Puts a store with this data file there.
  void put(const std::string& content) const;
  std::string content() const;

private:
  std::string base_;
};

/// Runs `work` in a forked child that a fault may kill; returns its exit status as of waitpid.
int in_child(const std::function<int()>& work);

} // namespace test::faults
