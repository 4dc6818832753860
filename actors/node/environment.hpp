// SPDX-License-Identifier: MPL-2.0
//
// What a node needs before its actors start: configuration, key, credentials, the opened store and
// the listening socket. Everything that can be wrong with them is an error here, for main().

#pragma once

#include "actors/edge/json_rpc_access.hpp"
#include "actors/edge/service_ids.hpp"
#include "actors/node/config.hpp"
#include "actors/node/context.hpp"
#include "actors/routing/authorization.hpp"
#include "actors/sockets/sockets.hpp"
#include "actors/storage/disk.hpp"
#include "runtime/crypto/crypto.hpp"

#include <future>
#include <memory>
#include <mutex>
#include <string>

namespace rvi {

/// How the first start of a node went; later restarts do not touch it.
class startup {
public:
  void ready(uint16_t api_port) { settle(api_port); }
  void failed(caf::error why) { settle(std::move(why)); }
  std::future<expected<uint16_t>> future() { return promise_.get_future(); }

private:
  void settle(expected<uint16_t> x) {
    std::call_once(once_, [&] { promise_.set_value(std::move(x)); });
  }
  std::once_flag once_;
  std::promise<expected<uint16_t>> promise_;
};

struct node_environment {
  node_config config;
  std::shared_ptr<node_context> context;
  crypto::private_key key;
  rights_source source;
  key_replacement keys;
  std::vector<access_token> api_tokens; // none: no TCP
  std::shared_ptr<durable_disk> disk;
  memory_requests_ptr memory_requests; // made by the first store and forward of a start
  service_ids_ptr service_ids;         // made by the first service edge of a start
  bool store_has_thread = true;        // commits block; a simulation runs all actors in one thread
  listening_socket_ptr tls_listening;  // null: does not listen
  std::shared_ptr<startup> start = std::make_shared<startup>();
  uint16_t api_port = 0; // known once json_rpc runs
};

using node_environment_ptr = std::shared_ptr<node_environment>;

/// Reads the node's key, credentials and anchors. Errors: `io_failed`, `file_unsafe`,
/// `config_invalid` naming the file.
expected<std::shared_ptr<rights>>
load_rights(const node_config& config, const crypto::public_key& key,
            std::shared_ptr<credential_cache> known, const std::vector<std::string>& bundles);

/// Opens everything. Checks the store in a child process first, so call it before any thread runs.
expected<node_environment_ptr> prepare_environment(const node_config& config);

} // namespace rvi
