// SPDX-License-Identifier: MPL-2.0

#include "messages/key_pair.hpp"

#include "messages/name.hpp"
#include "messages/signed_claims.hpp"
#include "messages/transaction_id.hpp"

namespace rvi {

namespace {

constexpr std::string_view key_pair_type = "rvi-key+jwt";
constexpr uint64_t key_pair_version = 1;

caf::error malformed(std::string why) {
  return caf::make_error(ec::malformed, "key pair: " + std::move(why));
}

/// What the next key signs: it takes over from this one.
std::string proof_input(const crypto::public_key& present, const crypto::public_key& next) {
  std::string result{"RVI-KEY-1"};
  result += '\0';
  result += crypto::view(present.uid());
  result += crypto::view(next.uid());
  return result;
}

} // namespace

expected<std::string>
key_pair_signing_input(const std::string& node_address, uint64_t now_s,
                       const crypto::public_key& present, const crypto::private_key& next) {
  auto& next_key = next.public_part();
  auto proof = next.sign(proof_input(present, next_key));
  if (!proof)
    return std::move(proof.error());
  json::writer out;
  out.begin_object();
  out.member("ver", key_pair_version);
  out.member("sub", to_string(present.uid()));
  out.member("node", node_address);
  out.member("iat", now_s);
  out.key("key").begin_object().key("jwk").raw(present.jwk()).end_object();
  out.key("next").begin_object().key("jwk").raw(next_key.jwk()).end_object();
  out.member("proof", crypto::base64url(*proof));
  out.end_object();
  return crypto::jws_signing_input(present.algorithm(), key_pair_type, to_string(present.uid()),
                                   out.take());
}

std::string signed_key_pair(std::string_view signing_input, std::string_view signature) {
  return std::string{signing_input} + "." + crypto::base64url(signature);
}

expected<key_pair_claims> parse_key_pair(std::string_view text) {
  auto jws = crypto::parse_jws(text);
  if (!jws)
    return malformed(detail_of(jws.error()));
  if (jws->type != key_pair_type)
    return malformed("typ is not " + std::string{key_pair_type});
  auto document = json::parse(jws->payload, {size_t{16} << 10, 8, 2'048});
  if (!document)
    return malformed(detail_of(document.error()));
  auto x = document->root();
  auto present = key_of_jwk(x["key"]["jwk"]);
  auto next = key_of_jwk(x["next"]["jwk"]);
  auto address = normalise_node_address(x["node"].as_string().value_or(""));
  auto issued = x["iat"].as_uint();
  auto proof = crypto::unbase64url(x["proof"].as_string().value_or(""));
  if (x["ver"].as_uint() != key_pair_version || !present || !next || !address || !issued || !proof)
    return malformed("ver, sub, node, iat, key, next and proof are required");
  if (present->uid() == next->uid())
    return malformed("both keys are the same");
  if (x["sub"].as_string() != to_string(present->uid()) || jws->key_id != to_string(present->uid())
      || !crypto::verify(*jws, *present))
    return malformed("the signature of the present key does not verify");
  if (!next->verify(proof_input(*present, *next), *proof))
    return malformed("the signature of the next key does not verify");
  return key_pair_claims{std::move(*address), *issued, std::move(*present), std::move(*next)};
}

} // namespace rvi
