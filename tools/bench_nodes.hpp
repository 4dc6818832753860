// SPDX-License-Identifier: MPL-2.0
//
// Two linked nodes for a measurement: made in a temporary directory, run as child processes of this
// program, and removed with everything they wrote.

#pragma once

#include "runtime/error.hpp"
#include "tools/node_endpoint.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <sys/types.h>

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
  /// Makes both and waits until they are up and linked. Errors: `io_failed`, `timeout` (with the
  /// end of the node's log), `shutting_down` after a stop signal.
  static expected<std::unique_ptr<bench_nodes>> start();
  ~bench_nodes();
  bench_nodes(const bench_nodes&) = delete;
  bench_nodes& operator=(const bench_nodes&) = delete;

  const node_endpoint& first() const { return nodes_[0].endpoint; }
  const node_endpoint& second() const { return nodes_[1].endpoint; }
  std::string second_name() const { return nodes_[1].name; }
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
  caf::error spawn(member& x);
  caf::error wait_until_linked();
  caf::error check_running(member& x);
  void wait_for_end(member& x);

  std::string directory_;
  std::array<member, 2> nodes_;
};

} // namespace rvi
