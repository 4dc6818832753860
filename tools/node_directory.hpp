// SPDX-License-Identifier: MPL-2.0
//
// The directory of a new node: configuration, key, token, and places for credentials and trust
// anchors.

#pragma once

#include "runtime/crypto/crypto.hpp"
#include "runtime/error.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rvi {

struct new_node {
  std::string directory = ".";
  std::string role = "vehicle";
  std::string name;
  std::string key_uri;       // on a token, instead of a new key file
  bool generate = false;     // makes it there
  std::string signer_socket; // of the process that has the key instead
  crypto::algorithm algorithm = crypto::algorithm::ed25519;
  std::vector<std::string> connect;                        // host:port
  std::string listen;                                      // IP:port; empty: as the role has it
  std::vector<std::pair<std::string, std::string>> routes; // pattern, host:port
  std::optional<uint16_t> api_port;                        // 0: no TCP
  std::vector<std::string> anchors;                        // files
  std::string log_level;                                   // empty: the default
};

struct created_node {
  std::string name; // normalised
  crypto::public_key key;
  std::string config_file;
  std::string public_key_file;
  std::string credentials_directory;
};

/// Makes the directory; refuses to replace any file of a node. Errors: `bad_request`,
/// `invalid_name`, `io_failed`, and of the anchors.
expected<created_node> create_node_directory(const new_node& x);

/// A public key as `node.pub` holds it. Error: `malformed`.
expected<crypto::public_key> read_public_key(const std::string& path);

} // namespace rvi
