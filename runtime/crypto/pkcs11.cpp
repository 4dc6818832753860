// SPDX-License-Identifier: MPL-2.0

#include "runtime/crypto/pkcs11.hpp"

#include "runtime/crypto/pkcs11_token.hpp"

namespace rvi::crypto {

namespace {

using detail::steady;
using namespace std::chrono_literals;

constexpr auto patience = 2s;
constexpr auto login_interval = 500ms;
/// What a key signs once at start, to see whether its two parts belong together.
constexpr std::string_view probe = "RVI-KEY-CHECK-1";

class token_key final : public external_key {
public:
  token_key(std::shared_ptr<detail::token_module> module, token_uri uri)
    : session_(std::move(module), std::move(uri)) {}

  expected<public_key> open() {
    std::lock_guard guard{session_.module().mutex};
    if (auto err = session_.open())
      return err;
    auto result = session_.read_public_key();
    if (result)
      kind_ = result->algorithm();
    return result;
  }

  expected<std::string> sign(std::string_view message) const override {
    std::unique_lock lock{session_.module().mutex, std::defer_lock};
    if (!lock.try_lock_for(patience))
      return caf::make_error(ec::busy, location() + ": the token is still at work");
    std::string signature;
    CK_RV rv = CKR_SESSION_CLOSED;
    if (session_.is_open() && (rv = session_.sign(kind_, message, signature)) == CKR_OK)
      return signature;
    if (auto err = open_again())
      return err;
    rv = session_.sign(kind_, message, signature);
    if (rv == CKR_OK)
      return signature;
    session_.close();
    return caf::make_error(ec::busy, location() + ": signing: " + detail::name_of(rv));
  }

  std::string location() const override { return session_.uri().shown(); }

private:
  /// With the lock held.
  caf::error open_again() const {
    auto now = steady::now();
    if (now < next_login_)
      return caf::make_error(ec::busy, location()
                                         + ": the token has gone; looked for twice a "
                                           "second");
    next_login_ = now + login_interval;
    auto err = session_.open();
    if (!err || code_of(err) == ec::unauthenticated)
      return err;
    session_.module().start_again();
    err = session_.open();
    // Whatever it is, it worked before and may again.
    return err ? caf::make_error(
             code_of(err) == ec::unauthenticated ? ec::unauthenticated : ec::busy, detail_of(err))
               : caf::error{};
  }

  mutable detail::token_session session_;
  mutable steady::time_point next_login_;
  algorithm kind_ = algorithm::es256;
};

struct named_token_key {
  token_uri uri;
  std::shared_ptr<detail::token_module> module;
};

expected<named_token_key> named(const std::string& text) {
  auto uri = parse_token_uri(text);
  if (!uri)
    return std::move(uri.error());
  auto module = detail::token_module::load(uri->module_path);
  if (!module)
    return std::move(module.error());
  return named_token_key{std::move(*uri), std::move(*module)};
}

} // namespace

expected<private_key> load_token_key(const std::string& uri) {
  auto x = named(uri);
  if (!x)
    return std::move(x.error());
  auto key = std::make_shared<token_key>(std::move(x->module), std::move(x->uri));
  auto known = key->open();
  if (!known)
    return std::move(known.error());
  auto result = private_key::from_external(*known, key);
  auto signature = result.sign(probe);
  if (!signature)
    return std::move(signature.error());
  if (!known->verify(probe, *signature))
    return caf::make_error(ec::config_invalid,
                           key->location() + ": the public key on the token is another key's");
  return result;
}

expected<private_key> generate_token_key(const std::string& uri, algorithm kind) {
  auto x = named(uri);
  if (!x)
    return std::move(x.error());
  if (!x->uri.path.contains("token") || !x->uri.path.contains("object"))
    return caf::make_error(ec::config_invalid,
                           std::string{"a new key needs token and object in its URI"});
  {
    detail::token_session session{x->module, x->uri};
    std::lock_guard guard{x->module->mutex};
    auto err = session.log_in(true);
    if (!err)
      err = session.generate(kind);
    session.close();
    if (err)
      return err;
  }
  return load_token_key(uri);
}

} // namespace rvi::crypto
