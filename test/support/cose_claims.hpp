// SPDX-License-Identifier: MPL-2.0
//
// The claims of a credential in COSE, item by item, so that a test can say what the router's own
// writer never would.

#pragma once

#include "messages/credential.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/cose.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace test {

inline std::string cbor_number(int64_t x) {
  return rvi::cbor::writer{}.integer(x).take();
}

inline std::string cbor_text(std::string_view x) {
  return rvi::cbor::writer{}.text(x).take();
}

inline std::string cbor_bytes(std::string_view x) {
  return rvi::cbor::writer{}.bytes(x).take();
}

inline std::string cbor_texts(const std::vector<std::string>& xs) {
  rvi::cbor::writer out;
  out.array(xs.size());
  for (auto& x : xs)
    out.text(x);
  return out.take();
}

/// An encoded label and an encoded item: in this order they are deterministic.
using cbor_members = std::map<std::string, std::string>;

inline std::string cbor_map(const cbor_members& xs) {
  auto result = rvi::cbor::writer{}.map(xs.size()).take();
  for (auto& [label, item] : xs)
    result += label + item;
  return result;
}

/// A COSE_Key in the claim cnf.
inline std::string cbor_cnf(const rvi::crypto::public_key& key) {
  rvi::cbor::writer out;
  out.map(1).integer(1);
  rvi::crypto::write_cose_key(out, key);
  return out.take();
}

struct cose_claims {
  explicit cose_claims(const rvi::credential_claims& x) {
    standard(1) = cbor_text(x.issuer);
    standard(4) = cbor_number(static_cast<int64_t>(x.expires_s));
    standard(5) = cbor_number(static_cast<int64_t>(x.not_before_s));
    standard(6) = cbor_number(static_cast<int64_t>(x.issued_s));
    standard(8) = cbor_cnf(x.key);
    own(1) = cbor_number(1);
    own(2) = cbor_bytes(rvi::crypto::view(x.key.uid()));
    own(3) = cbor_text(x.id);
    own(4) = cbor_texts(x.sources);
    own(5) = cbor_texts(x.destinations);
  }

  std::string& standard(int64_t label) { return standard_[cbor_number(label)]; }
  std::string& own(int64_t label) { return own_[cbor_number(label)]; }
  void drop_standard(int64_t label) { standard_.erase(cbor_number(label)); }
  void drop_own(int64_t label) { own_.erase(cbor_number(label)); }

  std::string payload() const {
    auto all = standard_;
    all[cbor_number(-65'537)] = cbor_map(own_);
    return cbor_map(all);
  }

  /// A credential of these claims.
  std::string signed_by(const rvi::crypto::private_key& key,
                        std::string_view type = "application/rvi-cred+cwt") const {
    return *rvi::crypto::sign_cose(key, type, rvi::crypto::view(key.public_part().uid()),
                                   payload());
  }

private:
  cbor_members standard_;
  cbor_members own_;
};

} // namespace test
