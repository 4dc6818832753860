// SPDX-License-Identifier: MPL-2.0
//
// Reads a RequestHeader in its one canonical encoding (decisions 3), by hand.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rvi::simulation::reference {

/// Numbers of rvi.proto's `Kind`.
enum class kind : uint64_t {
  rpc = 1,
  message = 2,
  reply = 3,
  error = 4,
  metric = 5,
  subscribe = 6,
  unsubscribe = 7,
};

struct on_behalf_of {
  std::string user;
  std::string role;
  uint64_t authenticated_ms = 0;
  std::string method;
};

struct header {
  reference::kind kind = kind::rpc;
  std::string transaction_id; // node_uid 16 | epoch 4 | seq 8
  std::string source;
  std::string target;
  uint64_t created_ms = 0;
  uint64_t expires_ms = 0;
  std::string credential_hash;
  std::string arguments_sha256;
  uint64_t arguments_length = 0;
  std::optional<reference::on_behalf_of> on_behalf_of;
  std::string request_hash;
  std::string grant_hash;
  std::string target_uid;

  bool is_reply() const { return kind == kind::reply || kind == kind::error; }
};

/// The header, or in `why` what is wrong with it.
std::optional<header> read_header(std::string_view bytes, std::string& why);

} // namespace rvi::simulation::reference
