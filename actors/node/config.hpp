// SPDX-License-Identifier: MPL-2.0
//
// The configuration of a node: one TOML file, every key with its default. Unknown keys and values
// out of range refuse the start.

#pragma once

#include "actors/links/link_policy.hpp"
#include "actors/routing/memory_requests.hpp"
#include "actors/routing/queue_quota.hpp"
#include "actors/sockets/ip.hpp"
#include "messages/routing_table.hpp"
#include "runtime/config/config.hpp"
#include "runtime/error.hpp"
#include "runtime/observe/log.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rvi {

/// A network device and what its links are called.
struct named_interface {
  std::string device; // "wlan0"
  std::string kind;   // "wifi"
};

// [discovery]: HLD 7.4
struct discovery_config {
  bool enabled = false;        // sends beacons and hears them
  bool dial_unknown = false;   // also those whose address is not known from somewhere else
  bool loopback = false;       // on the loopback interface instead of all others
  uint16_t port = 0;           // UDP
  uint16_t dial_back_port = 0; // of a host that pinged
};

/// [[api.tokens]]
struct named_token {
  std::string name;
  std::string file;
  bool administrator = false;
};

struct node_config {
  std::string directory; // of the file; relative paths start there

  // [node]
  std::string name;          // its address: jlr.com/vin/1234
  std::string role;          // vehicle, mobile, cloud
  std::string key_file;      // or the URI of a key on a token
  std::string signer_socket; // of the process that has the key instead; empty: none
  std::string credentials_directory;
  std::string service_infix;
  uint64_t seed = 0; // jitter; 0: from the system

  // [trust]
  std::vector<std::string> anchors; // files
  uint64_t clock_skew_ms = 0;
  std::string renewal;       // name of the service that renews credentials; empty: none
  std::string clone_reports; // name of the service that is told of copied keys; empty: none

  // [api]
  std::string api_address; // empty: no TCP
  uint16_t api_port = 0;
  std::string api_socket; // empty: none
  std::string token_file; // the administrator's; empty: no TCP
  std::vector<named_token> api_tokens;
  std::string access_directory; // rules for programs and users; empty: none
  std::vector<std::string> api_hosts;
  std::vector<std::string> api_origins;
  std::vector<std::string> callback_hosts;

  // [links], [[links.interface]], [[data_classes]]
  link_policy kinds;
  std::vector<named_interface> interfaces;

  discovery_config discovery;

  // [links.tls]
  std::vector<ip_network> dial_back; // networks whose hosts may ping; empty: none
  std::string tls_address;           // empty: does not listen
  uint16_t tls_port = 0;
  std::string tls_advertise; // host:port told to peers
  std::vector<std::string> tls_connect;
  std::string tls_ca_file;
  uint64_t connect_timeout_ms = 0;
  uint64_t authorize_timeout_ms = 0;
  uint64_t keepalive_ms = 0;
  uint64_t idle_timeout_ms = 0;
  uint64_t backoff_ms_min = 0;
  uint64_t backoff_ms_max = 0;

  // [store]
  std::string store_directory;
  uint64_t store_bytes_max = 0;

  // [limits]
  uint64_t request_bytes_max = 0;
  uint64_t queue_items_max = 0;
  uint64_t queue_bytes_max = 0;
  quota_config quotas; // with [[quotas]]
  memory_limits memory;
  uint64_t delivery_attempts_max = 20;
  uint64_t dead_letters_max = 10'000;
  uint64_t relay_items_max = 0; // carried for one originator
  uint64_t relay_bytes_max = 0;
  uint64_t connections_max = 0;
  uint64_t sessions_max = 0;
  uint64_t nodes_remembered_max = 10'000;
  uint64_t trace_events_max = 0;

  // [log]
  log::level log_level = log::level::info;
  log::format log_format = log::format::text;

  // [audit]
  std::string audit_file; // empty: none
  uint64_t audit_bytes_max = 0;
  uint32_t audit_files_max = 0;

  // [[routes]]: HLD 8.5
  std::vector<provisioned_address> routes;
};

struct loaded_config {
  node_config config;
  std::string effective; // as TOML, for --dump-config
};

/// Errors: `io_failed`, `config_invalid` naming file, line and key.
expected<loaded_config> load_config(const std::string& path);

/// A path of the configuration, seen from its directory.
std::string resolve_path(const node_config& config, const std::string& path);

} // namespace rvi
