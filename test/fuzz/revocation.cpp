// SPDX-License-Identifier: MPL-2.0
//
// Revocation lists: the bytes as they are, or claims and entries that the organization has signed,
// in either form (the first byte's lowest bits 1 and 3), one on top of the other.

#include "messages/revocation.hpp"

#include "runtime/crypto/cose.hpp"
#include "test/fuzz/fuzz.hpp"
#include "test/fuzz/signed_text.hpp"

#include <algorithm>

using namespace rvi;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::organization issuer;
  fuzz::input in{data, size};
  revocation_sets known;
  for (int i = 0; i < 3 && !in.empty(); ++i) {
    auto how = in.byte() & 3;
    auto claims = in.line();
    auto entries = in.take(in.byte() * revocation_entry_bytes);
    std::string text{claims};
    if (how == 1)
      text = issuer.sign("rvi-crl+jwt", claims) + "~" + crypto::base64url(entries);
    else if (how == 3)
      text = *crypto::sign_cose(issuer.key, "application/rvi-crl+cwt",
                                crypto::view(issuer.key.public_part().uid()), claims)
             + std::string{entries};
    if (auto carried = carried_list(text); carried && how == 2)
      text = std::move(*carried);
    auto next = accept_revocation_list(text, known, issuer.anchors);
    if (!next)
      continue;
    assert((*next)->issuer == "jlr.com");
    assert(std::is_sorted((*next)->entries.begin(), (*next)->entries.end()));
    auto before = known.find("jlr.com");
    assert(before == known.end() || before->second->version < (*next)->version);
    known["jlr.com"] = *next;
  }
  return 0;
}
