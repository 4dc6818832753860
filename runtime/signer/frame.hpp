// SPDX-License-Identifier: MPL-2.0
//
// Internal to runtime/signer: what client and server say to each other, one message a packet
// (SOCK_SEQPACKET).
//
//   hello, from the signer:  "RVI-SIGNER-1" | SubjectPublicKeyInfo
//   sign, to the signer:     u8 purpose | input
//   signed, from the signer: u8 0 | signature[64]
//   refused:                 u8 ec | text
//
// Each request has one answer, in order. Who broke off waiting closes the connection.

#pragma once

#include "runtime/error.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

namespace rvi::signer::detail {

inline constexpr std::string_view hello_label = "RVI-SIGNER-1";
inline constexpr size_t answer_bytes_max = 1'024;

using steady = std::chrono::steady_clock;

class descriptor {
public:
  descriptor() = default;
  explicit descriptor(int x) : fd_(x) {}
  descriptor(descriptor&& x) noexcept : fd_(std::exchange(x.fd_, -1)) {}
  descriptor& operator=(descriptor&& x) noexcept;
  ~descriptor() { close(); }
  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  void close();

private:
  int fd_ = -1;
};

/// One packet, whole. Errors: `io_failed`.
caf::error send_packet(int fd, std::string_view x);

/// One packet; waits until `due`. Errors: `timeout`, `link_down` at the end, `limit_exceeded`,
/// `io_failed`.
expected<std::string> receive_packet(int fd, size_t bytes_max, steady::time_point due);

std::string answer_of(const expected<std::string>& signature);
/// Errors: those it carries, or `malformed`.
expected<std::string> signature_in(std::string_view answer);

} // namespace rvi::signer::detail
