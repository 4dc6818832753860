// SPDX-License-Identifier: MPL-2.0
//
// Trust bundles: the text as it is, or payloads that the organization's key has signed (first byte
// odd), one after the other. `$K` in a payload is that key, `$D` the digest of the payload before.
// Whoever walks never goes back, and only on signatures.

#include "messages/trust_bundle.hpp"
#include "test/fuzz/fuzz.hpp"
#include "test/fuzz/signed_text.hpp"

using namespace rvi;

namespace {

std::string signed_bundle(const fuzz::organization& by, const std::string& payload) {
  auto compact = by.sign("rvi-bundle+jwt", payload);
  auto first = compact.find('.');
  auto second = compact.find('.', first + 1);
  return R"({"payload":")" + compact.substr(first + 1, second - first - 1)
         + R"(","signatures":[{"protected":")" + compact.substr(0, first) + R"(","signature":")"
         + compact.substr(second + 1) + R"("}]})";
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::organization issuer;
  fuzz::input in{data, size};
  trust_bundle_ptr known;
  for (int i = 0; i < 4 && !in.empty(); ++i) {
    bool sign = (in.byte() & 1) != 0;
    auto payload = fuzz::filled(in.line(), "$K", issuer.key.public_part().jwk());
    payload = fuzz::filled(payload, "$D", known ? crypto::base64url(known->digest) : "");
    auto next = parse_trust_bundle(sign ? signed_bundle(issuer, payload) : payload);
    if (!next)
      continue;
    auto& x = **next;
    assert(x.sequence > 0 && x.roots.size() <= bundle_roots_max);
    if (!known && !verify_own_roots(x)) {
      trust_anchors anchors;
      assert(sign && (anchors.add(x.text) || anchors.knows(x.organization)));
      known = *next;
    } else if (known && !verify_step(*known, x)) {
      assert(sign && x.sequence == known->sequence + 1 && x.organization == known->organization);
      known = *next;
    }
  }
  return 0;
}
