// SPDX-License-Identifier: MPL-2.0

#include "messages/credential.hpp"

#include "messages/name.hpp"
#include "messages/signed_claims.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/json/json.hpp"

#include <algorithm>
#include <utility>

namespace rvi {

namespace {

constexpr std::string_view credential_type = "rvi-cred+jwt";
constexpr uint64_t credential_version = 1;

caf::error invalid(std::string why) {
  return caf::make_error(ec::credential_invalid, std::move(why));
}

bool any_covers(const std::vector<std::string>& patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(), [name](auto& x) { return covers(x, name); });
}

expected<std::vector<std::string>> patterns_of(json::value list, const char* name) {
  std::vector<std::string> result;
  if (!list)
    return result;
  if (!list.is_array() || list.size() > credential_patterns_max)
    return invalid(std::string{name} + " must be a list of at most 256 patterns");
  for (auto& item : list.items()) {
    auto text = item.as_string();
    if (!text)
      return invalid(std::string{name} + " must hold strings");
    auto pattern = normalise_pattern(*text);
    if (!pattern)
      return invalid(std::string{name} + ": " + detail_of(pattern.error()));
    result.push_back(std::move(*pattern));
  }
  return result;
}

expected<std::vector<std::string>> roles_of(json::value list) {
  if (!list.is_array())
    return invalid("usr must be a list of roles");
  std::vector<std::string> result;
  for (auto& item : list.items()) {
    auto role = item.as_string();
    if (!role)
      return invalid("usr must hold strings");
    result.emplace_back(*role);
  }
  return result;
}

expected<credential_claims> claims_of(json::value x) {
  credential_claims result;
  auto issuer = x["iss"].as_string();
  auto id = x["jti"].as_string();
  auto issued = x["iat"].as_uint();
  auto not_before = x["nbf"].as_uint();
  auto expires = x["exp"].as_uint();
  if (!issuer || !id || !issued || !not_before || !expires || id->empty() || id->size() > 128)
    return invalid("iss, jti, iat, nbf and exp are required");
  if (!is_organization(*issuer))
    return invalid("iss is not an organization");
  if (x["ver"].as_uint() != credential_version)
    return invalid("unknown credential version");
  result.issuer = *issuer;
  result.id = *id;
  result.issued_s = *issued;
  result.not_before_s = *not_before;
  result.expires_s = *expires;
  if (*expires <= *not_before || *expires - *not_before > credential_validity_days_max * 86'400)
    return invalid("a validity that is empty or over 3660 days");
  auto key = key_of_jwk(x["cnf"]["jwk"]);
  if (!key)
    return invalid("cnf.jwk: " + detail_of(key.error()));
  result.key = *key;
  if (x["sub"].as_string() != to_string(key->uid()))
    return invalid("sub is not the uid of cnf.jwk");
  result.administrator = x["adm"].as_bool().value_or(false);
  if (auto times = x["del"]) {
    auto number = times.as_uint();
    if (!number || *number > delegations_max)
      return invalid("del is a number up to " + std::to_string(delegations_max));
    result.delegations = static_cast<uint32_t>(*number);
  }
  for (auto [list, name] :
       {std::pair{&result.sources, "sources"}, std::pair{&result.destinations, "destinations"},
        std::pair{&result.relay, "relay"}}) {
    auto patterns = patterns_of(x[name], name);
    if (!patterns)
      return std::move(patterns.error());
    *list = std::move(*patterns);
  }
  if (auto list = x["usr"]) {
    auto roles = roles_of(list);
    if (!roles)
      return std::move(roles.error());
    result.users = std::move(*roles);
  }
  return result;
}

void write_list(json::writer& out, const char* name, const std::vector<std::string>& texts) {
  out.key(name).begin_array();
  for (auto& x : texts)
    out.string(x);
  out.end_array();
}

std::string payload_of(const credential_claims& x, const credential* parent = nullptr) {
  json::writer out;
  out.begin_object();
  out.member("ver", credential_version);
  out.member("iss", x.issuer);
  out.member("sub", to_string(x.key.uid()));
  out.member("jti", x.id);
  out.member("iat", x.issued_s);
  out.member("nbf", x.not_before_s);
  out.member("exp", x.expires_s);
  out.key("cnf").begin_object().key("jwk").raw(x.key.jwk()).end_object();
  write_list(out, "sources", x.sources);
  write_list(out, "destinations", x.destinations);
  if (!x.relay.empty())
    write_list(out, "relay", x.relay);
  if (x.users)
    write_list(out, "usr", *x.users);
  if (x.administrator)
    out.member("adm", true);
  if (x.delegations != 0)
    out.member("del", uint64_t{x.delegations});
  if (parent)
    out.member("par", crypto::base64url(parent->hash));
  out.end_object();
  return out.take();
}

} // namespace

namespace {

revocation_id first_half(const crypto::digest& x) {
  revocation_id result;
  std::copy_n(x.begin(), result.size(), result.begin());
  return result;
}

} // namespace

revocation_id credential_revocation_id(std::string_view issuer, std::string_view id) {
  return first_half(
    crypto::sha256_stream{}.update("rvi-cred-id").update(issuer).update(id).finish());
}

revocation_id holder_revocation_id(std::string_view issuer, const node_uid& holder) {
  return first_half(crypto::sha256_stream{}
                      .update("rvi-cred-sub")
                      .update(issuer)
                      .update(to_string(holder))
                      .finish());
}

bool credential::covers_source(std::string_view name) const {
  return any_covers(sources, name);
}

bool credential::covers_destination(std::string_view name) const {
  return any_covers(destinations, name) && (administrator || !is_reserved(name));
}

bool credential::covers_relay(std::string_view name) const {
  return any_covers(relay, name);
}

bool credential::covers_user(std::string_view role) const {
  return !users || (!role.empty() && std::find(users->begin(), users->end(), role) != users->end());
}

caf::error trust_anchors::add(std::string_view text) {
  if (text.find("\"payload\"") != std::string_view::npos)
    return add_bundles(text);
  auto document = json::parse(text);
  if (!document)
    return caf::make_error(ec::config_invalid, "trust anchor: " + detail_of(document.error()));
  auto root = document->root();
  auto organization = root["organization"].as_string();
  if (!organization || root["keys"].size() == 0)
    return caf::make_error(ec::config_invalid,
                           std::string{"a trust anchor needs `organization` and `keys`"});
  if (bundle(*organization)) // its bundle alone says which keys count
    return caf::make_error(ec::config_invalid, "trust anchor: " + std::string{*organization}
                                                 + " is pinned by a bundle already");
  for (auto& item : root["keys"].items()) {
    auto key = key_of_jwk(item);
    if (!key)
      return caf::make_error(ec::config_invalid, "trust anchor: " + detail_of(key.error()));
    keys_[std::string{*organization}][to_string(key->uid())] = {*key, true, true};
  }
  return {};
}

caf::error trust_anchors::add_bundles(std::string_view lines) {
  for (bool first = true; !lines.empty();) {
    auto line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
    if (line.empty())
      continue;
    auto x = parse_trust_bundle(line);
    auto err = !x ? std::move(x.error()) : first ? verify_own_roots(**x) : walk(*x);
    if (err)
      return caf::make_error(ec::config_invalid, "trust bundle: " + describe(err));
    if (first && knows((*x)->organization))
      return caf::make_error(ec::config_invalid,
                             "trust bundle: " + (*x)->organization + " is pinned already");
    if (std::exchange(first, false))
      take(*x);
  }
  return {};
}

caf::error trust_anchors::walk(const trust_bundle_ptr& next) {
  auto known = bundle(next->organization);
  if (!known)
    return caf::make_error(ec::unknown_issuer, next->organization + " is not pinned by a bundle");
  if (auto err = verify_step(*known, *next))
    return err;
  take(next);
  return {};
}

trust_bundle_ptr trust_anchors::bundle(std::string_view organization) const {
  auto i = bundles_.find(organization);
  return i == bundles_.end() ? nullptr : i->second.back();
}

std::vector<trust_bundle_ptr>
trust_anchors::bundles_after(std::string_view organization, uint64_t sequence) const {
  std::vector<trust_bundle_ptr> result;
  if (auto i = bundles_.find(organization); i != bundles_.end())
    std::copy_if(i->second.begin(), i->second.end(), std::back_inserter(result),
                 [sequence](auto& x) { return x->sequence > sequence; });
  return result;
}

/// An organization without roots stays known: nobody speaks for it.
void trust_anchors::take(const trust_bundle_ptr& x) {
  bundles_[x->organization].push_back(x);
  auto& keys = keys_[x->organization];
  keys.clear();
  for (auto& root : x->roots)
    keys[to_string(root.key.uid())] = {root.key, root.signs_credentials, root.signs_lists};
}

const crypto::public_key*
trust_anchors::find(std::string_view organization, std::string_view key_id, key_use use) const {
  auto i = keys_.find(organization);
  if (i == keys_.end())
    return nullptr;
  auto j = i->second.find(key_id);
  if (j == i->second.end())
    return nullptr;
  auto& x = j->second;
  return (use == key_use::credentials ? x.credentials : x.lists) ? &x.key : nullptr;
}

bool trust_anchors::knows(std::string_view organization) const {
  return keys_.find(organization) != keys_.end();
}

std::vector<std::string> trust_anchors::organizations() const {
  std::vector<std::string> result;
  for (auto& [name, keys] : keys_)
    result.push_back(name);
  return result;
}

std::string trust_anchor_json(std::string_view organization, const crypto::public_key& key) {
  json::writer out;
  out.begin_object().member("organization", organization);
  out.key("keys").begin_array().raw(key.jwk()).end_array().end_object();
  return out.take();
}

namespace {

caf::error bad_request(std::string why) {
  return caf::make_error(ec::bad_request, std::move(why));
}

caf::error normalise_patterns(credential_claims& x) {
  for (auto* list : {&x.sources, &x.destinations, &x.relay})
    for (auto& pattern : *list) {
      auto normal = normalise_pattern(pattern);
      if (!normal)
        return bad_request(pattern + ": " + detail_of(normal.error()));
      if (organization_of(*normal) != x.issuer)
        return bad_request(pattern + " is not in the organization " + x.issuer);
      pattern = std::move(*normal);
    }
  return {};
}

/// What `parse_credential` says of a credential made here.
expected<credential_ptr> made_here(std::string_view text) {
  auto result = parse_credential(text);
  if (!result)
    return bad_request(detail_of(result.error()));
  return result;
}

/// Of a delegated credential: it may do nothing that the one before may not.
caf::error check_narrowed(const credential& x, const credential& parent) {
  if (parent.delegations == 0)
    return invalid(parent.id + " may not be delegated");
  if (x.delegations >= parent.delegations)
    return invalid("del must be lower than that of " + parent.id);
  if (x.issuer != parent.issuer)
    return invalid("iss is not that of " + parent.id);
  if (x.administrator)
    return invalid("adm is never delegated");
  if (x.not_before_s < parent.not_before_s || x.expires_s > parent.expires_s)
    return invalid("its time is not within that of " + parent.id);
  using lists = std::pair<const std::vector<std::string>*, const std::vector<std::string>*>;
  for (auto [mine, theirs] :
       {lists{&x.sources, &parent.sources}, lists{&x.destinations, &parent.destinations},
        lists{&x.relay, &parent.relay}})
    for (auto& pattern : *mine)
      if (std::none_of(theirs->begin(), theirs->end(),
                       [&](auto& outer) { return contains(outer, pattern); }))
        return invalid(pattern + " is wider than what " + parent.id + " allows");
  if (parent.users) {
    if (!x.users)
      return invalid("usr of " + parent.id + " must be kept or narrowed");
    for (auto& role : *x.users)
      if (std::find(parent.users->begin(), parent.users->end(), role) == parent.users->end())
        return invalid("role " + role + " is not one of " + parent.id);
  }
  return {};
}

/// The first JWS of a chain. `rest`: what it was derived from, as text.
expected<std::shared_ptr<credential>> parse_link(std::string_view text, std::string_view rest) {
  auto jws = crypto::parse_jws(text);
  if (!jws)
    return invalid(detail_of(jws.error()));
  if (jws->type != credential_type)
    return invalid("typ is not " + std::string{credential_type});
  auto document = json::parse(jws->payload, {size_t{16} << 10, 8, 2'048});
  if (!document)
    return invalid(detail_of(document.error()));
  auto claims = claims_of(document->root());
  if (!claims)
    return std::move(claims.error());
  auto derived = document->root()["par"];
  if (derived ? rest.empty()
                  || derived.as_string() != crypto::base64url(crypto::view(crypto::sha256(rest)))
              : !rest.empty())
    return invalid("par does not name what it comes with");
  auto result = std::make_shared<credential>();
  static_cast<credential_claims&>(*result) = std::move(*claims);
  result->key_id = std::move(jws->key_id);
  result->algorithm = std::move(jws->algorithm);
  result->revocation = credential_revocation_id(result->issuer, result->id);
  result->holder_revocation = holder_revocation_id(result->issuer, result->key.uid());
  return result;
}

} // namespace

expected<credential_ptr>
issue_credential(credential_claims claims, const crypto::private_key& key) {
  if (auto err = normalise_patterns(claims))
    return err;
  auto text = crypto::sign_jws(key, credential_type, to_string(key.public_part().uid()),
                               payload_of(claims));
  if (!text)
    return std::move(text.error());
  return made_here(*text);
}

expected<credential_ptr> delegate_credential(credential_claims claims, const credential_ptr& parent,
                                             const crypto::private_key& holder) {
  claims.issuer = parent->issuer;
  if (auto err = normalise_patterns(claims))
    return err;
  if (holder.public_part().spki() != parent->key.spki())
    return bad_request("only the key that " + parent->id + " is for may delegate it");
  auto text = crypto::sign_jws(holder, credential_type, to_string(holder.public_part().uid()),
                               payload_of(claims, parent.get()));
  if (!text)
    return std::move(text.error());
  return made_here(*text + ',' + parent->text);
}

expected<credential_ptr> parse_credential(std::string_view text) {
  if (text.size() > credential_bytes_max)
    return invalid("over 16 KiB");
  // The organization's is the last.
  std::shared_ptr<credential> before;
  for (size_t end = text.size(); end != 0;) {
    auto mark = text.rfind(',', end - 1);
    auto begin = mark == text.npos ? 0 : mark + 1;
    auto rest = end == text.size() ? std::string_view{} : text.substr(end + 1);
    auto x = parse_link(text.substr(begin, end - begin), rest);
    if (!x)
      return std::move(x.error());
    if (before)
      if (auto err = check_narrowed(**x, *before))
        return err;
    (*x)->text = text.substr(begin);
    (*x)->hash = std::string{crypto::view(crypto::sha256((*x)->text))};
    (*x)->parent = std::exchange(before, *x);
    if (mark == 0)
      return invalid("an empty part");
    end = mark == text.npos ? 0 : mark;
  }
  if (!before)
    return invalid("no text");
  return credential_ptr{std::move(before)};
}

caf::error verify_credential(const credential& x, const trust_anchors& anchors) {
  const crypto::public_key* key = nullptr;
  if (x.parent) {
    if (auto err = verify_credential(*x.parent, anchors))
      return err;
    if (x.key_id != to_string(x.parent->key.uid()))
      return invalid("kid is not the holder of " + x.parent->id);
    key = &x.parent->key;
  } else {
    key = anchors.find(x.issuer, x.key_id);
    if (!key)
      return caf::make_error(ec::unknown_issuer, "no pinned key " + x.key_id + " of " + x.issuer);
  }
  // Its parts are not kept: a cloud holds a credential of each of its peers.
  auto jws = crypto::parse_jws(x.text.substr(0, x.text.find(',')));
  if (!jws || !crypto::verify(*jws, *key))
    return invalid(x.parent ? "the signature of the holder of " + x.parent->id + " does not verify"
                            : "the issuer's signature does not verify");
  for (auto* list : {&x.sources, &x.destinations, &x.relay})
    for (auto& pattern : *list)
      if (organization_of(pattern) != x.issuer)
        return invalid(pattern + " is outside the issuer's organization " + x.issuer);
  return {};
}

caf::error check_validity(const credential& x, uint64_t now_ms) {
  return check_times(x.id, x.not_before_s, x.expires_s, now_ms);
}

expected<credential_ptr>
accept_credential(std::string_view text, const trust_anchors& anchors, uint64_t now_ms) {
  auto result = parse_credential(text);
  if (!result)
    return result;
  if (auto err = check_validity(**result, now_ms)) // cheap checks first
    return err;
  if (auto err = verify_credential(**result, anchors))
    return err;
  return result;
}

} // namespace rvi
