// SPDX-License-Identifier: MPL-2.0
//
// Sockets that bring datagrams: the kernel's news about interfaces (netlink) and multicast. They
// are read in the multiplexer's loop and come to their actor in batches.

#pragma once

#include "actors/sockets/sockets.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace rvi {

struct datagram {
  std::string bytes;
  ip_address from;        // UDP
  uint32_t interface = 0; // UDP: where it came in
  bool to_group = false;  // UDP: it was sent to a multicast group
};

/// What one look at the socket brought.
struct datagram_batch {
  explicit datagram_batch(std::shared_ptr<std::atomic<int>> open) : open_(std::move(open)) {
    ++*open_;
  }
  datagram_batch(const datagram_batch&) = delete;
  datagram_batch& operator=(const datagram_batch&) = delete;
  ~datagram_batch() { --*open_; }

  std::vector<datagram> items;
  bool overrun = false; // the kernel dropped some before they were read

private:
  std::shared_ptr<std::atomic<int>> open_; // batches not yet dealt with
};
using datagram_batch_ptr = std::shared_ptr<datagram_batch>;

using shared_socket = std::shared_ptr<socket_fd>;

/// The kernel's messages about links and addresses; needs no privilege. Error: `io_failed`.
expected<shared_socket> open_netlink();
caf::error send_netlink(const socket_fd& to, const std::string& request);

/// A socket for one multicast group: receives what is sent to the group on the interfaces it has
/// joined, sends with TTL 1. Several processes may have the same port. Error: `io_failed`.
expected<shared_socket> open_multicast(const std::string& group, uint16_t port);
/// Error: `io_failed`; joining twice is none.
caf::error join_group(const socket_fd& socket, const std::string& group, uint32_t interface);
caf::error send_to_group(const socket_fd& socket, const std::string& group, uint16_t port,
                         uint32_t interface, const std::string& bytes);

/// Reads from its construction to its end and sends `datagram_batch_ptr` to `receiver`. Datagrams
/// over `bytes_max` come cut off, one byte longer than that. A `lossy` one drops what comes while
/// its receiver has not dealt with some batches.
class datagram_reader {
public:
  datagram_reader() = default;
  datagram_reader(caf::actor_system& system, shared_socket socket, size_t bytes_max, bool lossy,
                  caf::actor_addr receiver);
  datagram_reader(datagram_reader&&) noexcept = default;
  datagram_reader& operator=(datagram_reader&& x) noexcept;
  ~datagram_reader();
  void stop();

private:
  std::shared_ptr<class datagram_place> place_;
};

} // namespace rvi

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::datagram_batch_ptr)
