// SPDX-License-Identifier: MPL-2.0
//
// Trust bundles (HLD 3.2.1): which keys speak for an organization, as a chain of documents that the
// organization signs itself. A node that trusts one of them can walk to any later one, without
// asking anybody; an attacker who has fewer keys than the threshold cannot make it walk.
//
// A bundle is a JWS in general JSON serialization (RFC 7515 7.2.1), one signature a root, each with
// the protected header {alg, kid, typ: "rvi-bundle+jwt"}; its payload:
//
//   {"ver":1, "org":"jlr.com", "seq":2, "prev":SHA-256 of the payload before (base64url; not in 1),
//    "iat":s, "exp":s, "threshold":m, "roots":[{"jwk":JWK, "use":["cred","crl","trust"]}...],
//    "delegates":[{"org":"media.com", "sources":[…], "destinations":[…], "relay":[…], "exp":s}...]}
//
// `trust` roots sign bundles, `cred` roots credentials, `crl` roots revocation lists. Bundle N + 1
// counts if `threshold` of N's trust roots signed it and `threshold` (its own) of its own; so old
// and new agree (TUF's root rotation). Bundles of organizations are never pooled.
//
// `delegates` (left out if there are none): other organizations whose credentials may have patterns
// in this one, each below one of these in the list of the same name, if they end no later than
// `exp`. Reserved levels stay with the organization's own credentials, whatever stands here. At
// most 16 others, each once, with 1 to 32 patterns in all; a list without patterns is left out.
//
// There are no other members, for an unknown one might take something back: that needs another
// `ver`. `org` is as in names; `exp` is after `iat`; `threshold` is 1 to 16 and no more than the
// trust roots, unless there are no roots; a key is a root once, has each use at most once and signs
// once; at most 32 signatures, each header and payload together at most 16 KiB. A signature that
// does not hold, or by nobody known, adds nothing and harms nothing.

#pragma once

#include "runtime/crypto/crypto.hpp"
#include "runtime/error.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

inline constexpr size_t bundle_bytes_max = size_t{64} << 10;
inline constexpr size_t bundle_roots_max = 16;
inline constexpr size_t bundle_delegates_max = 16;
inline constexpr size_t delegate_patterns_max = 32;

struct trust_root {
  crypto::public_key key;
  bool signs_credentials = false;
  bool signs_lists = false;
  bool signs_bundles = false;
};

/// What another organization's credentials may reach here.
struct bundle_delegate {
  std::string organization;
  std::vector<std::string> sources; // patterns, normalised
  std::vector<std::string> destinations;
  std::vector<std::string> relay;
  uint64_t expires_s = 0;
};

struct bundle_claims {
  std::string organization;
  uint64_t sequence = 1;
  std::string previous; // 32 bytes; empty for the first
  uint64_t issued_s = 0;
  uint64_t expires_s = 0;
  uint32_t threshold = 1;
  std::vector<trust_root> roots; // none: the organization is not trusted any more
  std::vector<bundle_delegate> delegates;
};

struct bundle_signature {
  std::string key_id;
  std::string compact; // the JWS with this signature alone
};

struct trust_bundle : bundle_claims {
  std::string text;
  std::string digest; // SHA-256 of the payload, 32 bytes
  std::vector<bundle_signature> signatures;
};

using trust_bundle_ptr = std::shared_ptr<const trust_bundle>;

/// Signs a bundle with these keys. The claims are checked like those of others. Error:
/// `bad_request`.
expected<trust_bundle_ptr> issue_trust_bundle(const bundle_claims& claims,
                                              const std::vector<const crypto::private_key*>& keys);

/// The same text with one more signature. Error: `bad_request`.
expected<trust_bundle_ptr> countersign(const trust_bundle& x, const crypto::private_key& key);

/// Told by its first byte from a revocation list, which is no JSON text.
inline bool is_trust_bundle(std::string_view text) {
  return text.starts_with('{');
}

/// Takes the text apart and checks its shape and limits; no signature yet. Error: `malformed`.
expected<trust_bundle_ptr> parse_trust_bundle(std::string_view text);

/// True if enough of its own roots signed it: what a pinned bundle must be. Error:
/// `signature_invalid`.
caf::error verify_own_roots(const trust_bundle& x);

/// Whether `next` follows `known` (HLD 3.2.1). Errors: `replay` (not newer), `not_found` (one
/// between is missing), `unauthorized` (another organization, or another history),
/// `signature_invalid` (too few signatures of the old or the new roots).
caf::error verify_step(const trust_bundle& known, const trust_bundle& next);

} // namespace rvi
