// SPDX-License-Identifier: MPL-2.0

#include "messages/grant.hpp"

#include "messages/credential.hpp"
#include "messages/name.hpp"
#include "messages/signed_claims.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/jws.hpp"
#include "runtime/json/json.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr std::string_view grant_type = "rvi-grant+jwt";
constexpr uint64_t grant_version = 1;

caf::error invalid(std::string why) {
  return caf::make_error(ec::credential_invalid, "grant: " + why);
}

/// What nobody may grant, whoever signs it.
caf::error check_claims(const grant_claims& x) {
  if (x.id.empty() || x.id.size() > 128)
    return invalid("jti has 1 to 128 bytes");
  if (x.expires_s <= x.not_before_s
      || x.expires_s - x.not_before_s > grant_validity_days_max * 86'400)
    return invalid("a validity that is empty or over 366 days");
  if (x.destinations.empty() || x.destinations.size() > grant_patterns_max)
    return invalid("destinations: 1 to 64 patterns");
  for (auto& pattern : x.destinations) {
    if (!contains(x.granter_address, pattern))
      return invalid(pattern + " is not below the granting node " + x.granter_address);
    if (is_reserved(pattern))
      return invalid(pattern + " is reserved, and that is never granted");
  }
  return {};
}

expected<std::vector<std::string>> destinations_of(json::value list) {
  std::vector<std::string> result;
  if (!list.is_array() || list.size() > grant_patterns_max)
    return invalid("destinations must be a list of at most 64 patterns");
  for (auto& item : list.items()) {
    auto pattern = normalise_pattern(item.as_string().value_or(""));
    if (!pattern)
      return invalid("destinations: " + detail_of(pattern.error()));
    result.push_back(std::move(*pattern));
  }
  return result;
}

expected<grant_claims> claims_of(json::value x) {
  grant_claims result;
  auto issuer = x["iss"].as_string();
  auto id = x["jti"].as_string();
  auto issued = x["iat"].as_uint();
  auto not_before = x["nbf"].as_uint();
  auto expires = x["exp"].as_uint();
  auto holder = parse_node_uid(x["sub"].as_string().value_or(""));
  if (!issuer || !id || !issued || !not_before || !expires || !holder)
    return invalid("iss, sub, jti, iat, nbf and exp are required");
  if (x["ver"].as_uint() != grant_version)
    return invalid("unknown version");
  auto address = normalise_node_address(*issuer);
  if (!address || *address != *issuer)
    return invalid("iss is not the address of a node");
  auto key = key_of_jwk(x["key"]["jwk"]);
  if (!key)
    return invalid("key.jwk: " + detail_of(key.error()));
  if (x["aud"].as_string() != to_string(key->uid()))
    return invalid("aud is not the uid of key.jwk");
  auto destinations = destinations_of(x["destinations"]);
  if (!destinations)
    return std::move(destinations.error());
  result.granter_address = std::move(*address);
  result.granter = std::move(*key);
  result.holder = *holder;
  result.id = *id;
  result.issued_s = *issued;
  result.not_before_s = *not_before;
  result.expires_s = *expires;
  result.destinations = std::move(*destinations);
  if (auto err = check_claims(result))
    return err;
  return result;
}

std::string payload_of(const grant_claims& x) {
  json::writer out;
  out.begin_object();
  out.member("ver", grant_version);
  out.member("iss", x.granter_address);
  out.member("aud", to_string(x.granter.uid()));
  out.member("sub", to_string(x.holder));
  out.member("jti", x.id);
  out.member("iat", x.issued_s);
  out.member("nbf", x.not_before_s);
  out.member("exp", x.expires_s);
  out.key("key").begin_object().key("jwk").raw(x.granter.jwk()).end_object();
  out.key("destinations").begin_array();
  for (auto& pattern : x.destinations)
    out.string(pattern);
  out.end_array().end_object();
  return out.take();
}

} // namespace

bool grant::covers_destination(std::string_view name) const {
  return !is_reserved(name)
         && std::any_of(destinations.begin(), destinations.end(),
                        [name](auto& x) { return covers(x, name); });
}

expected<std::string> grant_signing_input(grant_claims claims) {
  for (auto& pattern : claims.destinations) {
    auto normal = normalise_pattern(pattern);
    if (!normal)
      return caf::make_error(ec::bad_request, pattern + ": " + detail_of(normal.error()));
    pattern = std::move(*normal);
  }
  if (auto err = check_claims(claims))
    return caf::make_error(ec::bad_request, detail_of(err));
  return crypto::jws_signing_input(claims.granter.algorithm(), grant_type,
                                   to_string(claims.granter.uid()), payload_of(claims));
}

std::string signed_grant(std::string_view signing_input, std::string_view signature) {
  return std::string{signing_input} + "." + crypto::base64url(signature);
}

expected<grant_ptr> parse_grant(std::string_view text) {
  auto jws = crypto::parse_jws(text);
  if (!jws)
    return invalid(detail_of(jws.error()));
  if (jws->type != grant_type)
    return invalid("typ is not " + std::string{grant_type});
  auto document = json::parse(jws->payload, {size_t{16} << 10, 8, 2'048});
  if (!document)
    return invalid(detail_of(document.error()));
  auto claims = claims_of(document->root());
  if (!claims)
    return std::move(claims.error());
  if (jws->key_id != to_string(claims->granter.uid()) || !crypto::verify(*jws, claims->granter))
    return invalid("the granting node's signature does not verify");
  auto result = std::make_shared<grant>();
  static_cast<grant_claims&>(*result) = std::move(*claims);
  result->text = text;
  result->hash = std::string{crypto::view(crypto::sha256(text))};
  return grant_ptr{std::move(result)};
}

caf::error check_validity(const grant& x, uint64_t now_ms) {
  return check_times("grant " + x.id, x.not_before_s, x.expires_s, now_ms);
}

} // namespace rvi
