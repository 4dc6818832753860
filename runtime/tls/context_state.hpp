// SPDX-License-Identifier: MPL-2.0
//
// What a context keeps for its sessions. Private to this folder, because it shows OpenSSL.

#pragma once

#include "runtime/tls/tls.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <openssl/ssl.h>

namespace rvi::tls {

struct ssl_deleter {
  void operator()(SSL_CTX* x) const { SSL_CTX_free(x); }
  void operator()(SSL_SESSION* x) const { SSL_SESSION_free(x); }
  void operator()(SSL* x) const { SSL_free(x); }
};

using ssl_ctx_ptr = std::unique_ptr<SSL_CTX, ssl_deleter>;
using ssl_session_ptr = std::unique_ptr<SSL_SESSION, ssl_deleter>;
using ssl_ptr = std::unique_ptr<SSL, ssl_deleter>;

/// What a ticket is sealed with; the name tells the generations apart.
struct ticket_keys {
  std::array<unsigned char, 16> name{};
  std::array<unsigned char, 32> cipher{};
  std::array<unsigned char, 32> mac{};
};

struct context_state {
  /// Tickets from peers; each is about 1.5 kB.
  static constexpr size_t remembered_max = 1024;

  ssl_ctx_ptr ctx;
  options opts;

  std::mutex mutex; // guards what follows
  uint64_t generation = 0;
  ticket_keys keys;
  std::map<std::string, ssl_session_ptr> remembered;

  caf::error configure(const identity& id);
  void make_ticket_keys();
  uint64_t current_generation();
  /// Null if there is none. A ticket is used once, as RFC 8446 C.4 advises and OpenSSL enforces.
  ssl_session_ptr take(const std::string& peer_key);
  /// One that was taken and not used. A newer one counts more.
  void give_back(const std::string& peer_key, uint64_t born, ssl_session_ptr ticket);
  /// Takes over the reference if it returns true.
  bool remember(const std::string& peer_key, uint64_t born, SSL_SESSION* ticket);
};

/// Each SSL object's application data: whose tickets it may remember.
struct ticket_owner {
  context_state* shared = nullptr;
  std::string peer_key; // empty: none
  uint64_t born = 0;    // the context's generation when the session began
};

/// The oldest error in OpenSSL's queue, for people.
std::string openssl_reason();

} // namespace rvi::tls
