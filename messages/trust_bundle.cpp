// SPDX-License-Identifier: MPL-2.0

#include "messages/trust_bundle.hpp"

#include "messages/name.hpp"
#include "messages/signed_claims.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/jws.hpp"
#include "runtime/json/json.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace rvi {

namespace {

constexpr std::string_view bundle_type = "rvi-bundle+jwt";
constexpr uint64_t bundle_version = 1;
constexpr std::array<std::pair<const char*, bool trust_root::*>, 3> uses = {{
  {"cred", &trust_root::signs_credentials},
  {"crl", &trust_root::signs_lists},
  {"trust", &trust_root::signs_bundles},
}};

caf::error malformed(const std::string& why) {
  return caf::make_error(ec::malformed, "trust bundle: " + why);
}

expected<trust_root> root_of(json::value x) {
  auto key = key_of_jwk(x["jwk"]);
  if (!key)
    return malformed("a root's jwk: " + detail_of(key.error()));
  trust_root result;
  result.key = *key;
  if (!x["use"].is_array() || x["use"].size() == 0 || x.size() != 2)
    return malformed("a root has the members jwk and use, and no other");
  for (auto& item : x["use"].items()) {
    auto name = item.as_string();
    auto use = std::find_if(uses.begin(), uses.end(), [&](auto& y) { return name == y.first; });
    if (use == uses.end())
      return malformed("a root's use is none of cred, crl, trust");
    if (std::exchange(result.*(use->second), true))
      return malformed("a root's use stands twice");
  }
  return result;
}

expected<std::vector<trust_root>> roots_of(json::value list) {
  std::vector<trust_root> result;
  if (!list.is_array() || list.size() > bundle_roots_max)
    return malformed("roots must be a list of at most " + std::to_string(bundle_roots_max));
  std::set<std::string> seen;
  for (auto& item : list.items()) {
    auto root = root_of(item);
    if (!root)
      return std::move(root.error());
    if (!seen.insert(root->key.spki()).second)
      return malformed("a root stands twice");
    result.push_back(std::move(*root));
  }
  return result;
}

using pattern_list = std::pair<const char*, std::vector<std::string> bundle_delegate::*>;
constexpr std::array<pattern_list, 3> pattern_lists = {{
  {"sources", &bundle_delegate::sources},
  {"destinations", &bundle_delegate::destinations},
  {"relay", &bundle_delegate::relay},
}};

caf::error
read_patterns(json::value list, const std::string& organization, std::vector<std::string>& out) {
  if (!list.is_array() || list.size() == 0 || list.size() > delegate_patterns_max)
    return malformed("a delegate's patterns must be lists of 1 to "
                     + std::to_string(delegate_patterns_max));
  for (auto& item : list.items()) {
    auto pattern = item.as_string();
    auto normal = pattern ? normalise_pattern(*pattern) : expected<std::string>{ec::malformed};
    if (!normal || *normal != *pattern)
      return malformed("a delegate's pattern is no normal pattern");
    if (organization_of(*normal) != organization)
      return malformed(*normal + " is not " + organization + "'s to delegate");
    out.push_back(std::move(*normal));
  }
  return {};
}

expected<bundle_delegate> delegate_of(json::value x, const std::string& organization) {
  bundle_delegate result;
  auto to = x["org"].as_string();
  auto expires = x["exp"].as_uint();
  if (!to || !is_organization(*to) || *to == organization || !expires)
    return malformed("a delegate needs exp, and another organization as org");
  result.organization = *to;
  result.expires_s = *expires;
  size_t lists = 0;
  size_t patterns = 0;
  for (auto& [name, list] : pattern_lists) {
    if (!x[name])
      continue;
    if (auto err = read_patterns(x[name], organization, result.*list))
      return err;
    ++lists;
    patterns += (result.*list).size();
  }
  if (lists == 0 || x.size() != 2 + lists)
    return malformed("a delegate has some of sources, destinations and relay, and nothing else");
  if (patterns > delegate_patterns_max)
    return malformed("a delegate with more than " + std::to_string(delegate_patterns_max)
                     + " patterns");
  return result;
}

expected<std::vector<bundle_delegate>>
delegates_of(json::value list, const std::string& organization) {
  std::vector<bundle_delegate> result;
  if (!list.is_array() || list.size() == 0 || list.size() > bundle_delegates_max)
    return malformed("delegates must be a list of 1 to " + std::to_string(bundle_delegates_max));
  std::set<std::string> seen;
  for (auto& item : list.items()) {
    auto x = delegate_of(item, organization);
    if (!x)
      return std::move(x.error());
    if (!seen.insert(x->organization).second)
      return malformed("an organization stands twice among the delegates");
    result.push_back(std::move(*x));
  }
  return result;
}

expected<bundle_claims> claims_of(json::value x) {
  bundle_claims result;
  auto organization = x["org"].as_string();
  auto sequence = x["seq"].as_uint();
  auto issued = x["iat"].as_uint();
  auto expires = x["exp"].as_uint();
  auto threshold = x["threshold"].as_uint();
  if (x["ver"].as_uint() != bundle_version || !organization || !sequence || !issued || !expires
      || !threshold)
    return malformed("ver, org, seq, iat, exp and threshold are required");
  if (!is_organization(*organization))
    return malformed("org is no organization");
  result.organization = *organization;
  result.sequence = *sequence;
  result.issued_s = *issued;
  result.expires_s = *expires;
  if (*sequence == 0 || *expires <= *issued || *threshold == 0 || *threshold > bundle_roots_max)
    return malformed("seq, exp or threshold out of range");
  result.threshold = static_cast<uint32_t>(*threshold);
  if ((*sequence == 1) == static_cast<bool>(x["prev"]))
    return malformed("prev goes with every bundle but the first");
  // A member that is not known might take something back.
  if (x.size() != (*sequence == 1 ? 7u : 8u) + (x["delegates"] ? 1u : 0u))
    return malformed("a member it does not have");
  if (*sequence > 1) {
    auto digest = crypto::unbase64url(x["prev"].as_string().value_or(""));
    if (!digest || digest->size() != 32)
      return malformed("prev is no SHA-256");
    result.previous = std::move(*digest);
  }
  auto roots = roots_of(x["roots"]);
  if (!roots)
    return std::move(roots.error());
  result.roots = std::move(*roots);
  auto signers = std::count_if(result.roots.begin(), result.roots.end(),
                               [](auto& y) { return y.signs_bundles; });
  if (!result.roots.empty() && static_cast<size_t>(signers) < result.threshold)
    return malformed("fewer trust roots than the threshold");
  if (!x["delegates"])
    return result;
  auto delegates = delegates_of(x["delegates"], result.organization);
  if (!delegates)
    return std::move(delegates.error());
  if (result.roots.empty())
    return malformed("who has no roots has nothing to delegate");
  result.delegates = std::move(*delegates);
  return result;
}

void append_delegates(json::writer& out, const std::vector<bundle_delegate>& xs) {
  if (xs.empty())
    return;
  out.key("delegates").begin_array();
  for (auto& x : xs) {
    out.begin_object().member("org", x.organization);
    for (auto& [name, list] : pattern_lists) {
      if ((x.*list).empty())
        continue;
      out.key(name).begin_array();
      for (auto& pattern : x.*list)
        out.string(pattern);
      out.end_array();
    }
    out.member("exp", x.expires_s).end_object();
  }
  out.end_array();
}

std::string payload_of(const bundle_claims& x) {
  json::writer out;
  out.begin_object()
    .member("ver", bundle_version)
    .member("org", x.organization)
    .member("seq", x.sequence);
  if (!x.previous.empty())
    out.member("prev", crypto::base64url(x.previous));
  out.member("iat", x.issued_s)
    .member("exp", x.expires_s)
    .member("threshold", uint64_t{x.threshold});
  out.key("roots").begin_array();
  for (auto& root : x.roots) {
    out.begin_object().key("jwk").raw(root.key.jwk()).key("use").begin_array();
    for (auto& [name, use] : uses)
      if (root.*use)
        out.string(name);
    out.end_array().end_object();
  }
  out.end_array();
  append_delegates(out, x.delegates);
  out.end_object();
  return out.take();
}

std::string_view part(std::string_view compact, int number) {
  for (; number > 0; --number)
    compact.remove_prefix(compact.find('.') + 1);
  return compact.substr(0, compact.find('.'));
}

/// RFC 7515 7.2.1 from signatures over one payload.
std::string general_form(const std::vector<std::string>& compacts) {
  json::writer out;
  out.begin_object().member("payload", part(compacts.front(), 1)).key("signatures").begin_array();
  for (auto& x : compacts)
    out.begin_object().member("protected", part(x, 0)).member("signature", part(x, 2)).end_object();
  out.end_array().end_object();
  return out.take();
}

/// How many of these roots signed it.
size_t signed_by(const trust_bundle& x, const std::vector<trust_root>& roots) {
  std::set<std::string> keys;
  for (auto& signature : x.signatures) {
    auto root = std::find_if(roots.begin(), roots.end(), [&](auto& y) {
      return y.signs_bundles && to_string(y.key.uid()) == signature.key_id;
    });
    if (root == roots.end() || keys.count(signature.key_id))
      continue;
    auto jws = crypto::parse_jws(signature.compact);
    if (jws && crypto::verify(*jws, root->key))
      keys.insert(signature.key_id);
  }
  return keys.size();
}

} // namespace

expected<trust_bundle_ptr> issue_trust_bundle(const bundle_claims& claims,
                                              const std::vector<const crypto::private_key*>& keys) {
  std::vector<std::string> compacts;
  auto payload = payload_of(claims);
  for (auto* key : keys) {
    auto text = crypto::sign_jws(*key, bundle_type, to_string(key->public_part().uid()), payload);
    if (!text)
      return std::move(text.error());
    compacts.push_back(std::move(*text));
  }
  if (compacts.empty())
    return caf::make_error(ec::bad_request, std::string{"a trust bundle needs a signature"});
  auto result = parse_trust_bundle(general_form(compacts));
  if (!result)
    return caf::make_error(ec::bad_request, detail_of(result.error()));
  return result;
}

expected<trust_bundle_ptr> countersign(const trust_bundle& x, const crypto::private_key& key) {
  std::vector<std::string> compacts;
  for (auto& signature : x.signatures)
    compacts.push_back(signature.compact);
  auto payload = crypto::unbase64url(part(compacts.front(), 1));
  auto text = crypto::sign_jws(key, bundle_type, to_string(key.public_part().uid()), *payload);
  if (!text)
    return std::move(text.error());
  compacts.push_back(std::move(*text));
  auto result = parse_trust_bundle(general_form(compacts));
  if (!result)
    return caf::make_error(ec::bad_request, detail_of(result.error()));
  return result;
}

expected<trust_bundle_ptr> parse_trust_bundle(std::string_view text) {
  auto document = json::parse(text, {bundle_bytes_max, 8, 1'024});
  if (!document)
    return malformed(detail_of(document.error()));
  auto payload = document->root()["payload"].as_string();
  auto signatures = document->root()["signatures"];
  if (!payload || document->root().size() != 2 || !signatures.is_array() || signatures.size() == 0
      || signatures.size() > 2 * bundle_roots_max)
    return malformed("payload and 1 to " + std::to_string(2 * bundle_roots_max)
                     + " signatures are required");
  auto result = std::make_shared<trust_bundle>();
  std::set<std::string> seen;
  for (auto& item : signatures.items()) {
    auto header = item["protected"].as_string();
    auto signature = item["signature"].as_string();
    if (!header || !signature || item.size() != 2)
      return malformed("a signature has the members protected and signature, and no other");
    auto compact
      = std::string{*header} + "." + std::string{*payload} + "." + std::string{*signature};
    auto jws = crypto::parse_jws(compact);
    if (!jws)
      return malformed(detail_of(jws.error()));
    if (jws->type != bundle_type)
      return malformed("typ is not " + std::string{bundle_type});
    if (!seen.insert(jws->key_id).second)
      return malformed("two signatures of one key");
    result->signatures.push_back({jws->key_id, std::move(compact)});
    result->digest = std::string{crypto::view(crypto::sha256(jws->payload))};
  }
  auto bytes = crypto::unbase64url(*payload);
  auto claims_text = json::parse(*bytes, {bundle_bytes_max, 8, 1'024});
  if (!claims_text)
    return malformed(detail_of(claims_text.error()));
  auto claims = claims_of(claims_text->root());
  if (!claims)
    return std::move(claims.error());
  static_cast<bundle_claims&>(*result) = std::move(*claims);
  result->text = text;
  return trust_bundle_ptr{std::move(result)};
}

caf::error verify_own_roots(const trust_bundle& x) {
  if (!x.roots.empty() && signed_by(x, x.roots) >= x.threshold)
    return {};
  return caf::make_error(ec::signature_invalid, "bundle " + std::to_string(x.sequence) + " of "
                                                  + x.organization + " is signed by fewer than "
                                                  + std::to_string(x.threshold)
                                                  + " of its own roots");
}

caf::error verify_step(const trust_bundle& known, const trust_bundle& next) {
  auto named = "bundle " + std::to_string(next.sequence) + " of " + next.organization;
  if (next.organization != known.organization)
    return caf::make_error(ec::unauthorized, named + " is of another organization");
  if (next.sequence <= known.sequence)
    return caf::make_error(ec::replay,
                           named + " is not newer than " + std::to_string(known.sequence));
  if (next.sequence != known.sequence + 1)
    return caf::make_error(ec::not_found, named + " needs the one before it");
  if (next.previous != known.digest)
    return caf::make_error(ec::unauthorized, named + " follows another history");
  if (signed_by(next, known.roots) < known.threshold)
    return caf::make_error(ec::signature_invalid,
                           named + " is signed by too few of the roots before it");
  // An organization may end itself; nobody signs for it after that.
  return next.roots.empty() ? caf::error{} : verify_own_roots(next);
}

} // namespace rvi
