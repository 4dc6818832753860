// SPDX-License-Identifier: MPL-2.0
//
// Lets Botan build certificates with a key it does not have: the public key it has, and an
// operation that hands the whole message to whoever signs.

#include "runtime/crypto/crypto.hpp"
#include "runtime/crypto/key_state.hpp"

#include <botan/data_src.h>
#include <botan/ecdsa.h>
#include <botan/ed25519.h>
#include <botan/pk_ops.h>
#include <botan/x509_key.h>

#include <cassert>

namespace rvi::crypto {

namespace {

class asked_signature final : public Botan::PK_Ops::Signature {
public:
  explicit asked_signature(std::shared_ptr<const external_key> x) : key_(std::move(x)) {}

  void update(const uint8_t message[], size_t size) override {
    message_.append(reinterpret_cast<const char*>(message), size);
  }

  Botan::secure_vector<uint8_t> sign(Botan::RandomNumberGenerator&) override {
    auto signature = key_->sign(message_);
    message_.clear();
    if (!signature)
      throw detail::external_failure{std::move(signature.error())};
    return {signature->begin(), signature->end()};
  }

  size_t signature_length() const override { return 64; }

private:
  std::shared_ptr<const external_key> key_;
  std::string message_;
};

/// `Public` is what is known of it.
template <class Public>
class asked_key final : public virtual Botan::Private_Key, public Public {
public:
  asked_key(const Public& known, std::shared_ptr<const external_key> x) requires
    std::is_same_v<Public, Botan::ECDSA_PublicKey>
    : Botan::EC_PublicKey(known.domain(), known.public_point()),
      Public(known),
      key_(std::move(x)) {}

  asked_key(const Public& known, std::shared_ptr<const external_key> x) requires
    std::is_same_v<Public, Botan::Ed25519_PublicKey> : Public(known),
                                                       key_(std::move(x)) {}

  Botan::secure_vector<uint8_t> private_key_bits() const override {
    throw Botan::Not_Implemented("the key is not in this process");
  }

  bool check_key(Botan::RandomNumberGenerator& generator, bool strong) const override {
    return Public::check_key(generator, strong);
  }

  std::unique_ptr<Botan::PK_Ops::Signature>
  create_signature_op(Botan::RandomNumberGenerator&, const std::string&,
                      const std::string&) const override {
    return std::make_unique<asked_signature>(key_);
  }

private:
  std::shared_ptr<const external_key> key_;
};

} // namespace

namespace detail {

std::unique_ptr<Botan::Private_Key>
asking(const public_key& known, std::shared_ptr<const external_key> x) {
  // It was parsed before, so only a lack of memory can throw here.
  auto make = [&]() noexcept -> std::unique_ptr<Botan::Private_Key> {
    Botan::DataSource_Memory source{bytes(known.spki()), known.spki().size()};
    std::unique_ptr<Botan::Public_Key> decoded{Botan::X509::load_key(source)};
    if (auto ed25519 = dynamic_cast<Botan::Ed25519_PublicKey*>(decoded.get()))
      return std::make_unique<asked_key<Botan::Ed25519_PublicKey>>(*ed25519, std::move(x));
    auto ecdsa = dynamic_cast<Botan::ECDSA_PublicKey*>(decoded.get());
    assert(ecdsa);
    return std::make_unique<asked_key<Botan::ECDSA_PublicKey>>(*ecdsa, std::move(x));
  };
  return make();
}

} // namespace detail

} // namespace rvi::crypto
