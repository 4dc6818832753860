// SPDX-License-Identifier: MPL-2.0
//
// A credential in COSE: the bytes as they are (first byte even), or claims that the organization
// has signed, then claims that its holder has signed on top of that, each after two bytes of
// length. In claims 32 bytes `k` are the holder's key, 16 `u` its uid, 32 `p` what `par` must be:
// as long as what takes their place. What is accepted says what its twin in a JWS would.

#include "runtime/crypto/cose.hpp"

#include "messages/transaction_id.hpp"
#include "test/fuzz/accepted_credential.hpp"
#include "test/fuzz/fuzz.hpp"
#include "test/fuzz/signed_text.hpp"

using namespace rvi;

namespace {

std::string with_key(std::string_view claims, const crypto::public_key& key) {
  auto& spki = key.spki();
  auto result = fuzz::filled(claims, std::string(32, 'k'), spki.substr(spki.size() - 32));
  return fuzz::filled(result, std::string(16, 'u'), crypto::view(key.uid()));
}

/// The same claims in a JWS give the same credential.
void check_twin(const credential& x, const crypto::private_key& key) {
  auto twin = issue_credential(x, key);
  if (!twin)
    return; // only the JWS is over 16 KiB, or a pattern is
  assert((*twin)->revocation == x.revocation && (*twin)->sources == x.sources);
  assert((*twin)->destinations == x.destinations && (*twin)->users == x.users);
  auto back = issue_credential(**twin, key, credential_format::cose);
  assert(back && (*back)->id == x.id && (*back)->expires_s == x.expires_s);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::organization issuer;
  auto& own = issuer.key.public_part();
  fuzz::input in{data, size};
  bool sign = (in.byte() & 1) != 0;
  std::string bytes;
  while (sign && !in.empty() && bytes.size() < credential_bytes_max) {
    auto length = size_t{in.byte()} << 8;
    length |= in.byte();
    auto before = crypto::sha256(bytes);
    auto claims
      = fuzz::filled(with_key(in.take(length), own), std::string(32, 'p'), crypto::view(before));
    bytes
      = *crypto::sign_cose(issuer.key, "application/rvi-cred+cwt", crypto::view(own.uid()), claims)
        + bytes;
  }
  if (!sign) {
    bytes = in.rest();
    // Each byte of what is taken as CBOR was needed.
    if (auto document = cbor::parse(bytes); document && !bytes.empty())
      assert(!cbor::parse(std::string_view{bytes}.substr(0, bytes.size() - 1)));
  }
  auto x = parse_credential(bytes);
  if (!x || verify_credential(**x, issuer.anchors))
    return 0;
  fuzz::check_accepted(**x);
  if ((*x)->format == credential_format::cose && !(*x)->parent)
    check_twin(**x, issuer.key);
  return 0;
}
