// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/reference_credential.hpp"

#include "tools/simulation/reference_cose.hpp"
#include "tools/simulation/reference_names.hpp"
#include "tools/simulation/reference_tree.hpp"

#include <algorithm>

namespace rvi::simulation::reference {

namespace {

using namespace std::string_literals;

constexpr uint64_t validity_days_max = 3'660; // the policy `rvi credential issue` tells
constexpr size_t patterns_max = 256;          // credential_patterns_max
constexpr size_t id_bytes_max = 128;
constexpr size_t chain_bytes_max = 16 * 1'024; // messages/credential.hpp
constexpr uint64_t delegations_max = 3;
constexpr size_t former_max = 8; // former_keys_max

judgement bad(std::string why) {
  return {verdict::bad_credential, std::move(why)};
}

/// The HLD's names and rvi_core's for claims, as messages/credential_claims.hpp has them; what is
/// said twice is refused, and a key in another form than cnf.jwk. Empty if nothing is wrong.
std::string rename_claims(json& claims) {
  for (auto name : {"public_key", "device_cert"})
    if (claims.member(name))
      return "a key that is not in cnf.jwk"s;
  using row = std::pair<const char*, const char*>;
  for (auto& [theirs, ours] :
       {row{"right_to_receive", "sources"}, row{"right_to_register", "sources"},
        row{"register", "sources"}, row{"right_to_invoke", "destinations"},
        row{"invoke", "destinations"}, row{"id", "jti"}, row{"create_timestamp", "iat"}})
    if (auto found = claims.member(theirs))
      if (auto copy = *found; !claims.object.emplace(ours, copy).second)
        return "a claim under two names"s;
  auto validity = claims.member("validity");
  for (auto& [theirs, ours] : {row{"start", "nbf"}, row{"stop", "exp"}})
    if (auto found = validity ? validity->member(theirs) : nullptr)
      if (auto copy = *found; !claims.object.emplace(ours, copy).second)
        return "a time under two names"s;
  return {};
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

/// Well-formed patterns.
std::string read_patterns(const json& claims, const char* name, std::vector<std::string>& out) {
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
    out.push_back(*pattern);
  }
  return {};
}

/// One to eight uids of other keys (messages/credential.hpp).
std::string read_former(const json& claims, credential& out) {
  auto member = claims.member("former");
  if (!member)
    return {};
  auto is_uid = [](const std::string& x) {
    return x.size() == 32 && x.find_first_not_of("0123456789abcdef") == x.npos;
  };
  auto uids = member->strings();
  if (!uids || uids->empty() || uids->size() > former_max
      || !std::all_of(uids->begin(), uids->end(), is_uid)
      || std::find(uids->begin(), uids->end(), out.subject) != uids->end())
    return "former is no list of other keys' uids";
  out.former = std::move(*uids);
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
    if (auto why = read_patterns(claims, name, *to); !why.empty())
      return why;
  if (auto users = claims.member("usr")) {
    out.users = users->strings();
    if (!out.users)
      return "usr is no list of roles (security design 3.2.5)";
  }
  auto administrator = claims.member("adm");
  out.administrator
    = administrator && administrator->what == json::form::boolean && administrator->boolean;
  if (auto delegations = claims.member("del")) {
    auto number = delegations->unsigned_integer();
    if (!number || *number > delegations_max)
      return "del is no number up to 3";
    out.delegations = *number;
  }
  return read_former(claims, out);
}

/// Decisions 4: all narrow, each child pattern inside one parent pattern; adm is never delegated
/// (decisions 3).
std::string check_narrowed(const credential& x) {
  auto& parent = *x.parent;
  if (x.administrator || x.issuer != parent.issuer)
    return "another issuer, or adm";
  if (!x.former.empty())
    return "only the organization names former keys";
  if (parent.delegations == 0 || x.delegations > parent.delegations - 1)
    return "more delegations than are allowed";
  if (x.not_before_s < parent.not_before_s || x.expires_s > parent.expires_s)
    return "not within the time of its parent";
  using list = const std::vector<std::string>*;
  for (auto& [mine, theirs] : {std::pair<list, list>{&x.sources, &parent.sources},
                               std::pair<list, list>{&x.destinations, &parent.destinations},
                               std::pair<list, list>{&x.relay, &parent.relay}})
    for (auto& inner : *mine)
      if (std::none_of(theirs->begin(), theirs->end(),
                       [&](const std::string& outer) { return contains(outer, inner); }))
        return "a pattern in none of its parent's";
  if (!parent.users)
    return {};
  if (!x.users)
    return "roles were dropped";
  for (auto& role : *x.users)
    if (std::find(parent.users->begin(), parent.users->end(), role) == parent.users->end())
      return "a role that its parent has not";
  return {};
}

/// Each pattern lies in the issuer's own organization, or where that organization lets the issuer
/// (security design 3.2.1).
judgement check_patterns(const credential& x, const belief& node) {
  auto lets = [&](const std::string& pattern, std::vector<std::string> delegate::*list) {
    auto owner = parts_of(pattern).levels[0];
    if (owner == x.issuer)
      return true;
    for (auto& each : node.delegates)
      if (each.owner == owner && each.organization == x.issuer && each.expires_s >= x.expires_s)
        for (auto& outer : each.*list)
          if (contains(outer, pattern))
            return true;
    return false;
  };
  using names = std::vector<std::string>;
  for (auto [mine, list] :
       {std::pair<const names*, names delegate::*>{&x.sources, &delegate::sources},
        {&x.destinations, &delegate::destinations},
        {&x.relay, &delegate::relay}})
    for (auto& pattern : *mine)
      if (!lets(pattern, list))
        return {verdict::unknown_issuer,
                "a pattern of another organization (security design 3.2.1)"};
  return x.parent ? check_patterns(*x.parent, node) : judgement{};
}

/// `iss` selects one bundle, `kid` a key in it; the algorithm is the key's (security design 3.2.1).
judgement check_issuer(const std::vector<jws>& chain, size_t at, const credential& c,
                       const belief& node, const signature_check& holds) {
  auto& x = chain[at];
  if (c.parent) {
    if (auto before = check_issuer(chain, at + 1, *c.parent, node, holds); !before)
      return before;
    auto& key = c.parent->key;
    if (*x.header.member("kid")->string() != hex(key.uid)
        || *x.header.member("alg")->string() != key.jose_name()
        || !holds(key.spki, x.signing_input, x.signature))
      return bad("not signed by the holder of its parent (decisions 4)");
    return {};
  }
  auto anchors = node.anchors.find(c.issuer);
  if (anchors == node.anchors.end())
    return {verdict::unknown_issuer, "no key is pinned for the issuer (security design 3.2.1)"};
  for (auto& text : anchors->second) {
    auto jwk = read_json(text);
    auto key = jwk ? key_of(&*jwk) : std::nullopt;
    if (!key || hex(key->uid) != *x.header.member("kid")->string())
      continue;
    if (*x.header.member("alg")->string() != key->jose_name())
      return bad("the header's alg is not the key's (RFC 8725 3.1)");
    if (!holds(key->spki, x.signing_input, x.signature))
      return bad("the issuer's signature does not hold");
    return {};
  }
  return {verdict::unknown_issuer,
          "no pinned key of the issuer has this kid (security design 3.2.1)"};
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
  return x.parent && is_revoked(*x.parent, node); // for every link (decisions 4)
}

/// RFC 7519 4.1.4, 4.1.5: valid from nbf on and before exp, in seconds.
judgement check_times(const credential& x, const belief& node) {
  auto now_s = node.now_ms / 1'000;
  if (now_s < x.not_before_s)
    return {verdict::early_credential, "not valid yet (B1 3.2 step 3)"};
  if (now_s >= x.expires_s)
    return {verdict::ended_credential, "not valid any more (B1 3.2 step 3)"};
  return {};
}

judgement check_lists(const credential& x, const belief& node) {
  return is_revoked(x, node) ? judgement{verdict::revoked, "on the issuer's list (decisions 4)"}
                             : judgement{};
}

/// What it says if it has the shape of a credential; a chain is the last one and what it was
/// derived from in the same form, of JWS behind a comma (messages/credential.hpp).
judgement read_shape(const std::string& text, std::vector<jws>& chain, credential& out) {
  if (text.size() > chain_bytes_max)
    return bad("over 16 KiB");
  out.hash = sha256(text);
  bool cose = text.starts_with('\xd2');
  size_t used = text.find(',');
  auto parts = cose ? take_cose_apart(text, used) : take_apart(text.substr(0, used));
  if (!parts)
    return bad("no JWS or COSE_Sign1 of at most 16 KiB with claims (security design 3.2.5)");
  auto wrong = cose ? "" : rename_claims(parts->claims);
  for (auto why :
       {wrong, check_jose_header(parts->header, cose ? "application/rvi-cred+cwt" : "rvi-cred+jwt"),
        read_claims(parts->claims, out)})
    if (!why.empty())
      return bad(why);
  chain.push_back(std::move(*parts));
  auto named = chain.back().claims.member("par");
  bool last = used >= text.size();
  if (!named && last)
    return {};
  auto rest = last ? std::string{} : text.substr(used + (cose ? 0 : 1));
  if (rest.starts_with('\xd2') != cose)
    return bad("two forms in one chain (messages/credential.hpp)");
  if (rest.empty() || !named || read_base64url(named->string().value_or("")) != sha256(rest))
    return bad("par is not the hash of what it comes with (decisions 4)");
  auto parent = std::make_shared<credential>();
  if (auto why = read_shape(rest, chain, *parent); !why)
    return why;
  out.parent = parent;
  auto why = check_narrowed(out);
  return why.empty() ? judgement{} : bad(why);
}

/// All that the bytes alone decide: shape, claims, the issuer's signature.
texts_read::entry
read_text(const std::string& text, const belief& node, const signature_check& holds) {
  credential result;
  std::vector<jws> chain;
  auto found = read_shape(text, chain, result);
  if (found)
    found = check_patterns(result, node);
  if (found)
    found = check_issuer(chain, 0, result, node, holds);
  auto hash = result.hash;
  if (!found)
    return {std::move(hash), {}, found};
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
  for (auto& check : {check_times, check_lists})
    if (why = check(*result, node); !why)
      return {};
  return result;
}

std::vector<judgement>
objections(const std::string& text, const belief& node, const signature_check& holds) {
  credential said;
  std::vector<jws> chain;
  if (auto shape = read_shape(text, chain, said); !shape)
    return {shape};
  std::vector<judgement> result;
  for (auto& found : {check_patterns(said, node), check_issuer(chain, 0, said, node, holds),
                      check_times(said, node), check_lists(said, node)})
    if (!found)
      result.push_back(found);
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
