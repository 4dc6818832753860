// SPDX-License-Identifier: MPL-2.0
//
// A second, plain verifier of requests, replies and credentials, written from the documents alone.
// It shares no code with the router: it is what the fleet simulation holds the router to (invariant
// I3: whatever is dispatched verifies from its raw bytes). All it may remember is what the text of
// a credential says and that its issuer signed it; times and revocation are judged each time.
//
// Sources cited in the code: "B1 3.2" is RVI-B1 in the security design (construction 3.1, order of
// checks 3.2), "decisions 3" the decisions page, "rvi.proto" the schema's comments.
//
// From an envelope to a raw_request: header = header_bytes, arguments = arguments; batch_id, size,
// signed_at_ms, credential_hash and signature from *root, algorithm = int(root->algorithm);
// leaf_index = proof.index, salt = proof.salt, path = proof.path. The path is in the documented
// order: sibling hashes from the leaf up to the root, exactly as RFC 9162 2.1.3.1 lists them.
// An envelope that came in a frame with others of its tree has no path of its own: convert all
// items of the frame and call with_paths() with the frame's missing_nodes.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::simulation::reference {

/// Exactly what travels: one Item with what its Batch says for all.
struct raw_request {
  std::string header; // RequestHeader, RVI-B1's M_i
  std::string arguments;
  std::string batch_id; // 16 bytes
  uint32_t batch_size = 0;
  uint64_t signed_at_ms = 0;
  int algorithm = 0;     // SignatureAlgorithm
  std::string signature; // 64 bytes
  uint32_t leaf_index = 0;
  std::string salt;               // 16 bytes
  std::vector<std::string> path;  // sibling hashes for this leaf, leaf to root, 32 bytes each
  std::string credential_hash;    // 32 bytes
  std::vector<std::string> route; // 16 bytes each: relays that carried it, the last one brought it
};

/// Items of one tree as they travel together (B1 3.3, batch frame): each without its path,
/// leaf_index strictly ascending, and exactly the hashes that the items do not give, in the order
/// in which a rebuild from the root, left child first, asks for them. Gives the items their paths;
/// nothing if the frame has another shape (decisions 2).
std::optional<std::vector<raw_request>>
with_paths(std::vector<raw_request> items, const std::vector<std::string>& missing_nodes);

/// True if `signature` (64 bytes) over `message` holds for this SubjectPublicKeyInfo (DER).
using signature_check = std::function<bool(const std::string& spki_der, std::string_view message,
                                           std::string_view signature)>;

/// The real one. Strict (B1 3.2): Ed25519 with S < L, canonical A and R, neither of small order, no
/// cofactor; ES256 with r and s in range and low s.
bool check_signature(const std::string& spki_der, std::string_view message,
                     std::string_view signature);

class texts_read;
/// For `belief::read`. Forgets all when it holds many.
std::shared_ptr<texts_read> make_texts_read();

/// What one organization lets the credentials of another have (security design 3.2.1).
struct delegate {
  std::string owner;
  std::string organization;
  std::vector<std::string> sources;
  std::vector<std::string> destinations;
  std::vector<std::string> relay;
  uint64_t expires_s = 0;
};

/// What the judging node knows.
struct belief {
  std::string own_address;                                 // normalised: jlr.com/vin/1234
  std::string own_uid;                                     // 16 bytes
  std::vector<std::string> own_credentials;                // JWS texts
  std::map<std::string, std::vector<std::string>> anchors; // organization -> JWK texts
  std::vector<delegate> delegates;
  std::vector<std::string> known_credentials;  // JWS texts
  std::vector<std::string> relay_credentials;  // JWS texts, of nodes that may carry
  std::vector<std::string> revocation_entries; // 16-byte hashes (decisions 4)
  uint64_t now_ms = 0;
  uint64_t skew_ms = uint64_t{5} * 60 * 1'000;
  uint64_t ttl_ms_max = uint64_t{30} * 24 * 3'600 * 1'000;
  // What was read from texts before, under these anchors and this signature check; null: read anew.
  std::shared_ptr<texts_read> read;
};

enum class verdict {
  valid,
  malformed,          // bytes, sizes or shapes that no node may send
  wrong_arguments,    // not those the header speaks of
  expired,            // the item
  not_yet,            // created later than clocks may differ
  wrong_times,        // lives too long, or signed too far from its creation
  unknown_credential, // no text for the hash
  bad_credential,     // its text or its signature does not hold
  unknown_issuer,     // of the credential: no pinned key
  early_credential,   // not valid yet
  ended_credential,   // not valid any more
  revoked,            // the credential
  no_right,           // source, target or user outside the sender's credential
  wrong_origin,       // an id of another node
  wrong_target,       // not for this node
  wrong_reply,        // not the answer to that request
  bad_signature,
};

const char* to_string(verdict x);

struct judgement {
  verdict what = verdict::valid;
  std::string why; // with its source in the documents; empty if valid

  explicit operator bool() const { return what == verdict::valid; }
};

/// May this request be dispatched to a service here and now? What only a history can tell (an id
/// seen before, settled_below of an earlier header) is not asked.
judgement judge_request(const raw_request& x, const belief& node, const signature_check& holds);

/// May this node take `reply` as the answer to `request`, which it made? Whether the request is
/// still pending is not asked.
judgement judge_reply(const raw_request& reply, const raw_request& request, const belief& node,
                      const signature_check& holds);

/// May this credential be used now?
judgement
judge_credential(const std::string& jws, const belief& node, const signature_check& holds);

/// Only form, credential-independent: are these the canonical bytes of a header that keeps the
/// schema's rules?
judgement judge_header(std::string_view header);

/// Credential semantics (decisions 3, HLD figure 7) on normalised text: the pattern matches the
/// name or a prefix of it on level boundaries.
bool covers(std::string_view pattern, std::string_view name);

/// A service name with A-Z folded; nothing if it breaks a rule of decisions 3.
std::optional<std::string> normalise(std::string_view name);

/// The same for a pattern; a trailing slash becomes `/#`.
std::optional<std::string> normalise_pattern(std::string_view pattern);

} // namespace rvi::simulation::reference
