// SPDX-License-Identifier: MPL-2.0
//
// Real `rvi node` processes for tests: a directory with everything a node needs, made by a test
// authority, and the process that runs on it. The program's path comes from the environment, RVI.

#pragma once

#include "runtime/crypto/crypto.hpp"
#include "test/support/authority.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace rvi::test {

using milliseconds = std::chrono::milliseconds;

/// How long anything that must happen soon may take on a loaded machine.
inline constexpr milliseconds node_patience{20'000};

/// Path of the program; empty if RVI is not set.
std::string rvi_program();

uint64_t wall_ms();

/// A TCP port of 127.0.0.1 that nobody listens on now.
uint16_t free_port();

void write_file(const std::string& path, const std::string& text);

/// A temporary folder with one organization's root; everything goes at the end.
class node_world {
public:
  node_world();
  ~node_world();
  node_world(const node_world&) = delete;
  node_world& operator=(const node_world&) = delete;

  std::string folder;
  ::test::authority provisioning;
};

/// What a node's rvi.toml says; texts are appended to their tables as they are.
struct node_settings {
  std::string name;
  std::string role = "vehicle";
  std::string infix = "services";
  std::vector<std::string> destinations;
  uint16_t tls_port = 0; // 0: does not listen
  uint16_t route_to = 0; // the cloud's port, for jlr.com/cloud; 0: no route
  bool credential = true;
  std::vector<std::string> anchors;     // files in [trust] anchors besides the world's own
  std::string api = "address = \"\"\n"; // no TCP
  // Small, so that a test that ends links does not wait for the next dial.
  std::string backoff = "backoff_min = \"50ms\"\nbackoff_max = \"500ms\"\n";
  std::string links;
  std::string store;
  std::string limits;
  // Where its key is, if it is not in node.key: the key, and what [node] says of it.
  crypto::private_key key;
  std::string key_place;
};

/// An `rvi signer`; its log is SOCKET.log. Ends with the test.
class signer_process {
public:
  signer_process(std::string key, std::string socket)
    : key_(std::move(key)),
      socket_(std::move(socket)) {}
  ~signer_process() { kill(); }
  signer_process(const signer_process&) = delete;
  signer_process& operator=(const signer_process&) = delete;

  void start(); // returns at once: who connects waits for it
  void kill();
  /// SIGTERM; the exit code.
  int terminate();
  /// It ends by itself; the exit code.
  int wait_exit();
  pid_t pid() const { return pid_; }
  const std::string& socket() const { return socket_; }
  std::string log() const;

  std::string user;   // whom it serves; empty: this one
  int passed_fd = -1; // a socket passed to it as systemd does, instead of its own

private:
  std::string key_;
  std::string socket_;
  pid_t pid_ = -1;
};

class node_process {
public:
  /// Makes the node's directory; starts nothing.
  node_process(node_world& world, const std::string& directory, node_settings settings);
  ~node_process();
  node_process(const node_process&) = delete;
  node_process& operator=(const node_process&) = delete;

  void write_config(const std::string& more = {});
  /// Adds a credential; an existing file of this name is replaced.
  void write_credential(const std::string& file, const credential_ptr& x);

  /// Starts the process and returns at once.
  void launch();
  /// Starts the process and waits until its service API takes connections.
  void start();
  bool running();
  pid_t pid() const { return pid_; }
  /// Anonymous memory of the process now, in bytes.
  uint64_t anonymous_bytes() const;
  /// SIGKILL, and gone when it returns.
  void kill();
  void signal(int number);
  /// Exit code (128 + signal if a signal ended it), or nothing if it still runs after that time.
  std::optional<int> wait_exit(milliseconds time);
  /// SIGTERM; the exit code as above.
  std::optional<int> terminate(milliseconds time = node_patience);
  /// Launches and expects it to end by itself soon; -1 if it stays up.
  int exit_code_of_start();

  std::string path(const std::string& file) const { return directory_ + "/" + file; }
  std::string socket() const { return path("rvi.sock"); }
  /// All it has said since its directory was made.
  std::string log() const;
  std::string log_tail() const;

  node_settings settings;
  crypto::private_key key;
  credential_ptr credential;

private:
  node_world& world_;
  std::string directory_;
  pid_t pid_ = -1;
};

/// How a command ended.
struct ran {
  int code = -1;
  std::string output; // and errors
};

/// Runs `rvi` with these arguments, as a shell takes them.
ran run_rvi(const std::string& arguments);

/// The two nodes of HLD chapter 8 on real sockets, not started.
struct two_nodes {
  two_nodes();
  /// A vehicle's settings; destinations are the cloud's media server.
  node_settings vehicle_settings() const;
  node_settings cloud_settings() const;

  node_world world;
  uint16_t cloud_port = free_port();
  node_process vehicle;
  node_process cloud;
};

} // namespace rvi::test
