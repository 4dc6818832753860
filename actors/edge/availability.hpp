// SPDX-License-Identifier: MPL-2.0
//
// Who wants to know which services can be reached (HLD 10.2), and what each has to hear. No actor:
// the service edge feeds it changes and snapshots, and sends what comes out.

#pragma once

#include "messages/rights.hpp"
#include "messages/routing_table.hpp"

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace rvi {

/// True if the pattern takes in this service or node address: it matches it, covers it, or is `#`.
/// Types are ignored.
bool takes_in(const std::string& pattern, const std::string& name);

/// True if a credential of this node that stands gives a right to something at or below the name:
/// a service, or the address of a node.
bool may_reach(const rights& x, const std::string& name, uint64_t now_ms);

/// What a look at the node needs.
struct availability_view {
  const routing_table& table;
  const rights& own;
  uint64_t now_ms = 0; // wall clock
};

class availability {
public:
  struct limits {
    size_t patterns_per_client_max = 64;
    size_t subscriptions_max = 16'384;
  };
  using reports = std::vector<availability_report>;

  explicit availability(limits x) : limits_(x) {}
  availability() = default;

  /// Appends the current state; again if the client has this pattern already.
  /// Errors: `limit_exceeded` (of this client), `busy` (of all together).
  caf::error subscribe(client_id client, const std::string& pattern, const availability_view& at,
                       reports& out);
  /// False if there was none.
  bool unsubscribe(client_id client, const std::string& pattern);
  void closed(client_id client);

  /// Appends what the change means to each, at most one report for a subscription.
  void changed(const availability_event& x, const availability_view& at, reports& out) const;

  /// All that was said may be out of date, to this client or (0) to all: appends `all` and the
  /// current state for each of their subscriptions.
  void tell_anew(client_id client, const availability_view& at, reports& out);

  size_t size() const { return size_; }

private:
  /// Of a pattern: the snapshot whose state was told; later changes are news.
  using patterns = std::map<std::string, uint64_t>;

  static void current(const availability_report& mould, const availability_view& at, reports& out);
  static void tell_anew(client_id client, patterns& of, const availability_view& at, reports& out);

  limits limits_;
  std::map<client_id, patterns> clients_;
  size_t size_ = 0;
};

} // namespace rvi
