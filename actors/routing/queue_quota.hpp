// SPDX-License-Identifier: MPL-2.0
//
// How much may wait for one destination node and for one service of this node, in records and
// bytes, whatever queues it is spread over. A pure class: store and forward asks it before it takes
// something, and tells it when that has gone.

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace rvi {

struct queue_quota {
  uint64_t items_max = 0;
  uint64_t bytes_max = 0;
};

/// `[[quotas]]`: what a name matches counts against this instead of the default; the first match
/// holds.
struct quota_rule {
  std::string pattern; // normalised
  queue_quota quota;
};

struct quota_config {
  queue_quota node{1'000'000, 4ULL << 30};    // waiting for one other node
  queue_quota service{1'000'000, 4ULL << 30}; // waiting for one service of this node
  std::vector<quota_rule> rules;
};

class quota_account {
public:
  /// Counts together all that waits for this name, and all names that have the same one.
  struct owner {
    std::string name; // a node's address or a service's full name
    bool service = false;
  };

  explicit quota_account(quota_config config) : config_(std::move(config)) {}

  /// False, and nothing is counted, if the quota is used up. One record may go over the bytes: else
  /// nothing larger than they are could ever pass.
  bool enter(const owner& who, uint64_t bytes);
  /// Counts without asking, for what is in the store at the start.
  void count(const owner& who, uint64_t items, uint64_t bytes);
  void leave(const owner& who, uint64_t bytes);

  /// What waits for this name now.
  queue_quota used(const owner& who) const;
  /// The quota of this name.
  queue_quota quota_of(const owner& who) const;

private:
  quota_config config_;
  std::map<std::string, queue_quota> used_; // by name; without those that nothing waits for
};

/// Whose quota a name of this node (`node_address`) counts against: the first level below the node
/// and its `infix`.
std::string
service_of_name(const std::string& name, const std::string& node_address, const std::string& infix);

/// The same for a name of a node that is not known yet: what is before the infix, or all but the
/// last level.
std::string node_of_name(const std::string& name, const std::string& infix);

} // namespace rvi
