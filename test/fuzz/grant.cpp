// SPDX-License-Identifier: MPL-2.0
//
// Grants: the text as it is, or claims that the granting node has signed (first byte odd). `$K` in
// the claims is its key, `$U` its uid. Nothing but names below the granting node is ever granted.

#include "messages/grant.hpp"

#include "messages/name.hpp"
#include "test/fuzz/fuzz.hpp"
#include "test/fuzz/signed_text.hpp"

using namespace rvi;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::organization node;
  fuzz::input in{data, size};
  bool sign = (in.byte() & 1) != 0;
  auto claims = fuzz::filled(in.rest(), "$K", node.key.public_part().jwk());
  claims = fuzz::filled(claims, "$U", to_string(node.key.public_part().uid()));
  auto x = parse_grant(sign ? node.sign("rvi-grant+jwt", claims) : claims);
  if (!x)
    return 0;
  assert((*x)->granter.spki() == node.key.public_part().spki() && !(*x)->id.empty());
  for (auto& pattern : (*x)->destinations) {
    assert(contains((*x)->granter_address, pattern));
    auto normal = normalise_pattern(pattern);
    assert(normal && *normal == pattern);
  }
  auto below = (*x)->granter_address + "/provisioning/add_certificate";
  assert(!(*x)->covers_destination("rpc:" + below));
  return 0;
}
