// SPDX-License-Identifier: MPL-2.0
//
// A credential: the text as it is, or with claims that the organization has signed (first byte
// odd). What is accepted says nothing outside its organization.

#include "messages/name.hpp"
#include "messages/transaction_id.hpp"
#include "test/fuzz/fuzz.hpp"
#include "test/fuzz/signed_text.hpp"

using namespace rvi;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::organization issuer;
  fuzz::input in{data, size};
  bool sign = (in.byte() & 1) != 0;
  auto rest = in.rest();
  auto text = sign ? issuer.sign("rvi-cred+jwt", rest) : std::string{rest};
  auto x = parse_credential(text);
  if (!x || verify_credential(**x, issuer.anchors))
    return 0;
  assert((*x)->issuer == "jlr.com" && !(*x)->id.empty());
  for (auto* list : {&(*x)->sources, &(*x)->destinations, &(*x)->relay})
    for (auto& pattern : *list) {
      assert(organization_of(pattern) == "jlr.com");
      auto normal = normalise_pattern(pattern);
      assert(normal && *normal == pattern);
    }
  assert(!(*x)->covers_destination("rpc:other.com/a/b"));
  if (!(*x)->administrator)
    assert(!(*x)->covers_destination("rpc:jlr.com/vin/1/provisioning/add_certificate"));
  return 0;
}
