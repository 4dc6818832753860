// SPDX-License-Identifier: MPL-2.0
//
// The ids that local services give their own requests (HLD 3.2.4), so that a retry after a lost
// answer makes no second request and nobody can play back an old one. It belongs to the node's
// start, not to the actor that uses it: what is kept in memory only holds as long as the node
// lives. What outlives it is written with each request (ledger::claim). Not thread-safe: one edge
// has it.

#pragma once

#include "messages/service_api.hpp"
#include "runtime/error.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rvi::storage {
class ServiceIds;
}

namespace rvi {

/// Services whose ids are remembered, for each principal.
inline constexpr size_t services_with_ids_max = 1'024;
/// A service that was unused for so long may be forgotten for another one of its principal.
inline constexpr uint64_t service_ids_kept_ms = 90ULL * 24 * 3'600 * 1'000;

/// SHA-256 of all that makes a request what it is: target, arguments, timeout and options. Not
/// `synch`: a retry may wait otherwise.
std::string digest_of(const invoke_call& x, const std::string& target);

class service_ids {
public:
  /// A request under one of the ids.
  struct entry {
    uint64_t id = 0;
    std::string digest;
    transaction_id first;
    bool accepted = false; // else on its way to the store
  };

  /// What is on disk; nothing of a service that is known already.
  void load(const storage::ServiceIds& x);

  /// The request this service made under the id; nothing if it may be made now. Error: `replay` if
  /// it was another request, or the id is not above all before.
  expected<std::optional<entry>> find(const std::string& principal, const std::string& service,
                                      uint64_t id, const std::string& digest) const;

  /// Takes the id for a request on its way to the store, after `find`. Fills in what the claim
  /// forgets. Error: `limit_exceeded` if the principal has too many services.
  caf::error take(service_claim& x);
  void accepted(const service_claim& x);
  /// It was not accepted: the id is free again, unless a higher one has been taken.
  void refused(const service_claim& x);

  /// The highest id; 0: none.
  uint64_t last(const std::string& principal, const std::string& service) const;
  std::vector<service_claim> under_way() const;

private:
  using key = std::pair<std::string, std::string>; // principal, service
  struct sequence {
    uint64_t last_ms = 0;
    std::vector<entry> recent; // ascending
  };

  sequence* sequence_of(const service_claim& x);
  caf::error make_room(service_claim& x);

  std::map<key, sequence> sequences_;
};

using service_ids_ptr = std::shared_ptr<service_ids>;

} // namespace rvi
