// SPDX-License-Identifier: MPL-2.0
//
// TLS 1.3 as a codec: ciphertext in, plaintext out, and the reverse. Without sockets, so that it
// runs inside a broker. Both sides show exactly one certificate, usually self-signed: whom to trust
// is decided above, by comparing the peer's key with its credential.

#pragma once

#include "runtime/crypto/crypto.hpp"
#include "runtime/error.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::tls {

/// One certificate, no chain.
struct identity {
  std::string certificate_der;
  std::string private_key_pem; // PKCS#8, not encrypted
  /// Instead of PEM: a key that is not in this process. A handshake waits while it signs.
  crypto::private_key external{};
};

struct options {
  bool session_tickets = true;
  size_t pending_output_max = size_t{16} << 20;
  /// If set, the peer's certificate must also be issued by one of the certificates in this PEM
  /// file. Its validity dates are not checked: vehicles may lack a clock, and credentials carry
  /// the validity that counts.
  std::string ca_file;
};

enum class side { client, server };

struct context_state;

/// Keys, rules and remembered tickets; serves clients and servers, from any thread. New
/// certificates mean a new context: sessions keep the one they began with.
class context {
public:
  /// Errors: `config_invalid`.
  static expected<std::shared_ptr<context>> make(const identity& id, const options& opts = {});
  context(const context&) = delete;
  context& operator=(const context&) = delete;
  ~context();

  /// Makes all tickets issued so far useless and forgets those received. Sessions that are up stay
  /// up, but a ticket that arrives late on one of them is not remembered.
  void flush_sessions();

private:
  friend class session;
  context();
  std::unique_ptr<context_state> state_;
};

/// One connection; used by one thread at a time. Every call that may produce ciphertext leaves it
/// in the output, also when it returns an error: the alert to the peer is there.
class session {
public:
  /// `peer_key` names, for a client, whose tickets to offer and to remember, for example the
  /// dialled address. Empty: no resumption.
  session(std::shared_ptr<context> ctx, tls::side side, std::string peer_key = "");
  session(session&&) noexcept;
  session& operator=(session&&) noexcept;
  ~session();

  /// A client's first flight. Servers need no call.
  caf::error start();

  /// Appends what it decrypts; all of `ciphertext` is consumed. An error ends the session, but what
  /// was decrypted before it is in `plaintext`. Errors: `link_down` after the peer's close_notify
  /// or when the session is over; `unauthenticated` if a certificate is missing or refused, by
  /// either side; `protocol_mismatch` if the peer does not offer TLS 1.3; `limit_exceeded` for a
  /// handshake over 64 KiB; `busy` and others of an external key that does not sign; `malformed`
  /// for anything else that is not TLS or was changed on the way.
  caf::error receive(std::string_view ciphertext, std::string& plaintext);

  /// Encrypts into as few records as possible: join small frames before the call. Errors:
  /// `link_down` before the handshake is done or after the end, `limit_exceeded` if the output not
  /// yet taken would pass its bound (then nothing was sent).
  caf::error send(std::string_view plaintext);

  /// Sends close_notify and ends the session.
  void close();

  /// The transport ended without close_notify: drops a partial record and ends the session.
  void transport_closed();

  bool has_output() const;
  size_t pending_output() const;
  std::string take_output();
  void take_output(std::vector<char>& out); // appends

  /// The handshake is done. A client is established before the server has checked its certificate.
  bool established() const;
  /// No certificate was sent this time: the peer's identity comes from a ticket.
  bool resumed() const;
  /// Over, for whatever reason.
  bool closed() const;

  /// SubjectPublicKeyInfo (DER) of the peer's certificate, as it carries it; empty before the
  /// handshake is done. Known on resumption too.
  std::string peer_spki() const;
  std::string peer_certificate() const; // DER

  /// Keying material bound to this session (RFC 8446 7.5), equal on both sides. Errors: `link_down`
  /// if not established.
  expected<std::string>
  exporter(std::string_view label, std::string_view context, size_t length) const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace rvi::tls
