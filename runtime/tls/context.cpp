// SPDX-License-Identifier: MPL-2.0
//
// The rules of our TLS, set once per identity: TLS 1.3 alone, both sides show one certificate, no
// early data, tickets sealed by keys that can be thrown away.

#include "runtime/tls/context_state.hpp"
#include "runtime/tls/external_key.hpp"

#include <cassert>
#include <cstring>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

namespace rvi::tls {

namespace {

struct openssl_deleter {
  void operator()(X509* x) const { X509_free(x); }
  void operator()(EVP_PKEY* x) const { EVP_PKEY_free(x); }
  void operator()(BIO* x) const { BIO_free(x); }
};

template <class T>
using owned = std::unique_ptr<T, openssl_deleter>;

caf::error refuse(const std::string& what) {
  return caf::make_error(ec::config_invalid, what + ": " + openssl_reason());
}

/// Without a callback OpenSSL would ask for the password on the terminal.
int no_password(char*, int, int, void*) {
  return -1;
}

/// Trust is decided above; here only the number of certificates counts, and `ca_file`.
int verify(X509_STORE_CTX* x, void* arg) {
  if (sk_X509_num(X509_STORE_CTX_get0_untrusted(x)) != 1) {
    X509_STORE_CTX_set_error(x, X509_V_ERR_CERT_CHAIN_TOO_LONG);
    return 0;
  }
  if (!static_cast<const options*>(arg)->ca_file.empty())
    return X509_verify_cert(x) == 1;
  X509_STORE_CTX_set_error(x, X509_V_OK);
  return 1;
}

int set_mac_key(EVP_MAC_CTX* mac, ticket_keys& keys) {
  char digest[] = "SHA256";
  OSSL_PARAM params[] = {
    OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, keys.mac.data(), keys.mac.size()),
    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
    OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_CTX_set_params(mac, params);
}

/// 1: keys are set; 2: so they are, and the client needs a new ticket; 0: not our ticket, so a full
/// handshake follows; -1: failure.
int seal_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                EVP_MAC_CTX* mac, int encrypt) {
  auto* state = static_cast<ticket_owner*>(SSL_get_app_data(ssl))->shared;
  std::lock_guard guard{state->mutex};
  auto& keys = state->keys;
  if (encrypt) {
    std::memcpy(name, keys.name.data(), keys.name.size());
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1
        || EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, keys.cipher.data(), iv) != 1)
      return -1;
  } else {
    if (std::memcmp(name, keys.name.data(), keys.name.size()) != 0)
      return 0;
    if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, keys.cipher.data(), iv) != 1)
      return -1;
  }
  if (set_mac_key(mac, keys) != 1)
    return -1;
  return encrypt ? 1 : 2;
}

/// Called for each ticket a server sends us.
int receive_ticket(SSL* ssl, SSL_SESSION* ticket) {
  auto* owner = static_cast<ticket_owner*>(SSL_get_app_data(ssl));
  if (owner->peer_key.empty() || !SSL_SESSION_is_resumable(ticket))
    return 0;
  return owner->shared->remember(owner->peer_key, owner->born, ticket) ? 1 : 0;
}

bool set_rules(SSL_CTX* ctx, const options& opts) {
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // Without NO_AUTO_CHAIN, certificates of `ca_file` would be sent along with ours.
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_max_cert_list(ctx, 16 << 10);
  static constexpr unsigned char tag[] = {'r', 'v', 'i'};
  return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1
         && SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1
         && SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                          "TLS_CHACHA20_POLY1305_SHA256")
              == 1
         && SSL_CTX_set1_groups_list(ctx, "X25519:P-256") == 1
         && SSL_CTX_set1_sigalgs_list(ctx, "ed25519:ecdsa_secp256r1_sha256") == 1
         && SSL_CTX_set_max_early_data(ctx, 0) == 1 && SSL_CTX_set_recv_max_early_data(ctx, 0) == 1
         && SSL_CTX_set_num_tickets(ctx, opts.session_tickets ? 1 : 0) == 1
         && SSL_CTX_set_session_id_context(ctx, tag, sizeof tag) == 1;
}

void set_tickets(SSL_CTX* ctx, const options& opts) {
  if (!opts.session_tickets) {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    return;
  }
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, receive_ticket);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, seal_ticket);
}

EVP_PKEY* key_of(const identity& id) {
  if (id.external)
    return make_external_key(id.external);
  owned<BIO> pem{
    BIO_new_mem_buf(id.private_key_pem.data(), static_cast<int>(id.private_key_pem.size()))};
  return PEM_read_bio_PrivateKey(pem.get(), nullptr, no_password, nullptr);
}

bool supported(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "ED25519"))
    return true;
  char group[32] = {};
  return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) == 1
         && std::string_view{group} == "prime256v1";
}

} // namespace

std::string openssl_reason() {
  auto code = ERR_peek_error();
  auto* text = code != 0 ? ERR_reason_error_string(code) : nullptr;
  return text != nullptr ? text : "unknown reason";
}

// -- context_state -------------------------------------------------------------------------------

caf::error context_state::configure(const identity& id) {
  ERR_clear_error();
  auto* library = id.external ? external_key_library() : nullptr; // null: OpenSSL's own
  if (id.external && library == nullptr)
    return refuse("OpenSSL with a key from outside");
  ctx.reset(SSL_CTX_new_ex(library, nullptr, TLS_method()));
  if (!ctx || !set_rules(ctx.get(), opts))
    return refuse("TLS rules");
  set_tickets(ctx.get(), opts);
  auto* der = reinterpret_cast<const unsigned char*>(id.certificate_der.data());
  auto* end = der + id.certificate_der.size();
  owned<X509> certificate{d2i_X509(nullptr, &der, static_cast<long>(id.certificate_der.size()))};
  if (!certificate || der != end)
    return refuse("TLS certificate");
  owned<EVP_PKEY> key{key_of(id)};
  if (!key)
    return refuse("TLS private key");
  if (!supported(key.get()))
    return caf::make_error(ec::config_invalid, "TLS private key: neither Ed25519 nor P-256");
  if (SSL_CTX_use_certificate(ctx.get(), certificate.get()) != 1
      || SSL_CTX_use_PrivateKey(ctx.get(), key.get()) != 1
      || SSL_CTX_check_private_key(ctx.get()) != 1)
    return refuse("TLS certificate and private key");
  if (!opts.ca_file.empty() && SSL_CTX_load_verify_file(ctx.get(), opts.ca_file.c_str()) != 1)
    return refuse("TLS CA file " + opts.ca_file);
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx.get()),
                              X509_V_FLAG_NO_CHECK_TIME | X509_V_FLAG_PARTIAL_CHAIN);
  SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(ctx.get(), verify, &opts);
  make_ticket_keys();
  return {};
}

void context_state::make_ticket_keys() {
  auto draw = [](auto& x) {
    [[maybe_unused]] auto drawn = RAND_bytes(x.data(), static_cast<int>(x.size()));
    assert(drawn == 1);
  };
  draw(keys.name);
  draw(keys.cipher);
  draw(keys.mac);
}

uint64_t context_state::current_generation() {
  std::lock_guard guard{mutex};
  return generation;
}

ssl_session_ptr context_state::take(const std::string& peer_key) {
  std::lock_guard guard{mutex};
  auto node = remembered.extract(peer_key);
  return node.empty() ? nullptr : std::move(node.mapped());
}

void context_state::give_back(const std::string& peer_key, uint64_t born, ssl_session_ptr ticket) {
  std::lock_guard guard{mutex};
  if (born == generation && remembered.size() < remembered_max)
    remembered.emplace(peer_key, std::move(ticket));
}

bool context_state::remember(const std::string& peer_key, uint64_t born, SSL_SESSION* ticket) {
  std::lock_guard guard{mutex};
  if (born != generation)
    return false;
  if (remembered.size() >= remembered_max && !remembered.contains(peer_key))
    remembered.erase(remembered.begin());
  remembered[peer_key].reset(ticket);
  return true;
}

// -- context --------------------------------------------------------------------------------------

context::context() : state_{std::make_unique<context_state>()} {}

context::~context() = default;

expected<std::shared_ptr<context>> context::make(const identity& id, const options& opts) {
  std::shared_ptr<context> result{new context};
  result->state_->opts = opts;
  if (auto refused = result->state_->configure(id))
    return refused;
  return result;
}

void context::flush_sessions() {
  std::lock_guard guard{state_->mutex};
  ++state_->generation;
  state_->make_ticket_keys();
  state_->remembered.clear();
}

} // namespace rvi::tls
