// SPDX-License-Identifier: MPL-2.0

#include "messages/credential.hpp"

#include "messages/credential_claims.hpp"
#include "messages/name.hpp"
#include "messages/signed_claims.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/cose.hpp"
#include "runtime/json/json.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace rvi {

namespace {

constexpr std::string_view jws_type = "rvi-cred+jwt";
constexpr std::string_view cose_type = "application/rvi-cred+cwt";
/// What stands before the bytes of COSE written as text. No JWS has a colon.
constexpr std::string_view cose_prefix = "cose:";

caf::error invalid(std::string why) {
  return caf::make_error(ec::credential_invalid, std::move(why));
}

bool any_covers(const std::vector<std::string>& patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(), [name](auto& x) { return covers(x, name); });
}

bool any_contains(const std::vector<std::string>& patterns, std::string_view pattern) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [pattern](auto& x) { return contains(x, pattern); });
}

revocation_id first_half(const crypto::digest& x) {
  revocation_id result;
  std::copy_n(x.begin(), result.size(), result.begin());
  return result;
}

/// Bundles stand one on a line; an anchor is one document, often on many lines. Where the first
/// line is no JSON by itself, the word decides only which of the two is told about it.
bool holds_bundles(std::string_view text) {
  auto first = json::parse(text.substr(0, text.find('\n', text.find_first_not_of('\n'))));
  return first ? first->root()["payload"].as_string().has_value()
               : text.find("\"payload\"") != std::string_view::npos;
}

} // namespace

const char* to_string(credential_format x) {
  return x == credential_format::cose ? "cose" : "jws";
}

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

bool credential::administers(std::string_view name) const {
  return administrator && organization_of(name) == issuer;
}

bool credential::covers_destination(std::string_view name) const {
  return any_covers(destinations, name) && (!is_reserved(name) || administers(name));
}

bool credential::covers_relay(std::string_view name) const {
  return any_covers(relay, name);
}

bool credential::covers_user(std::string_view role) const {
  return !users || (!role.empty() && std::find(users->begin(), users->end(), role) != users->end());
}

caf::error trust_anchors::add(std::string_view text) {
  if (holds_bundles(text))
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

caf::error trust_anchors::check_scope(const credential_claims& x) const {
  using list = std::pair<std::vector<std::string> credential_claims::*,
                         std::vector<std::string> bundle_delegate::*>;
  constexpr std::array<list, 3> lists
    = {{{&credential_claims::sources, &bundle_delegate::sources},
        {&credential_claims::destinations, &bundle_delegate::destinations},
        {&credential_claims::relay, &bundle_delegate::relay}}};
  for (auto [claimed, delegated] : lists)
    for (auto& pattern : x.*claimed) {
      auto owner = organization_of(pattern);
      if (owner == x.issuer)
        continue;
      auto allows = [&, delegated = delegated](const bundle_delegate& to) {
        return to.organization == x.issuer && x.expires_s <= to.expires_s
               && any_contains(to.*delegated, pattern);
      };
      auto theirs = bundle(owner);
      if (!theirs || std::none_of(theirs->delegates.begin(), theirs->delegates.end(), allows))
        return caf::make_error(ec::unknown_issuer, pattern + " is not " + x.issuer + "'s, and "
                                                     + std::string{owner}
                                                     + " has not delegated it, as far as is known");
    }
  return {};
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
  if (!x.former.empty())
    return invalid("only an organization says which keys a node had before");
  if (x.not_before_s < parent.not_before_s || x.expires_s > parent.expires_s)
    return invalid("its time is not within that of " + parent.id);
  using lists = std::pair<const std::vector<std::string>*, const std::vector<std::string>*>;
  for (auto [mine, theirs] :
       {lists{&x.sources, &parent.sources}, lists{&x.destinations, &parent.destinations},
        lists{&x.relay, &parent.relay}})
    for (auto& pattern : *mine)
      if (!any_contains(*theirs, pattern))
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

credential_format format_of(std::string_view bytes) {
  return bytes.starts_with(crypto::cose_tag) ? credential_format::cose : credential_format::jws;
}

/// One credential of a chain, of the form that its first byte says.
expected<crypto::signed_payload> parse_signed(std::string_view bytes) {
  auto take = [](auto x) -> expected<crypto::signed_payload> {
    if (!x)
      return invalid(detail_of(x.error()));
    return crypto::signed_payload{std::move(*x)};
  };
  auto cose = format_of(bytes) == credential_format::cose;
  return cose ? take(crypto::parse_cose(bytes)) : take(crypto::parse_jws(bytes));
}

expected<std::string>
sign(credential_format format, const crypto::private_key& key, const std::string& payload) {
  auto& uid = key.public_part().uid();
  return format == credential_format::cose
           ? crypto::sign_cose(key, cose_type, crypto::view(uid), payload)
           : crypto::sign_jws(key, jws_type, to_string(uid), payload);
}

/// The first of a chain without those it was derived from. Error: `credential_invalid`.
expected<std::string_view> first_of(std::string_view chain) {
  if (format_of(chain) == credential_format::jws)
    return chain.substr(0, chain.find(','));
  auto size = crypto::first_cose_size(chain);
  if (!size)
    return invalid(detail_of(size.error()));
  return chain.substr(0, *size);
}

/// Each credential of a chain with those it was derived from: from the last of all, which comes
/// first, to the organization's.
expected<std::vector<std::string_view>> tails_of(std::string_view chain) {
  std::vector<std::string_view> result;
  auto format = format_of(chain);
  for (;;) {
    if (result.size() > delegations_max)
      return invalid("delegated more than " + std::to_string(delegations_max) + " times");
    if (!result.empty() && format_of(chain) != format)
      return invalid("JWS and COSE in one chain");
    result.push_back(chain);
    auto first = first_of(chain);
    if (!first)
      return std::move(first.error());
    chain.remove_prefix(first->size());
    if (chain.empty())
      return result;
    if (format == credential_format::jws)
      chain.remove_prefix(1); // the comma
  }
}

/// The first of `chain`. `rest`: what it was derived from.
expected<std::shared_ptr<credential>> parse_link(std::string_view chain, std::string_view rest) {
  auto format = format_of(chain);
  auto first = first_of(chain);
  auto signed_part = first ? parse_signed(*first) : std::move(first.error());
  if (!signed_part)
    return std::move(signed_part.error());
  bool cose = format == credential_format::cose;
  auto type = cose ? cose_type : jws_type;
  if (signed_part->type != type)
    return invalid("typ is not " + std::string{type});
  auto said = claims_of(format, signed_part->payload);
  if (!said)
    return std::move(said.error());
  auto before = rest.empty() ? std::string{} : std::string{crypto::view(crypto::sha256(rest))};
  if (said->derived_from != before)
    return invalid("par does not name what it comes with");
  auto result = std::make_shared<credential>();
  static_cast<credential_claims&>(*result) = std::move(said->claims);
  result->format = format;
  result->text = chain;
  result->hash = crypto::view(crypto::sha256(chain));
  result->key_id = cose ? crypto::hex(signed_part->key_id) : std::move(signed_part->key_id);
  result->algorithm = std::move(signed_part->algorithm);
  result->revocation = credential_revocation_id(result->issuer, result->id);
  result->holder_revocation = holder_revocation_id(result->issuer, result->key.uid());
  return result;
}

} // namespace

expected<credential_ptr> issue_credential(credential_claims claims, const crypto::private_key& key,
                                          credential_format format, const trust_anchors& others) {
  if (auto err = normalise_patterns(claims))
    return err;
  if (auto err = others.check_scope(claims))
    return bad_request(detail_of(err));
  auto text = sign(format, key, payload_of(format, claims, {}));
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
  auto text = sign(parent->format, holder, payload_of(parent->format, claims, parent->hash));
  if (!text)
    return std::move(text.error());
  if (parent->format == credential_format::jws)
    *text += ',';
  return made_here(*text + parent->text);
}

expected<credential_ptr> parse_credential(std::string_view text) {
  if (text.size() > credential_bytes_max)
    return invalid("over 16 KiB");
  if (text.starts_with(cose_prefix))
    return invalid("COSE written as text; here its bytes are needed");
  auto chain = tails_of(text);
  if (!chain)
    return std::move(chain.error());
  // The organization's is the last.
  std::shared_ptr<credential> before;
  std::string_view rest;
  for (auto i = chain->rbegin(); i != chain->rend(); ++i) {
    auto x = parse_link(*i, rest);
    if (!x)
      return std::move(x.error());
    if (before)
      if (auto err = check_narrowed(**x, *before))
        return err;
    (*x)->parent = std::exchange(before, *x);
    rest = *i;
  }
  return credential_ptr{std::move(before)};
}

std::string written_form(const credential& x) {
  return x.format == credential_format::jws ? x.text
                                            : std::string{cose_prefix} + crypto::base64url(x.text);
}

expected<credential_ptr> parse_written_credential(std::string_view text) {
  if (format_of(text) == credential_format::cose)
    return invalid("COSE as it is on the wire; as text it is written `cose:` and base64url");
  if (!text.starts_with(cose_prefix))
    return parse_credential(text);
  auto bytes = crypto::unbase64url(text.substr(cose_prefix.size()));
  if (!bytes)
    return invalid("after `cose:`: " + detail_of(bytes.error()));
  if (format_of(*bytes) != credential_format::cose)
    return invalid("after `cose:` there is no COSE");
  return parse_credential(*bytes);
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
    if (auto err = anchors.check_scope(x)) // those derived from it are narrower
      return err;
  }
  // Its parts are not kept: a cloud holds a credential of each of its peers.
  auto first = first_of(x.text);
  auto signed_part = first ? parse_signed(*first) : std::move(first.error());
  if (!signed_part || !crypto::verify(*signed_part, *key))
    return invalid(x.parent ? "the signature of the holder of " + x.parent->id + " does not verify"
                            : "the issuer's signature does not verify");
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
