// SPDX-License-Identifier: MPL-2.0
//
// The order of checks is that of B1 3.2, without its caches.

#include "tools/simulation/reference_verifier.hpp"

#include "tools/simulation/reference_credential.hpp"
#include "tools/simulation/reference_header.hpp"
#include "tools/simulation/reference_names.hpp"
#include "tools/simulation/reference_tree.hpp"

#include <algorithm>

namespace rvi::simulation::reference {

namespace {

constexpr size_t relays_max = 8;
constexpr uint64_t signing_delay_ms_max = uint64_t{10} * 60 * 1'000; // B1 3.2 step 2

/// A header that was read, and the credential its hash names.
struct evidence {
  header item;
  credential_text signer;
};

/// Steps that need nothing but the item: shape, header, arguments.
judgement check_item(const raw_request& x, header& out) {
  if (auto why = shape_of_proof(x); !why.empty())
    return {verdict::malformed, why};
  std::string why;
  auto read = read_header(x.header, why);
  if (!read)
    return {verdict::malformed, why};
  out = *read;
  if (out.kind != kind::rpc && out.kind != kind::message && !out.is_reply())
    return {verdict::malformed, "a batch carries requests and replies (rvi.proto, Batch)"};
  if (out.credential_hash != x.credential_hash)
    return {verdict::malformed,
            "every header of a tree names the batch's credential (decisions 2)"};
  if (out.arguments_length != x.arguments.size() || out.arguments_sha256 != sha256(x.arguments))
    return {verdict::wrong_arguments, "length and hash are checked (decisions 2)"};
  return {};
}

/// B1 3.2 step 2: `created-5min <= now < expires`, TTL cap, |signed_at-created| <= 10 min.
judgement check_times(const header& x, const raw_request& raw, const belief& node) {
  if (x.created_ms > node.now_ms && x.created_ms - node.now_ms > node.skew_ms)
    return {verdict::not_yet, "created later than clocks may differ (B1 3.2 step 2)"};
  if (node.now_ms >= x.expires_ms)
    return {verdict::expired, "its time is up (B1 3.2 step 2)"};
  if (x.expires_ms - x.created_ms > node.ttl_ms_max)
    return {verdict::wrong_times, "lives longer than allowed (B1 3.2 step 2)"};
  auto distance = x.created_ms > raw.signed_at_ms ? x.created_ms - raw.signed_at_ms
                                                  : raw.signed_at_ms - x.created_ms;
  if (distance > signing_delay_ms_max)
    return {verdict::wrong_times, "signed too far from its creation (B1 3.2 step 2)"};
  return {};
}

/// Step 3: the credential is known, valid now, not revoked.
judgement find_signer(const raw_request& x, const belief& node, const signature_check& holds,
                      credential_text& out) {
  for (auto texts : {&node.own_credentials, &node.known_credentials})
    for (auto& text : *texts) {
      if (hash_of(text, node) != x.credential_hash)
        continue;
      judgement why;
      out = read_credential(text, node, holds, why);
      return why;
    }
  return {verdict::unknown_credential, "no text has this hash (B1 3.2 step 3)"};
}

/// What requests and replies share before rights: steps 1 to 3.
judgement
gather(const raw_request& x, const belief& node, const signature_check& holds, evidence& out) {
  if (auto found = check_item(x, out.item); !found)
    return found;
  if (auto found = check_times(out.item, x, node); !found)
    return found;
  return find_signer(x, node, holds, out.signer);
}

/// Steps 7 and 8: leaf, path, root, signature by the credential's key in the key's algorithm.
judgement check_root(const raw_request& x, const credential& signer, const signature_check& holds) {
  if (x.algorithm != signer.key.algorithm)
    return {verdict::bad_signature, "the algorithm is not the key's (B1 3.1)"};
  if (!holds(signer.key.spki, root_signing_input(x, root_of(x)), x.signature))
    return {verdict::bad_signature, "the root's signature does not hold (B1 3.2 step 8)"};
  return {};
}

/// Step 4 for a request: what the sender's credential lets it say.
judgement check_rights(const header& x, const credential& signer) {
  if (!covers_any(signer.sources, x.source))
    return {verdict::no_right, "source is not in the credential's sources (B1 3.2 step 4)"};
  // Decisions 4: honoured only by its granter. The nodes of this reference have granted nothing.
  if (!x.grant_hash.empty())
    return {verdict::no_right, "a grant that this node has not given (decisions 4)"};
  if (!covers_any(signer.destinations, x.target))
    return {verdict::no_right, "target is not in the credential's destinations (B1 3.2 step 4)"};
  if (has_reserved_level(x.target)
      && !(signer.administrator && parts_of(x.target).levels[0] == signer.issuer))
    return {verdict::no_right, "a reserved level asks for adm (decisions 3)"};
  if (signer.users) {
    auto role = x.on_behalf_of ? x.on_behalf_of->role : "";
    // No role is none of them, whatever the claim says.
    if (role.empty()
        || std::find(signer.users->begin(), signer.users->end(), role) == signer.users->end())
      return {verdict::no_right, "usr restricts roles (security design 3.2.6)"};
  }
  return {};
}

/// A request is for a name below this node's address, which one of its own credentials lets it
/// receive (HLD 7.2 sources; promise 5: "both sides' patterns").
judgement check_target(const header& x, const belief& node, const signature_check& holds) {
  if (!is_below(x.target, node.own_address))
    return {verdict::wrong_target, "not below the node's address (architecture 3)"};
  if (!x.target_uid.empty() && x.target_uid != node.own_uid)
    return {verdict::wrong_target, "another owner is meant (decisions 3)"};
  for (auto& text : node.own_credentials) {
    judgement why;
    auto own = read_credential(text, node, holds, why);
    if (own && own->key.uid == node.own_uid && covers_any(own->sources, x.target))
      return {};
  }
  return {verdict::wrong_target, "no credential of this node has it in its sources (HLD 7.2)"};
}

/// Decisions 4: whoever carried it has the claim `relay` for its target. Decisions 3: a way is no
/// circle.
judgement check_route(const raw_request& x, const header& item, const belief& node,
                      const signature_check& holds) {
  if (x.route.size() > relays_max)
    return {verdict::no_right, "more relays than may lie between (RVI-SVC_DISC-7)"};
  for (auto i = x.route.begin(); i != x.route.end(); ++i) {
    if (*i == node.own_uid || std::find(x.route.begin(), i, *i) != i)
      return {verdict::no_right, "it went in a circle (decisions 2, loop)"};
    bool may_carry
      = std::any_of(node.relay_credentials.begin(), node.relay_credentials.end(), [&](auto& text) {
          judgement why;
          auto found = read_credential(text, node, holds, why);
          return found && found->key.uid == *i && covers_any(found->relay, item.target);
        });
    if (!may_carry)
      return {verdict::no_right, "a node carried it without the claim (decisions 4)"};
  }
  return {};
}

} // namespace

const char* to_string(verdict x) {
  constexpr const char* names[]
    = {"valid",          "malformed",        "wrong_arguments",    "expired",
       "not_yet",        "wrong_times",      "unknown_credential", "bad_credential",
       "unknown_issuer", "early_credential", "ended_credential",   "revoked",
       "no_right",       "wrong_origin",     "wrong_target",       "wrong_reply",
       "bad_signature"};
  return names[static_cast<size_t>(x)];
}

judgement judge_header(std::string_view header) {
  std::string why;
  return read_header(header, why) ? judgement{} : judgement{verdict::malformed, why};
}

judgement judge_request(const raw_request& x, const belief& node, const signature_check& holds) {
  evidence found;
  if (auto step = gather(x, node, holds, found); !step)
    return step;
  if (found.item.kind != kind::rpc && found.item.kind != kind::message)
    return {verdict::malformed, "only an rpc or a message is handed to a service (HLD 6.1)"};
  if (auto step = check_rights(found.item, *found.signer); !step)
    return step;
  // Step 5: tid.node_uid = cred.sub.
  if (found.item.transaction_id.substr(0, 16) != found.signer->key.uid)
    return {verdict::wrong_origin, "the id is another node's (B1 3.2 step 5)"};
  if (auto step = check_target(found.item, node, holds); !step)
    return step;
  if (auto step = check_route(x, found.item, node, holds); !step)
    return step;
  return check_root(x, *found.signer, holds);
}

judgement judge_reply(const raw_request& reply, const raw_request& request, const belief& node,
                      const signature_check& holds) {
  std::string why;
  auto asked = read_header(request.header, why);
  if (!asked || asked->kind != kind::rpc)
    return {verdict::wrong_reply, "only an rpc has a reply (HLD 6.1)"};
  evidence found;
  if (auto step = gather(reply, node, holds, found); !step)
    return step;
  auto& item = found.item;
  if (!item.is_reply())
    return {verdict::malformed, "not a REPLY or ERROR (rvi.proto)"};
  // Decisions 4, replies: the id is ours, request_hash equal, source = the asked target, source
  // within the signer's sources; what is waived is the destinations check.
  if (item.transaction_id != asked->transaction_id
      || item.transaction_id.substr(0, 16) != node.own_uid)
    return {verdict::wrong_reply, "another id (decisions 4)"};
  if (item.request_hash != sha256(request.header))
    return {verdict::wrong_reply, "request_hash is another request's (decisions 4)"};
  if (item.source != without_type(asked->target) || item.target != asked->source)
    return {verdict::wrong_reply, "not from the asked target to the asker (decisions 4)"};
  if (!asked->target_uid.empty() && asked->target_uid != found.signer->key.uid)
    return {verdict::wrong_reply, "not from the owner meant (decisions 3, 4)"};
  if (!covers_any(found.signer->sources, item.source))
    return {verdict::no_right, "source is not in the signer's sources (decisions 4)"};
  return check_root(reply, *found.signer, holds);
}

} // namespace rvi::simulation::reference
