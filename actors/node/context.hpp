// SPDX-License-Identifier: MPL-2.0
//
// What the actors of one node share: seams for time and randomness, snapshots, metrics and traces.
// Everything here is thread-safe; nothing here has behaviour of its own.

#pragma once

#include "messages/rights.hpp"
#include "messages/routing_table.hpp"
#include "runtime/observe/metrics.hpp"
#include "runtime/observe/trace.hpp"
#include "runtime/time_source.hpp"

#include <atomic>
#include <memory>
#include <string>

namespace rvi {

struct node_context {
  std::string node_address;  // jlr.com/vin/1234
  std::string service_infix; // "services", may be empty
  node_uid uid{};
  time_source_ptr time;
  std::shared_ptr<rights_snapshot> rights;
  std::shared_ptr<routing_snapshot> routing;
  std::shared_ptr<metrics::registry> metrics;
  std::shared_ptr<trace_buffer> trace;
  uint64_t seed = 0; // jitter only, never keys or ids
  std::shared_ptr<std::atomic<uint64_t>> link_numbers = std::make_shared<std::atomic<uint64_t>>(1);

  void record(const transaction_id& id, uint8_t step, bool reply, std::string_view detail) const {
    trace->add(to_bytes(id), step, reply, detail);
  }
};

using node_context_ptr = std::shared_ptr<const node_context>;

} // namespace rvi
