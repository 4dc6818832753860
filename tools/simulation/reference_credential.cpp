// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/reference_credential.hpp"

#include "tools/simulation/reference_json.hpp"
#include "tools/simulation/reference_names.hpp"
#include "tools/simulation/reference_tree.hpp"

#include <algorithm>

namespace rvi::simulation::reference {

namespace {

using namespace std::string_literals;

constexpr size_t text_bytes_max = 16 * 1'024; // security design 3.2.5
constexpr uint64_t validity_days_max = 3'660; // the policy `rvi credential issue` tells
constexpr size_t patterns_max = 256;          // credential_patterns_max
constexpr size_t id_bytes_max = 128;

/// Header and payload, decoded and parsed, and what the signature is over.
struct jws {
  json header;
  json claims;
  std::string signing_input;
  std::string signature;
};

judgement bad(std::string why) {
  return {verdict::bad_credential, std::move(why)};
}

/// RFC 7515 3.1: three parts of base64url. The payload must be JSON, for a credential's is.
std::optional<jws> take_apart(const std::string& text) {
  auto first = text.find('.');
  auto second = text.rfind('.');
  if (text.size() > text_bytes_max || first == std::string::npos || first == second)
    return {};
  auto header = read_base64url(text.substr(0, first));
  auto payload = read_base64url(text.substr(first + 1, second - first - 1));
  auto signature = read_base64url(text.substr(second + 1));
  if (!header || !payload || !signature || signature->size() != 64)
    return {};
  auto header_tree = read_json(*header);
  auto claims = read_json(*payload);
  if (!header_tree || !claims || header_tree->what != json::form::object
      || claims->what != json::form::object)
    return {};
  return jws{*header_tree, *claims, text.substr(0, second), *signature};
}

/// Security design 3.2.5: typ, alg EdDSA or ES256, no crit/jku/x5u/jwk (and x5c, b64: the JWS
/// test).
std::string check_jose_header(const json& x) {
  for (auto forbidden : {"crit", "jku", "x5u", "jwk", "x5c", "b64"})
    if (x.member(forbidden))
      return "a forbidden header member (security design 3.2.5)";
  auto typ = x.member("typ");
  if (!typ || typ->string() != "rvi-cred+jwt")
    return "another typ (security design 3.2.5)";
  auto alg = x.member("alg");
  if (!alg || (alg->string() != "EdDSA" && alg->string() != "ES256"))
    return "another alg (security design 3.2.5)";
  auto kid = x.member("kid");
  if (!kid || !kid->string())
    return "no kid (security design 3.2.5)";
  return {};
}

/// RFC 8037 2, RFC 7518 6.2: the key as the one SPKI it has.
std::optional<key> key_of(const json* jwk) {
  auto text = [&](const char* name) {
    auto x = jwk->member(name);
    return x ? x->string() : std::nullopt;
  };
  if (!jwk || jwk->what != json::form::object || !text("x"))
    return {};
  auto x = read_base64url(*text("x"));
  if (!x || x->size() != 32)
    return {};
  key result;
  if (text("kty") == "OKP" && text("crv") == "Ed25519" && !jwk->member("y")) {
    result.algorithm = 1;
    result.spki = "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"s + *x;
  } else if (text("kty") == "EC" && text("crv") == "P-256" && text("y")) {
    auto y = read_base64url(*text("y"));
    if (!y || y->size() != 32)
      return {};
    result.algorithm = 2;
    result.spki = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce"
                  "\x3d\x03\x01\x07\x03\x42\x00\x04"s
                  + *x + *y;
  } else {
    return {};
  }
  result.uid = sha256(result.spki).substr(0, 16);
  return result;
}

/// Claims of text and time.
std::string read_scalars(const json& claims, credential& out) {
  auto text = [&](const char* name) {
    auto x = claims.member(name);
    return x ? x->string().value_or("") : "";
  };
  auto number = [&](const char* name) {
    auto x = claims.member(name);
    return x ? x->unsigned_integer() : std::nullopt;
  };
  out.issuer = text("iss");
  out.id = text("jti");
  out.subject = text("sub");
  if (number("ver") != 1)
    return "another ver (security design 3.2.5)";
  if (!is_domain(out.issuer))
    return "iss is no organization (security design 3.2.5)";
  if (out.id.empty() || out.id.size() > id_bytes_max)
    return "no jti (security design 3.2.5)";
  if (!number("iat") || !number("nbf") || !number("exp"))
    return "iat, nbf and exp are times (security design 3.2.5)";
  out.not_before_s = *number("nbf");
  out.expires_s = *number("exp");
  if (out.expires_s <= out.not_before_s)
    return "no time between nbf and exp";
  if (out.expires_s - out.not_before_s > validity_days_max * 86'400)
    return "valid for too long (security design 3.2.5: policy)";
  return {};
}

/// Well-formed patterns, each in the issuer's own organization (security design 3.2.1).
std::string read_patterns(const json& claims, const char* name, const std::string& organization,
                          std::vector<std::string>& out) {
  auto member = claims.member(name);
  if (!member)
    return {};
  auto patterns = member->strings();
  if (!patterns || patterns->size() > patterns_max)
    return name + " is no list of patterns (security design 3.2.5)"s;
  for (auto& x : *patterns) {
    auto pattern = normalise_pattern(x);
    if (!pattern)
      return name + " has what is no pattern (security design 3.2.5)"s;
    if (parts_of(*pattern).levels[0] != organization)
      return name + " has a pattern of another organization (security design 3.2.1)"s;
    out.push_back(*pattern);
  }
  return {};
}

std::string read_claims(const json& claims, credential& out) {
  if (auto why = read_scalars(claims, out); !why.empty())
    return why;
  auto cnf = claims.member("cnf");
  auto holder = cnf ? key_of(cnf->member("jwk")) : std::nullopt;
  if (!holder)
    return "no cnf key (security design 3.2.5)";
  out.key = *holder;
  if (out.subject != hex(out.key.uid))
    return "sub is not the uid of the cnf key (decisions 4)";
  for (auto& [name, to] :
       {std::pair{"sources", &out.sources}, std::pair{"destinations", &out.destinations},
        std::pair{"relay", &out.relay}})
    if (auto why = read_patterns(claims, name, out.issuer, *to); !why.empty())
      return why;
  if (auto users = claims.member("usr")) {
    out.users = users->strings();
    if (!out.users)
      return "usr is no list of roles (security design 3.2.5)";
  }
  auto administrator = claims.member("adm");
  out.administrator
    = administrator && administrator->what == json::form::boolean && administrator->boolean;
  return {};
}

/// `iss` selects one bundle, `kid` a key in it; the algorithm is the key's (security design 3.2.1).
std::string
check_issuer(const jws& x, const credential& c, const belief& node, const signature_check& holds) {
  auto anchors = node.anchors.find(c.issuer);
  if (anchors == node.anchors.end())
    return "no key is pinned for the issuer (security design 3.2.1)";
  for (auto& text : anchors->second) {
    auto jwk = read_json(text);
    auto key = jwk ? key_of(&*jwk) : std::nullopt;
    if (!key || hex(key->uid) != *x.header.member("kid")->string())
      continue;
    if (*x.header.member("alg")->string() != (key->algorithm == 1 ? "EdDSA" : "ES256"))
      return "the header's alg is not the key's (RFC 8725 3.1)";
    if (!holds(key->spki, x.signing_input, x.signature))
      return "the issuer's signature does not hold";
    return {};
  }
  return "no pinned key of the issuer has this kid (security design 3.2.1)";
}

/// Decisions 4: SHA-256("rvi-cred-id" | iss | jti)[:16], "also by sub": there with its own label,
/// as messages/credential.hpp writes it down.
bool is_revoked(const credential& x, const belief& node) {
  if (node.revocation_entries.empty())
    return false;
  for (auto& named : {"rvi-cred-id" + x.issuer + x.id, "rvi-cred-sub" + x.issuer + x.subject}) {
    auto entry = sha256(named).substr(0, 16);
    auto& entries = node.revocation_entries;
    if (std::find(entries.begin(), entries.end(), entry) != entries.end())
      return true;
  }
  return false;
}

/// All that the bytes alone decide: shape, claims, the issuer's signature.
texts_read::entry
read_text(const std::string& jws, const belief& node, const signature_check& holds) {
  auto parts = take_apart(jws);
  if (!parts)
    return {
      sha256(jws), {}, bad("no JWS of at most 16 KiB with JSON in it (security design 3.2.5)")};
  credential result;
  result.hash = sha256(jws);
  for (auto text : {check_jose_header(parts->header), read_claims(parts->claims, result)})
    if (!text.empty())
      return {result.hash, {}, bad(text)};
  if (auto text = check_issuer(*parts, result, node, holds); !text.empty())
    return {result.hash, {}, bad(text)};
  auto hash = result.hash;
  return {std::move(hash), std::make_shared<const credential>(std::move(result)), {}};
}

} // namespace

const texts_read::entry* texts_read::find(const std::string& jws) const {
  auto i = entries_.find(jws);
  return i == entries_.end() ? nullptr : &i->second;
}

const texts_read::entry&
texts_read::get(const std::string& jws, const std::function<entry()>& read) {
  if (auto known = find(jws))
    return *known;
  if (entries_.size() >= entries_max)
    entries_.clear();
  return entries_.emplace(jws, read()).first->second;
}

std::shared_ptr<texts_read> make_texts_read() {
  return std::make_shared<texts_read>();
}

std::string hash_of(const std::string& jws, const belief& node) {
  auto known = node.read ? node.read->find(jws) : nullptr;
  return known ? known->hash : sha256(jws);
}

credential_text read_credential(const std::string& jws, const belief& node,
                                const signature_check& holds, judgement& why) {
  auto read = [&] { return read_text(jws, node, holds); };
  texts_read::entry anew;
  auto& found = node.read ? node.read->get(jws, read) : (anew = read());
  why = found.why;
  if (!found.said)
    return {};
  auto& result = found.said;
  // RFC 7519 4.1.4, 4.1.5: valid from nbf on and before exp, in seconds.
  auto now_s = node.now_ms / 1'000;
  if (now_s < result->not_before_s || now_s >= result->expires_s) {
    why = bad("outside its validity (B1 3.2 step 3)");
    return {};
  }
  if (is_revoked(*result, node)) {
    why = {verdict::revoked, "on the issuer's list (decisions 4)"};
    return {};
  }
  return result;
}

bool covers_any(const std::vector<std::string>& patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& x) { return covers(x, name); });
}

judgement
judge_credential(const std::string& jws, const belief& node, const signature_check& holds) {
  judgement result;
  read_credential(jws, node, holds, result);
  return result;
}

} // namespace rvi::simulation::reference
