// SPDX-License-Identifier: MPL-2.0
//
// Revocation lists: the text as it is, or claims and entries that the organization has signed
// (first byte odd), one on top of the other.

#include "messages/revocation.hpp"

#include "test/fuzz/fuzz.hpp"
#include "test/fuzz/signed_text.hpp"

#include <algorithm>

using namespace rvi;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::organization issuer;
  fuzz::input in{data, size};
  revocation_sets known;
  for (int i = 0; i < 3 && !in.empty(); ++i) {
    bool sign = (in.byte() & 1) != 0;
    auto claims = in.line();
    auto entries = in.take(in.byte() * revocation_entry_bytes);
    auto text = sign ? issuer.sign("rvi-crl+jwt", claims) + "~" + crypto::base64url(entries)
                     : std::string{claims};
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
