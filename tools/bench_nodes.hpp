// SPDX-License-Identifier: MPL-2.0
//
// Linked nodes for a measurement, vehicles and the cloud they connect to: made in a temporary
// directory, run as child processes of this program, and removed with everything they wrote.

#pragma once

#include "messages/credential.hpp"
#include "runtime/crypto/crypto.hpp"
#include "runtime/error.hpp"
#include "tools/node_endpoint.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

namespace rvi {

/// What one node has used since it started.
struct node_usage {
  uint64_t cpu_us = 0;
  uint64_t rss_bytes = 0;           // with the mapped store
  uint64_t rss_anonymous_bytes = 0; // without
  uint64_t syncs = 0;               // fdatasync of its store
};

class bench_nodes {
public:
  static constexpr const char* organization = "bench.test";
  static constexpr size_t cloud = 0; // its place; those behind it are vehicles

  /// Makes them and waits until they are up and linked. Errors: `io_failed`, `timeout` (with the
  /// end of the node's log), `shutting_down` after a stop signal.
  static expected<std::unique_ptr<bench_nodes>> start(size_t vehicles);
  ~bench_nodes();
  bench_nodes(const bench_nodes&) = delete;
  bench_nodes& operator=(const bench_nodes&) = delete;

  size_t size() const { return nodes_.size(); }
  const node_endpoint& endpoint(size_t node) const { return nodes_[node].endpoint; }
  const std::string& name(size_t node) const { return nodes_[node].name; }
  /// Of the cloud, where peers come in.
  uint16_t peer_port() const { return peer_port_; }
  /// A credential for a node, or whoever comes as one, to reach all of the organization.
  expected<credential_ptr>
  issue(const std::string& node, const std::string& id, const crypto::public_key& key) const;
  /// Nothing while it is stopped.
  expected<node_usage> usage(size_t node) const;

  /// Ends the node in order; what it wrote stays.
  void stop(size_t node);
  /// Starts it again and waits until it answers; how long that took. Errors as of `start`.
  expected<uint64_t> start_again_us(size_t node);

private:
  struct member {
    std::string name;
    std::string directory;
    std::string log_file;
    node_endpoint endpoint;
    pid_t pid = -1;
  };

  bench_nodes() = default;
  caf::error make_directories();
  caf::error make_directory(member& x, const std::string& address);
  caf::error spawn(member& x);
  caf::error wait_until_linked();
  caf::error check_running(member& x);
  void wait_for_end(member& x);

  std::string directory_;
  crypto::private_key root_;
  uint16_t peer_port_ = 0;
  std::vector<member> nodes_;
};

} // namespace rvi
