// SPDX-License-Identifier: MPL-2.0
//
// JSON Web Signatures. Taking apart and verifying are two steps, because the key is found by what
// the payload says.

#include "runtime/crypto/jws.hpp"

#include "runtime/json/json.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace rvi::crypto {

namespace {

constexpr size_t jws_bytes_max = 16 * 1024;
constexpr size_t signature_size = 64;

// Each lets the sender choose the key or the rules (RFC 8725 3.1, 3.10); b64 changes what is signed
// (RFC 7797).
constexpr std::array forbidden_members = {"crit", "jku", "x5u", "jwk", "x5c", "b64"};

caf::error refuse(std::string why) {
  return caf::make_error(ec::malformed, "JWS: " + why);
}

/// The three parts as carried.
struct compact_parts {
  std::string_view header;
  std::string_view payload;
  std::string_view signature;
};

/// Parts are empty if there are not two dots.
compact_parts split(std::string_view compact) {
  auto first = compact.find('.');
  auto second = first == compact.npos ? first : compact.find('.', first + 1);
  if (second == compact.npos || compact.find('.', second + 1) != compact.npos)
    return {};
  return {compact.substr(0, first), compact.substr(first + 1, second - first - 1),
          compact.substr(second + 1)};
}

/// Fills in type, key id and algorithm.
caf::error read_header(std::string_view text, jws& out) {
  auto document = json::parse(text, {jws_bytes_max, 8, 256});
  if (!document)
    return refuse("header: " + detail_of(document.error()));
  auto header = document->root();
  if (!header.is_object())
    return refuse("the header is not an object");
  for (auto name : forbidden_members)
    if (header[name])
      return refuse(std::string{"header member "} + name);
  auto alg = header["alg"].as_string();
  if (alg == "RS256") // what rvi_core signs with
    return refuse("alg RS256 is not accepted, only EdDSA and ES256");
  if (!alg || (alg != to_string(algorithm::ed25519) && alg != to_string(algorithm::es256)))
    return refuse("alg is neither EdDSA nor ES256");
  auto typ = header["typ"].as_string();
  if (!typ || typ->empty())
    return refuse("no typ");
  auto kid = header["kid"].as_string();
  if (!kid)
    return refuse("no kid");
  out.algorithm = *alg;
  out.type = *typ;
  out.key_id = *kid;
  return {};
}

} // namespace

std::string jws_signing_input(algorithm key, std::string_view type, std::string_view key_id,
                              std::string_view payload) {
  json::writer header;
  header.begin_object()
    .member("alg", to_string(key))
    .member("kid", key_id)
    .member("typ", type)
    .end_object();
  return base64url(header.take()) + "." + base64url(payload);
}

expected<std::string> sign_jws(const private_key& key, std::string_view type,
                               std::string_view key_id, std::string_view payload) {
  assert(key);
  auto result = jws_signing_input(key.public_part().algorithm(), type, key_id, payload);
  auto signature = key.sign(result);
  if (!signature)
    return std::move(signature.error());
  result += "." + base64url(*signature);
  return result;
}

expected<jws> parse_jws(std::string_view compact) {
  if (compact.size() > jws_bytes_max)
    return refuse("over 16 KiB");
  auto parts = split(compact);
  if (parts.header.empty() || parts.signature.empty())
    return refuse("not three parts");
  auto header = unbase64url(parts.header);
  auto payload = unbase64url(parts.payload);
  auto signature = unbase64url(parts.signature);
  if (!header || !payload || !signature)
    return refuse("a part is not canonical base64url");
  if (signature->size() != signature_size)
    return refuse("a signature has 64 bytes");
  jws result;
  if (auto error = read_header(*header, result))
    return error;
  result.payload = std::move(*payload);
  result.signing_input = compact.substr(0, parts.header.size() + 1 + parts.payload.size());
  result.signature = std::move(*signature);
  return result;
}

bool verify(const signed_payload& x, const public_key& key) {
  return key && x.algorithm == to_string(key.algorithm())
         && key.verify(x.signing_input, x.signature);
}

} // namespace rvi::crypto
