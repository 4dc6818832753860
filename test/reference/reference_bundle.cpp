// SPDX-License-Identifier: MPL-2.0

#include "test/reference/reference_bundle.hpp"

#include "tools/simulation/reference_names.hpp"
#include "tools/simulation/reference_tree.hpp"

namespace rvi::simulation::reference {

namespace {

// messages/trust_bundle.hpp
constexpr size_t text_bytes_max = 64 * 1'024;
constexpr size_t roots_max = 16;
constexpr size_t delegates_max = 16;
constexpr size_t delegate_patterns_max = 32;

bool has_only(const json& x, const std::set<std::string>& names) {
  for (auto& [name, value] : x.object)
    if (!names.contains(name))
      return false;
  return x.what == json::form::object;
}

std::string read_root(const json& x, bundle& out) {
  if (!has_only(x, {"jwk", "use"}))
    return "a root has a jwk and a use";
  auto key = key_of(x.member("jwk"));
  auto uses = x.member("use") ? x.member("use")->strings() : std::nullopt;
  if (!key || !uses || uses->empty())
    return "a root has a jwk and a use";
  pinned_key root;
  root.key = *key;
  for (auto& use : *uses) {
    auto& flag = use == "cred" ? root.credentials : use == "crl" ? root.lists : root.bundles;
    if ((use != "cred" && use != "crl" && use != "trust") || flag)
      return "a use is cred, crl or trust, once";
    flag = true;
  }
  if (!out.roots.emplace(hex(key->uid), root).second)
    return "a key is a root once";
  return {};
}

/// Of `use: trust`.
size_t trust_roots(const bundle& x) {
  size_t result = 0;
  for (auto& [kid, root] : x.roots)
    result += root.bundles;
  return result;
}

std::string read_roots(const json& claims, bundle& out) {
  auto roots = claims.member("roots");
  if (!roots || roots->what != json::form::list || roots->list.size() > roots_max)
    return "roots are a list of at most 16";
  for (auto& x : roots->list)
    if (auto why = read_root(x, out); !why.empty())
      return why;
  if (out.threshold == 0 || out.threshold > roots_max)
    return "a threshold of nobody, or of too many";
  if (!out.roots.empty() && out.threshold > trust_roots(out))
    return "a threshold that its roots cannot reach";
  return {};
}

std::string read_delegate(const json& x, bundle& out) {
  using names = std::vector<std::string>;
  if (!has_only(x, {"org", "exp", "sources", "destinations", "relay"}))
    return "a delegate with a member it does not have";
  delegate result;
  result.owner = out.organization;
  auto to = x.member("org") ? x.member("org")->string() : std::nullopt;
  auto expires = x.member("exp") ? x.member("exp")->unsigned_integer() : std::nullopt;
  if (!to || !is_domain(*to) || *to == out.organization || !expires)
    return "a delegate is another organization, and ends";
  result.organization = *to;
  result.expires_s = *expires;
  size_t patterns = 0;
  for (auto [name, list] :
       {std::pair<const char*, names delegate::*>{"sources", &delegate::sources},
        {"destinations", &delegate::destinations},
        {"relay", &delegate::relay}}) {
    if (!x.member(name))
      continue;
    auto said = x.member(name)->strings();
    if (!said || said->empty())
      return "a list of patterns without any is left out";
    for (auto& text : *said)
      if (normalise_pattern(text) != text || parts_of(text).levels[0] != out.organization)
        return "no pattern of the organization as it is compared";
    patterns += said->size();
    result.*list = std::move(*said);
  }
  if (patterns == 0 || patterns > delegate_patterns_max)
    return "a delegate has 1 to 32 patterns";
  for (auto& each : out.delegates)
    if (each.organization == result.organization)
      return "an organization is a delegate once";
  out.delegates.push_back(std::move(result));
  return {};
}

std::string read_delegates(const json& claims, bundle& out) {
  auto list = claims.member("delegates");
  if (!list)
    return {};
  if (list->what != json::form::list || list->list.empty() || list->list.size() > delegates_max)
    return "delegates are a list of 1 to 16";
  for (auto& x : list->list)
    if (auto why = read_delegate(x, out); !why.empty())
      return why;
  return out.roots.empty() ? "without roots there is nothing to delegate" : "";
}

std::string read_claims(const json& claims, bundle& out) {
  if (!has_only(claims,
                {"ver", "org", "seq", "prev", "iat", "exp", "threshold", "roots", "delegates"}))
    return "a member it does not have";
  auto number = [&](const char* name) {
    auto x = claims.member(name);
    return x ? x->unsigned_integer() : std::nullopt;
  };
  auto text = [&](const char* name) {
    auto x = claims.member(name);
    return x ? x->string() : std::nullopt;
  };
  if (number("ver") != 1)
    return "another ver";
  if (!text("org") || !is_domain(*text("org")))
    return "org is no organization";
  if (!number("seq") || *number("seq") == 0 || !number("threshold"))
    return "no seq or threshold";
  if (!number("iat") || !number("exp") || *number("exp") <= *number("iat"))
    return "no time between iat and exp";
  out.organization = *text("org");
  out.sequence = *number("seq");
  out.threshold = *number("threshold");
  if (claims.member("prev")) {
    auto digest = text("prev") ? read_base64url(*text("prev")) : std::nullopt;
    if (!digest || digest->size() != 32)
      return "prev is no hash";
    out.previous = *digest;
  }
  if ((out.sequence == 1) != out.previous.empty())
    return "all but the first have a prev";
  auto why = read_roots(claims, out);
  return why.empty() ? read_delegates(claims, out) : why;
}

std::string read_signature(const json& x, const std::string& payload, bundle& out) {
  auto text = [&](const char* name) {
    auto found = x.member(name);
    return found && found->string() ? *found->string() : "";
  };
  if (!has_only(x, {"protected", "signature"}))
    return "a signature has a protected header and nothing else beside it";
  auto parts = take_apart(text("protected") + "." + payload + "." + text("signature"));
  if (!parts)
    return "no signature";
  if (auto why = check_jose_header(parts->header, "rvi-bundle+jwt"); !why.empty())
    return why;
  auto added = out.signatures.emplace(*parts->header.member("kid")->string(),
                                      bundle::signature{*parts->header.member("alg")->string(),
                                                        parts->signing_input, parts->signature});
  return added.second ? "" : "a key signs once";
}

/// How many of `roots` that sign bundles have signed `x`.
size_t signed_by(const bundle& roots, const bundle& x, const signature_check& holds) {
  size_t result = 0;
  for (auto& [kid, root] : roots.roots) {
    auto found = x.signatures.find(kid);
    result += root.bundles && found != x.signatures.end()
              && found->second.algorithm == root.key.jose_name()
              && holds(root.key.spki, found->second.signing_input, found->second.bytes);
  }
  return result;
}

} // namespace

std::optional<bundle> read_bundle(const std::string& text, std::string& why) {
  auto outer = text.size() > text_bytes_max ? std::nullopt : read_json(text);
  why = "no JSON with a payload and signatures";
  if (!outer || !has_only(*outer, {"payload", "signatures"}))
    return {};
  auto payload = outer->member("payload");
  auto signatures = outer->member("signatures");
  if (!payload || !payload->string() || !signatures || signatures->what != json::form::list
      || signatures->list.empty())
    return {};
  auto bytes = read_base64url(*payload->string());
  auto claims = bytes ? read_json(*bytes) : std::nullopt;
  if (!claims)
    return {};
  bundle result;
  result.digest = sha256(*bytes);
  why = read_claims(*claims, result);
  if (signatures->list.size() > 2 * roots_max)
    why = "too many signatures";
  for (auto& x : signatures->list)
    if (why.empty())
      why = read_signature(x, *payload->string(), result);
  return why.empty() ? std::optional{std::move(result)} : std::nullopt;
}

reasons judge_pinned(const bundle& x, const signature_check& holds) {
  // Without roots there is nobody who could have signed it.
  if (x.roots.empty() || signed_by(x, x, holds) < x.threshold)
    return {"signature_invalid"};
  return {};
}

reasons judge_step(const bundle& known, const bundle& next, const signature_check& holds) {
  reasons result;
  if (next.organization != known.organization)
    result.insert("unauthorized");
  if (next.sequence <= known.sequence)
    result.insert("replay");
  else if (next.sequence - known.sequence > 1)
    result.insert("not_found");
  else if (next.previous != known.digest)
    result.insert("unauthorized");
  // An organization that ends itself has no new roots to agree; one that has ended goes no further.
  if (known.roots.empty() || signed_by(known, next, holds) < known.threshold
      || (!next.roots.empty() && signed_by(next, next, holds) < next.threshold))
    result.insert("signature_invalid");
  return result;
}

std::optional<bundle> walk(const std::string& lines, const signature_check& holds) {
  std::optional<bundle> last;
  for (size_t at = 0; at < lines.size();) {
    auto end = std::min(lines.find('\n', at), lines.size());
    auto line = lines.substr(at, end - at);
    at = end + 1;
    if (line.empty())
      continue;
    std::string why;
    auto x = read_bundle(line, why);
    if (!x || !(last ? judge_step(*last, *x, holds) : judge_pinned(*x, holds)).empty())
      return {};
    last = std::move(x);
  }
  return last;
}

pins pins_of(const bundle& x) {
  return {{x.organization, x.roots}};
}

} // namespace rvi::simulation::reference
