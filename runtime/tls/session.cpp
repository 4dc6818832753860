// SPDX-License-Identifier: MPL-2.0
//
// One TLS connection over a BIO of our own, which reads from the view given to `receive` and
// appends to the output. OpenSSL's error queue belongs to the thread and one thread serves all
// peers: each call into SSL is preceded by ERR_clear_error().

#include "runtime/tls/context_state.hpp"
#include "runtime/tls/external_key.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <utility>

namespace rvi::tls {

namespace {

constexpr size_t record_bytes_max = 16384;
constexpr size_t record_overhead = 5 + 1 + 16; // header, content type, tag
constexpr size_t handshake_bytes_max = 64 << 10;
/// An output buffer above this is given back when it is empty.
constexpr size_t kept_capacity_max = 32 << 10;

ec code_for(unsigned long error) {
  if (ERR_GET_LIB(error) != ERR_LIB_SSL)
    return ec::malformed;
  switch (ERR_GET_REASON(error)) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_UNKNOWN_CERTIFICATE_TYPE:
    case SSL_R_WRONG_CERTIFICATE_TYPE:
    case SSL_R_WRONG_SIGNATURE_TYPE:
    case SSL_R_BAD_SIGNATURE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      return ec::unauthenticated;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return ec::protocol_mismatch;
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
      return ec::limit_exceeded;
    default:
      return ec::malformed;
  }
}

} // namespace

struct session::state {
  std::shared_ptr<context> ctx;
  tls::side side;
  ticket_owner tickets;
  ssl_session_ptr offered; // the server has not answered yet
  ssl_ptr ssl;
  std::string_view input; // during `receive` alone
  std::string output;
  size_t handshake_bytes = 0;
  bool established = false;
  bool failed = false;
  bool over = false;

  state(std::shared_ptr<context> from, context_state& shared, tls::side which, std::string key);
  ~state();
  state(const state&) = delete;

  caf::error start();
  caf::error receive(std::string& plaintext);
  caf::error send(std::string_view plaintext);
  void close();
  /// What an SSL call's failure means; none if it only waits for more input.
  caf::error reason_for(int returned);
  caf::error fail(ec code, std::string detail);
  /// The handshake is done as soon as OpenSSL says so once; later it may say otherwise while it
  /// reads a ticket.
  void note_progress() { established = established || SSL_is_init_finished(ssl.get()) == 1; }

  static int read(BIO* bio, char* to, int size);
  static int write(BIO* bio, const char* from, int size);
  static const BIO_METHOD* bio_method();
};

// -- BIO ------------------------------------------------------------------------------------------

int session::state::read(BIO* bio, char* to, int size) {
  auto* self = static_cast<state*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  self->note_progress();
  if (!self->established && self->handshake_bytes > handshake_bytes_max)
    return -1; // not to be tried again: the session fails
  auto n = std::min(static_cast<size_t>(size), self->input.size());
  if (n == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  if (!self->established)
    self->handshake_bytes += n;
  std::memcpy(to, self->input.data(), n);
  self->input.remove_prefix(n);
  return static_cast<int>(n);
}

int session::state::write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  static_cast<state*>(BIO_get_data(bio))->output.append(from, static_cast<size_t>(size));
  return size;
}

const BIO_METHOD* session::state::bio_method() {
  static const BIO_METHOD* method = [] {
    auto* x = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "rvi session");
    assert(x != nullptr);
    BIO_meth_set_read(x, read);
    BIO_meth_set_write(x, write);
    BIO_meth_set_ctrl(
      x, [](BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1L : 0L; });
    BIO_meth_set_create(x, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    return x;
  }();
  return method;
}

// -- session::state -------------------------------------------------------------------------------

session::state::state(std::shared_ptr<context> from, context_state& shared, tls::side which,
                      std::string key)
  : ctx{std::move(from)},
    side{which},
    tickets{&shared, std::move(key), shared.current_generation()} {
  ERR_clear_error();
  ssl.reset(SSL_new(shared.ctx.get()));
  auto* bio = BIO_new(bio_method());
  assert(ssl && bio);
  BIO_set_data(bio, this);
  SSL_set_bio(ssl.get(), bio, bio);
  SSL_set_app_data(ssl.get(), &tickets);
  if (side == tls::side::server)
    SSL_set_accept_state(ssl.get());
  else
    SSL_set_connect_state(ssl.get());
}

session::state::~state() {
  // An SSL object freed without shutdown marks its ticket as not resumable, yet links that break
  // are just those that shall resume.
  if (!failed)
    SSL_set_shutdown(ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  // Turned away at the door: the next attempt may use it.
  if (offered && handshake_bytes == 0)
    tickets.shared->give_back(tickets.peer_key, tickets.born, std::move(offered));
}

caf::error session::state::start() {
  if (over)
    return caf::make_error(ec::link_down, "the TLS session is over");
  if (side == tls::side::server)
    return {};
  ERR_clear_error();
  if (!tickets.peer_key.empty()) {
    offered = tickets.shared->take(tickets.peer_key);
    if (offered && SSL_set_session(ssl.get(), offered.get()) != 1)
      return fail(ec::internal, openssl_reason());
  }
  return reason_for(SSL_do_handshake(ssl.get()));
}

caf::error session::state::receive(std::string& plaintext) {
  char chunk[record_bytes_max];
  for (;;) {
    size_t n = 0;
    ERR_clear_error();
    auto returned = SSL_read_ex(ssl.get(), chunk, sizeof chunk, &n);
    note_progress();
    if (returned != 1)
      return reason_for(returned);
    plaintext.append(chunk, n);
    if (input.empty() && SSL_has_pending(ssl.get()) == 0)
      return {};
  }
}

caf::error session::state::send(std::string_view plaintext) {
  if (over || !established)
    return caf::make_error(ec::link_down,
                           over ? "the TLS session is over" : "the TLS handshake is not done");
  if (plaintext.empty())
    return {};
  auto records = plaintext.size() / record_bytes_max + 1;
  auto needed = plaintext.size() + records * record_overhead;
  auto bound = tickets.shared->opts.pending_output_max;
  if (needed > bound || output.size() > bound - needed)
    return caf::make_error(ec::limit_exceeded, "TLS output not yet taken");
  output.reserve(output.size() + needed);
  size_t written = 0;
  ERR_clear_error();
  if (auto returned = SSL_write_ex(ssl.get(), plaintext.data(), plaintext.size(), &written);
      returned != 1)
    return fail(ec::internal, openssl_reason());
  assert(written == plaintext.size());
  return {};
}

void session::state::close() {
  if (over)
    return;
  over = true;
  if (established) {
    ERR_clear_error();
    SSL_shutdown(ssl.get());
  }
}

caf::error session::state::reason_for(int returned) {
  auto not_signed = take_signing_failure(); // of this call: it must not show in another session's
  if (returned == 1)
    return {};
  if (!established && handshake_bytes > handshake_bytes_max)
    return fail(ec::limit_exceeded, "TLS handshake too long");
  switch (SSL_get_error(ssl.get(), returned)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return {};
    case SSL_ERROR_ZERO_RETURN:
      close();
      return caf::make_error(ec::link_down, "the peer closed the TLS session");
    default:
      if (not_signed)
        return fail(code_of(not_signed), detail_of(not_signed));
      return fail(code_for(ERR_peek_error()), openssl_reason());
  }
}

caf::error session::state::fail(ec code, std::string detail) {
  over = true;
  failed = true;
  return caf::make_error(code, "TLS: " + std::move(detail));
}

// -- session --------------------------------------------------------------------------------------

session::session(std::shared_ptr<context> ctx, tls::side side, std::string peer_key) {
  assert(ctx);
  auto& shared = *ctx->state_;
  state_ = std::make_unique<state>(std::move(ctx), shared, side, std::move(peer_key));
}

session::session(session&&) noexcept = default;

session& session::operator=(session&&) noexcept = default;

session::~session() = default;

caf::error session::start() {
  return state_->start();
}

caf::error session::receive(std::string_view ciphertext, std::string& plaintext) {
  if (state_->over)
    return caf::make_error(ec::link_down, "the TLS session is over");
  state_->input = ciphertext;
  auto result = state_->receive(plaintext);
  state_->input = {};
  return result;
}

caf::error session::send(std::string_view plaintext) {
  return state_->send(plaintext);
}

void session::close() {
  state_->close();
}

void session::transport_closed() {
  state_->over = true;
}

bool session::has_output() const {
  return !state_->output.empty();
}

size_t session::pending_output() const {
  return state_->output.size();
}

std::string session::take_output() {
  return std::exchange(state_->output, {});
}

void session::take_output(std::vector<char>& out) {
  auto& from = state_->output;
  out.insert(out.end(), from.begin(), from.end());
  if (from.capacity() > kept_capacity_max)
    from = {};
  else
    from.clear();
}

bool session::established() const {
  return state_->established;
}

bool session::resumed() const {
  return state_->established && SSL_session_reused(state_->ssl.get()) == 1;
}

bool session::closed() const {
  return state_->over;
}

std::string session::peer_spki() const {
  auto* certificate = SSL_get0_peer_certificate(state_->ssl.get());
  if (!state_->established || certificate == nullptr)
    return {};
  unsigned char* der = nullptr;
  auto n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  std::string result(reinterpret_cast<char*>(der), n > 0 ? static_cast<size_t>(n) : 0);
  OPENSSL_free(der);
  return result;
}

std::string session::peer_certificate() const {
  auto* certificate = SSL_get0_peer_certificate(state_->ssl.get());
  if (!state_->established || certificate == nullptr)
    return {};
  unsigned char* der = nullptr;
  auto n = i2d_X509(certificate, &der);
  std::string result(reinterpret_cast<char*>(der), n > 0 ? static_cast<size_t>(n) : 0);
  OPENSSL_free(der);
  return result;
}

expected<std::string>
session::exporter(std::string_view label, std::string_view context, size_t length) const {
  if (!state_->established)
    return caf::make_error(ec::link_down, "the TLS handshake is not done");
  std::string result(length, '\0');
  ERR_clear_error();
  auto returned = SSL_export_keying_material(
    state_->ssl.get(), reinterpret_cast<unsigned char*>(result.data()), length, label.data(),
    label.size(), reinterpret_cast<const unsigned char*>(context.data()), context.size(), 1);
  if (returned != 1)
    return caf::make_error(ec::internal, "TLS exporter: " + openssl_reason());
  return result;
}

} // namespace rvi::tls
