// SPDX-License-Identifier: MPL-2.0
//
// A service made of a shell command, or of nothing: registers with a node, answers every request,
// and comes back when the node was away.

#pragma once

#include "runtime/crypto/crypto.hpp"
#include "runtime/error.hpp"
#include "tools/client.hpp"
#include "tools/node_endpoint.hpp"
#include "tools/service_child.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace rvi {

struct serve_config {
  node_options node;
  std::string name;
  std::string command; // empty: echo
  std::vector<std::string> methods;
  bool idempotent = false;
  std::string durability_min = "full"; // none: also what is kept in memory only
  bool signature_wanted = false;       // verifies that requests come from the node
  uint64_t requests_max = 0;           // then it ends; 0: never
  bool json = false;                   // one JSON document a line instead of text
};

class served_service {
public:
  explicit served_service(serve_config config) : config_(std::move(config)) {}
  /// Until a stop signal or the last request. Error: why it cannot go on.
  caf::error run();

private:
  struct request {
    uint64_t delivery = 0;
    std::string transaction_id;
    std::string target;
    std::string source;
    std::string user; // a pseudonym in hex; empty: nobody's
    std::string role;
    std::string arguments;
    std::string signature; // service_signature, verified; empty: none was asked for
    uint64_t expires_ms = 0;
    uint64_t begun_ms = 0; // steady
    bool rpc = false;
  };
  struct running {
    request what;
    service_child child;
    bool expired = false;
  };

  caf::error connect();
  caf::error serve();
  caf::error poll_once();
  void take(const client::request& x);
  /// What the node signed is what came. Error: `signature_invalid`, saying what differs.
  caf::error verify(const request& x) const;
  void start_waiting();
  void advance_children();
  void finish(running& x);
  void accept(const request& x, const std::string& arguments);
  void refuse(const request& x, ec code, const std::string& why);
  void report(const request& x, const std::string& outcome);
  void withdraw();
  bool last_taken() const { return config_.requests_max != 0 && taken_ >= config_.requests_max; }

  serve_config config_;
  std::optional<node_client> client_;
  crypto::public_key edge_key_; // of the node, as it said at the registration
  std::string name_;            // the full one
  std::deque<request> waiting_;
  std::vector<running> children_;
  uint64_t taken_ = 0;
  uint64_t attempts_ = 0; // to connect, since it last worked
};

} // namespace rvi
