// SPDX-License-Identifier: MPL-2.0

#include "messages/credential.hpp"

#include "messages/name.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/json/json.hpp"

#include <algorithm>

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

expected<crypto::public_key> key_of(json::value jwk) {
  auto text = [jwk](const char* name) { return jwk[name].as_string().value_or(""); };
  return crypto::public_key::from_jwk(text("kty"), text("crv"), text("x"), text("y"));
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
  if (x["ver"].as_uint() != credential_version)
    return invalid("unknown credential version");
  result.issuer = *issuer;
  result.id = *id;
  result.issued_s = *issued;
  result.not_before_s = *not_before;
  result.expires_s = *expires;
  if (*expires <= *not_before || *expires - *not_before > credential_validity_days_max * 86'400)
    return invalid("a validity that is empty or over 3660 days");
  auto key = key_of(x["cnf"]["jwk"]);
  if (!key)
    return invalid("cnf.jwk: " + detail_of(key.error()));
  result.key = *key;
  if (x["sub"].as_string() != to_string(key->uid()))
    return invalid("sub is not the uid of cnf.jwk");
  result.administrator = x["adm"].as_bool().value_or(false);
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

std::string payload_of(const credential_claims& x) {
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
  auto document = json::parse(text);
  if (!document)
    return caf::make_error(ec::config_invalid, "trust anchor: " + detail_of(document.error()));
  auto root = document->root();
  auto organization = root["organization"].as_string();
  if (!organization || root["keys"].size() == 0)
    return caf::make_error(ec::config_invalid,
                           std::string{"a trust anchor needs `organization` and `keys`"});
  for (auto& item : root["keys"].items()) {
    auto key = key_of(item);
    if (!key)
      return caf::make_error(ec::config_invalid, "trust anchor: " + detail_of(key.error()));
    keys_[std::string{*organization}][to_string(key->uid())] = *key;
  }
  return {};
}

const crypto::public_key*
trust_anchors::find(std::string_view organization, std::string_view key_id) const {
  auto i = keys_.find(organization);
  if (i == keys_.end())
    return nullptr;
  auto j = i->second.find(key_id);
  return j == i->second.end() ? nullptr : &j->second;
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

expected<credential_ptr>
issue_credential(credential_claims claims, const crypto::private_key& key) {
  for (auto* list : {&claims.sources, &claims.destinations, &claims.relay})
    for (auto& pattern : *list) {
      auto normal = normalise_pattern(pattern);
      if (!normal)
        return caf::make_error(ec::bad_request, pattern + ": " + detail_of(normal.error()));
      if (organization_of(*normal) != claims.issuer)
        return caf::make_error(ec::bad_request,
                               pattern + " is not in the organization " + claims.issuer);
      pattern = std::move(*normal);
    }
  auto text = crypto::sign_jws(key, credential_type, to_string(key.public_part().uid()),
                               payload_of(claims));
  auto result = parse_credential(text);
  if (!result)
    return caf::make_error(ec::bad_request, detail_of(result.error()));
  return result;
}

expected<credential_ptr> parse_credential(std::string_view text) {
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
  auto result = std::make_shared<credential>();
  static_cast<credential_claims&>(*result) = std::move(*claims);
  result->text = text;
  result->hash = std::string{crypto::view(crypto::sha256(text))};
  result->key_id = std::move(jws->key_id);
  result->algorithm = std::move(jws->algorithm);
  result->revocation = credential_revocation_id(result->issuer, result->id);
  result->holder_revocation = holder_revocation_id(result->issuer, result->key.uid());
  return credential_ptr{std::move(result)};
}

caf::error verify_credential(const credential& x, const trust_anchors& anchors) {
  auto key = anchors.find(x.issuer, x.key_id);
  if (!key)
    return caf::make_error(ec::unknown_issuer, "no pinned key " + x.key_id + " of " + x.issuer);
  // Its parts are not kept: a cloud holds a credential of each of its peers.
  auto jws = crypto::parse_jws(x.text);
  if (!jws || !crypto::verify(*jws, *key))
    return invalid("the issuer's signature does not verify");
  for (auto* list : {&x.sources, &x.destinations, &x.relay})
    for (auto& pattern : *list)
      if (organization_of(pattern) != x.issuer)
        return invalid(pattern + " is outside the issuer's organization " + x.issuer);
  return {};
}

caf::error check_validity(const credential& x, uint64_t now_ms) {
  auto now_s = now_ms / 1'000;
  if (now_s < x.not_before_s)
    return caf::make_error(ec::credential_not_yet_valid,
                           x.id + " is valid in " + std::to_string(x.not_before_s - now_s) + " s");
  if (now_s >= x.expires_s)
    return caf::make_error(ec::credential_expired,
                           x.id + " ended " + std::to_string(now_s - x.expires_s) + " s ago");
  return {};
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
