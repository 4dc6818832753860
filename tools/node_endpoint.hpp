// SPDX-License-Identifier: MPL-2.0
//
// Where the node is that a command talks to: said on the command line, or found through its
// configuration.

#pragma once

#include "runtime/error.hpp"

#include <cstdint>
#include <string>

namespace CLI {
class App;
}

namespace rvi {

/// The options every client command has.
struct node_options {
  std::string config;
  std::string socket;
  std::string url;
  std::string token_file;
  void add_to(CLI::App& app);
};

struct node_endpoint {
  std::string socket_path; // empty: TCP
  std::string host;
  uint16_t port = 0;
  std::string token;       // for TCP
  std::string host_header; // how the node knows itself
  std::string place;       // for errors: "/x/rvi.sock ([api] socket of ./rvi.toml)"
  std::string start_hint;  // how to start the node there
};

/// --socket, --url, --config, $RVI_CONFIG, ./rvi.toml, /etc/rvi/rvi.toml, the first that is there.
/// Errors: `not_found` (says what was tried), `config_invalid`, `bad_request`, and of files.
expected<node_endpoint> find_node(const node_options& options);

} // namespace rvi
