// SPDX-License-Identifier: MPL-2.0
//
// Private keys: making, PEM, signing. A key read from PEM is built anew from its secret number
// alone, so that its public part always fits.

#include "runtime/crypto/crypto.hpp"
#include "runtime/crypto/key_state.hpp"
#include "runtime/crypto/strict_signature.hpp"

#include <botan/bigint.h>
#include <botan/data_src.h>
#include <botan/ec_group.h>
#include <botan/ecdsa.h>
#include <botan/ed25519.h>
#include <botan/pem.h>
#include <botan/pkcs8.h>
#include <botan/pubkey.h>
#include <botan/rng.h>
#include <botan/x509_key.h>

#include <cassert>

namespace rvi::crypto {

namespace {

using botan_key = std::unique_ptr<Botan::Private_Key>;

constexpr const char* curve = "secp256r1";
constexpr size_t seed_size = 32;
constexpr size_t ed25519_key_size = 32; // the end of its SPKI
constexpr size_t signature_size = 64;

/// Null if it is neither Ed25519 nor P-256.
botan_key rebuild(const Botan::Private_Key& x) {
  if (auto ed25519 = dynamic_cast<const Botan::Ed25519_PrivateKey*>(&x)) {
    auto seed = ed25519->get_private_key(); // seed and public key
    seed.resize(seed_size);
    return std::make_unique<Botan::Ed25519_PrivateKey>(seed);
  }
  auto ecdsa = dynamic_cast<const Botan::ECDSA_PrivateKey*>(&x);
  Botan::EC_Group group{curve};
  if (!ecdsa || ecdsa->domain() != group)
    return nullptr;
  auto& secret = ecdsa->private_value();
  if (secret < 1 || secret >= group.get_order())
    return nullptr;
  return std::make_unique<Botan::ECDSA_PrivateKey>(detail::thread_generator(), group, secret);
}

std::string sign_with(Botan::PK_Signer& signer, std::string_view message) {
  auto signature
    = signer.sign_message(detail::bytes(message), message.size(), detail::thread_generator());
  assert(signature.size() == signature_size);
  return {signature.begin(), signature.end()};
}

/// A token or another program may answer anything, and with any s.
expected<std::string>
sign_elsewhere(const external_key& key, algorithm kind, std::string_view message) {
  auto signature = key.sign(message);
  if (signature && signature->size() != signature_size)
    return caf::make_error(ec::internal, key.location() + ": a signature of "
                                           + std::to_string(signature->size()) + " bytes");
  if (signature && kind == algorithm::es256)
    detail::lower_s({reinterpret_cast<uint8_t*>(signature->data()), signature->size()});
  return signature;
}

} // namespace

private_key::state::state() = default;
private_key::state::~state() = default;

expected<private_key> private_key::generate(crypto::algorithm x) try {
  auto result = std::make_shared<state>();
  auto& generator = detail::thread_generator();
  if (x == algorithm::ed25519)
    result->key = std::make_unique<Botan::Ed25519_PrivateKey>(generator);
  else
    result->key = std::make_unique<Botan::ECDSA_PrivateKey>(generator, Botan::EC_Group{curve});
  return state::finish(std::move(result));
} catch (const std::exception& e) {
  return caf::make_error(ec::internal, std::string{"cannot make a key: "} + e.what());
}

expected<private_key> private_key::from_pem(std::string_view pem) try {
  auto der = Botan::PEM_Code::decode_check_label(std::string{pem}, "PRIVATE KEY");
  Botan::DataSource_Memory source{der};
  auto decoded = Botan::PKCS8::load_key(source);
  auto result = std::make_shared<state>();
  result->key = rebuild(*decoded);
  if (!result->key)
    return caf::make_error(ec::malformed, std::string{"not an Ed25519 or P-256 key"});
  return state::finish(std::move(result));
} catch (const std::exception& e) {
  return caf::make_error(ec::malformed, std::string{"not a PKCS#8 PEM key: "} + e.what());
}

expected<private_key> private_key::state::finish(std::shared_ptr<state> x) {
  auto spki = Botan::X509::BER_encode(*x->key);
  auto public_part = public_key::from_spki({reinterpret_cast<char*>(spki.data()), spki.size()});
  if (!public_part)
    return std::move(public_part.error());
  x->public_part = std::move(*public_part);
  private_key result;
  result.state_ = std::move(x);
  return result;
}

private_key
private_key::from_external(const public_key& known, std::shared_ptr<const external_key> x) {
  assert(known && x);
  auto made = std::make_shared<state>();
  made->public_part = known;
  made->key = detail::asking(known, x);
  made->external = std::move(x);
  private_key result;
  result.state_ = std::move(made);
  return result;
}

const external_key* private_key::external() const {
  assert(state_);
  return state_->external.get();
}

std::string private_key::to_pem() const {
  assert(state_ && !state_->external);
  auto encode = [this]() noexcept { return Botan::PKCS8::PEM_encode(*state_->key); };
  return encode();
}

const public_key& private_key::public_part() const {
  assert(state_);
  return state_->public_part;
}

expected<std::string> private_key::sign(std::string_view message) const {
  assert(state_);
  if (state_->external)
    return sign_elsewhere(*state_->external, state_->public_part.algorithm(), message);
  auto& spki = state_->public_part.spki();
  if (auto* scheme = detail::substitute();
      scheme && state_->public_part.algorithm() == algorithm::ed25519)
    return scheme->sign(std::string_view{spki}.substr(spki.size() - ed25519_key_size), message);
  // Only a lack of memory or of randomness can throw here; nothing can go on then.
  auto make = [this, message]() noexcept {
    auto kind = state_->public_part.algorithm();
    auto signer = state_->signers.take();
    if (!signer)
      signer = std::make_unique<Botan::PK_Signer>(*state_->key, detail::thread_generator(),
                                                  detail::padding(kind));
    auto signature = sign_with(*signer, message);
    state_->signers.give_back(std::move(signer));
    if (kind == algorithm::es256)
      detail::lower_s({reinterpret_cast<uint8_t*>(signature.data()), signature.size()});
    return signature;
  };
  return make();
}

} // namespace rvi::crypto
