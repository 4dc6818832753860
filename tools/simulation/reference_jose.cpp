// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/reference_jose.hpp"

#include "tools/simulation/reference_tree.hpp"

namespace rvi::simulation::reference {

using namespace std::string_literals;

namespace {

constexpr size_t text_bytes_max = 16 * 1'024; // security design 3.2.5

} // namespace

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

std::string check_jose_header(const json& x, const std::string& type) {
  for (auto forbidden : {"crit", "jku", "x5u", "jwk", "x5c", "b64"})
    if (x.member(forbidden))
      return "a forbidden header member (security design 3.2.5)";
  auto typ = x.member("typ");
  if (!typ || typ->string() != type)
    return "another typ (security design 3.2.5)";
  auto alg = x.member("alg");
  if (!alg || (alg->string() != "EdDSA" && alg->string() != "ES256"))
    return "another alg (security design 3.2.5)";
  auto kid = x.member("kid");
  if (!kid || !kid->string())
    return "no kid (security design 3.2.5)";
  return {};
}

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
    if (!is_sound_ed25519(*x))
      return {};
    result.algorithm = 1;
    result.spki = "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"s + *x;
  } else if (text("kty") == "EC" && text("crv") == "P-256" && text("y")) {
    auto y = read_base64url(*text("y"));
    if (!y || y->size() != 32 || !is_sound_p256(*x, *y))
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

} // namespace rvi::simulation::reference
