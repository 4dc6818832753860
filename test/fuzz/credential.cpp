// SPDX-License-Identifier: MPL-2.0
//
// A credential: the text as it is, or with claims that the organization has signed (first byte
// odd), then claims a line that its holder has signed on top of that. `$K` in claims is the
// holder's key, `$U` its uid, `$P` what `par` must be. What is accepted says nothing outside its
// organization, and in a chain nothing that the one before does not.

#include "messages/transaction_id.hpp"
#include "test/fuzz/accepted_credential.hpp"
#include "test/fuzz/fuzz.hpp"
#include "test/fuzz/signed_text.hpp"

using namespace rvi;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::organization issuer;
  fuzz::input in{data, size};
  bool sign = (in.byte() & 1) != 0;
  std::string text;
  while (sign && !in.empty() && text.size() < credential_bytes_max) {
    // One key for the organization and all holders: whose signature it is is not what is sought.
    auto claims = fuzz::filled(in.line(), "$K", issuer.key.public_part().jwk());
    claims = fuzz::filled(claims, "$U", to_string(issuer.key.public_part().uid()));
    claims = fuzz::filled(claims, "$P", crypto::base64url(crypto::view(crypto::sha256(text))));
    text = issuer.sign("rvi-cred+jwt", claims) + (text.empty() ? "" : "," + text);
  }
  if (!sign)
    text = in.rest();
  auto x = parse_credential(text);
  if (!x || verify_credential(**x, issuer.anchors))
    return 0;
  fuzz::check_accepted(**x);
  return 0;
}
