// SPDX-License-Identifier: MPL-2.0
//
// Forged, foreign and ambiguous credentials. The attacker may choose every byte but what the roots
// sign, has a credential of its own, and one root of another organization.

#include "messages/transaction_id.hpp"
#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace rvi;
using namespace rvi::test;

namespace {

struct fixture : attack {
  /// A credential of acme.com, signed by the root for credentials unless another is given.
  credential_ptr
  of_acme(std::vector<std::string> sources, const crypto::private_key* root = nullptr) {
    auto claims
      = at.acme.credential(attacker.key.public_part(), std::move(sources), {"acme.com/cloud"});
    auto result = issue_credential(claims, root ? *root : at.acme.credentials);
    REQUIRE(result);
    return *result;
  }

  std::string header_of(std::string_view algorithm, std::string_view type,
                        const crypto::private_key& key) const {
    return R"({"alg":")" + std::string{algorithm} + R"(","kid":")"
           + to_string(key.public_part().uid()) + R"(","typ":")" + std::string{type} + "\"}";
  }
};

/// The other signature that a verifier without the rule of the lower half takes: s becomes n - s.
std::string high_s(std::string signature) {
  static constexpr uint8_t order[32] = {
    0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
  int borrow = 0;
  for (int i = 31; i >= 0; --i) {
    int x = order[i] - static_cast<uint8_t>(signature[32 + static_cast<size_t>(i)]) - borrow;
    borrow = x < 0 ? 1 : 0;
    signature[32 + static_cast<size_t>(i)] = static_cast<char>(x + borrow * 256);
  }
  return signature;
}

} // namespace

TEST_SUITE_BEGIN("attacks: credentials" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a good credential passes, so that the refusals below mean something") {
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  attacker.credential = *parse_credential(signed_by_root(good_header(), claims()));
  hostile_peer again{at.cloud_port};
  again.come_up(attacker);
  attacker.address = "acme.com/vin/1";
  attacker.credential = of_acme({attacker.address});
  hostile_peer third{at.cloud_port};
  third.come_up(attacker);
  signatures_max = 6;
}

TEST_CASE_FIXTURE(fixture, "a root of the same name that nobody has pinned") {
  ::test::authority stranger{"jlr.com"};
  attacker = peer_card{stranger, attacker.address, {"jlr.com/cloud"}};
  refuses_attacker("unknown_issuer");
}

TEST_CASE_FIXTURE(fixture, "an organization that nobody has pinned") {
  ::test::authority stranger{"evil.org"};
  attacker = peer_card{stranger, "evil.org/vin/666", {"evil.org/cloud"}};
  refuses_attacker("unknown_issuer");
}

TEST_CASE_FIXTURE(fixture, "the pinned root's name over another key's signature") {
  refuses_credential(forged_jws(attacker.key, good_header(), claims()), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "claims changed under the old signature") {
  auto& good = attacker.credential->text;
  auto wider = replaced(claims(), "jlr.com/cloud/media_server", "jlr.com/cloud");
  refuses_credential(good.substr(0, good.find('.') + 1) + crypto::base64url(wider)
                       + good.substr(good.rfind('.')),
                     "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "one organization's root signs for another") {
  auto claims = replaced(this->claims(), R"("iss":"jlr.com")", R"("iss":"acme.com")");
  refuses_credential(signed_by_root(good_header(), claims), "unknown_issuer");
  auto jlr = forged_jws(at.acme.credentials,
                        header_of("ES256", "rvi-cred+jwt", at.acme.credentials), this->claims());
  refuses_credential(jlr, "unknown_issuer");
}

TEST_CASE_FIXTURE(fixture, "an organization gives rights to another's names") {
  auto wide = replaced(part_of(of_acme({"acme.com/vin/666"})->text, 1), R"(["acme.com/vin/666"])",
                       R"(["acme.com/vin/666","jlr.com/vin/1234"])");
  auto& root = at.acme.credentials;
  attacker.address = "acme.com/vin/666";
  refuses_credential(forged_jws(root, header_of("ES256", "rvi-cred+jwt", root), wide),
                     "unknown_issuer");
}

TEST_CASE_FIXTURE(fixture, "an organization takes more of another than that has delegated") {
  signatures_max = 7; // two of the session that stands, one of each other
  auto with = [&](const char* list, const std::string& pattern) {
    auto own = list == std::string{"sources"} ? attacker.address : "jlr.com/cloud/media_server";
    return signed_by_root(
      good_header(), replaced(claims(), "\"" + own + "\"", "\"" + own + "\",\"" + pattern + "\""));
  };
  attacker.credential = *parse_credential(with("destinations", "acme.com/cloud/open/door"));
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  for (auto* wider : {"acme.com/cloud", "acme.com", "acme.com/cloud/opener", "acme.com/cloud/+"})
    refuses_credential(with("destinations", wider), "unknown_issuer");
  refuses_credential(with("sources", "acme.com/cloud/open"), "unknown_issuer");
}

TEST_CASE_FIXTURE(fixture, "a pattern for names of every organization") {
  auto wide = replaced(claims(), R"(["jlr.com/cloud/media_server"])", R"(["+/cloud","#"])");
  refuses_credential(signed_by_root(good_header(), wide), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "a root that may only sign lists signs a credential") {
  attacker.address = "acme.com/vin/666";
  attacker.credential = of_acme({attacker.address}, &at.acme.lists);
  refuses_attacker("unknown_issuer");
}

TEST_CASE_FIXTURE(fixture, "a root that may only sign bundles signs a credential") {
  attacker.address = "acme.com/vin/666";
  attacker.credential = of_acme({attacker.address}, &at.acme.trust_1);
  refuses_attacker("unknown_issuer");
}

TEST_CASE_FIXTURE(fixture, "an expired credential") {
  signatures_max = 0;
  take_credential([](auto& x) { x.expires_s = wall_ms() / 1'000 - 1; });
  refuses_attacker("credential_expired");
}

TEST_CASE_FIXTURE(fixture, "a credential of the future") {
  signatures_max = 0;
  take_credential([](auto& x) { x.not_before_s = wall_ms() / 1'000 + 3'600; });
  refuses_attacker("credential_not_yet_valid");
}

TEST_CASE_FIXTURE(fixture, "a credential for ever") {
  signatures_max = 0;
  auto end = std::to_string(attacker.credential->expires_s);
  auto claims = replaced(this->claims(), R"("exp":)" + end, R"("exp":99999999999)");
  refuses_credential(signed_by_root(good_header(), claims), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "algorithm none") {
  signatures_max = 0;
  auto header = replaced(good_header(), "EdDSA", "none");
  refuses_credential(crypto::base64url(header) + "." + crypto::base64url(claims()) + ".",
                     "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "algorithm HS256, with the root's public key as the secret") {
  signatures_max = 0;
  auto header = replaced(good_header(), "EdDSA", "HS256");
  auto input = crypto::base64url(header) + "." + crypto::base64url(claims());
  auto mac = crypto::hmac_sha256(at.world.provisioning.key.public_part().spki(), input);
  auto text = std::string{crypto::view(mac)};
  refuses_credential(input + "." + crypto::base64url(text + text), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "algorithm ES256 in the header, over the signature of an Ed25519 root") {
  signatures_max = 1; // the algorithm is the key's: nothing is tried
  auto header = replaced(good_header(), "EdDSA", "ES256");
  refuses_credential(signed_by_root(header, claims()), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "the attacker's key inside the header") {
  signatures_max = 0;
  auto header = replaced(good_header(), "{", R"({"jwk":)" + attacker.key.public_part().jwk() + ",");
  refuses_credential(forged_jws(attacker.key, header, claims()), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "an address where the key can be fetched") {
  signatures_max = 0;
  auto header = replaced(good_header(), "{", R"({"jku":"http://127.0.0.1/keys",)");
  refuses_credential(forged_jws(attacker.key, header, claims()), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "a critical extension, and a payload that is not encoded") {
  signatures_max = 0;
  auto header = replaced(good_header(), "{", R"({"crit":["b64"],"b64":false,)");
  refuses_credential(signed_by_root(header, claims()), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "two algorithms in one header") {
  signatures_max = 0;
  auto header = replaced(good_header(), "{", R"({"alg":"none",)");
  refuses_credential(signed_by_root(header, claims()), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "a revocation list in place of a credential") {
  signatures_max = 0;
  auto list = at.world.provisioning.revocation_list(1'000, {}, wall_ms() / 1'000);
  refuses_credential(list->text.substr(0, list->text.find('~')), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "claims of a credential under the type of a list") {
  signatures_max = 0;
  auto header = replaced(good_header(), "rvi-cred+jwt", "rvi-crl+jwt");
  refuses_credential(signed_by_root(header, claims()), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "a token of the same root for something else") {
  signatures_max = 0;
  auto header = replaced(good_header(), "rvi-cred+jwt", "JWT");
  refuses_credential(signed_by_root(header, claims()), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "a type that does not exist yet") {
  signatures_max = 0;
  auto header = replaced(good_header(), "rvi-cred+jwt", "rvi-future+jwt");
  refuses_credential(signed_by_root(header, claims()), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "claims given twice, so that two readers see different rights") {
  signatures_max = 0;
  auto claims = replaced(this->claims(), "{\"ver\"", R"({"destinations":["jlr.com/cloud"],"ver")");
  refuses_credential(signed_by_root(good_header(), claims), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "claims given twice, once with an escaped letter") {
  signatures_max = 0;
  auto claims
    = replaced(this->claims(), "{\"ver\"", R"({"\u0064estinations":["jlr.com/cloud"],"ver")");
  refuses_credential(signed_by_root(good_header(), claims), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "a key given twice in the confirmation claim") {
  signatures_max = 0;
  auto claims = replaced(this->claims(), R"("cnf":{)",
                         R"("cnf":{"jwk":)" + at.vehicle.key.public_part().jwk() + ",");
  refuses_credential(signed_by_root(good_header(), claims), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "a subject that is not the confirmed key") {
  signatures_max = 0;
  auto claims
    = replaced(this->claims(), attacker_uid(), to_string(at.vehicle.key.public_part().uid()));
  refuses_credential(signed_by_root(good_header(), claims), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "a key of small order, for which anybody can sign") {
  signatures_max = 0;
  auto neutral = std::string("\1", 1) + std::string(31, '\0');
  auto jwk = R"({"crv":"Ed25519","kty":"OKP","x":")" + crypto::base64url(neutral) + "\"}";
  auto claims = replaced(this->claims(), attacker.key.public_part().jwk(), jwk);
  refuses_credential(signed_by_root(good_header(), claims), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "an ES256 signature turned into its twin") {
  signatures_max = 1; // not worth a look either
  attacker.address = "acme.com/vin/666";
  auto good = of_acme({attacker.address})->text;
  auto signature = part_of(good, 2);
  refuses_credential(good.substr(0, good.rfind('.') + 1) + crypto::base64url(high_s(signature)),
                     "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "another text for the same bytes, so that no list names it") {
  signatures_max = 0;
  // The last character of 64 bytes carries four bits that must be zero.
  auto text = attacker.credential->text;
  constexpr std::string_view alphabet
    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  text.back() = alphabet[alphabet.find(text.back()) + 1];
  refuses_credential(text, "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "padding and white space around the same bytes") {
  signatures_max = 0;
  refuses_credential(attacker.credential->text + "==", "credential_invalid");
  refuses_credential(attacker.credential->text + "\n", "credential_invalid");
  refuses_credential(attacker.credential->text + ".", "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "a version of credentials that does not exist yet") {
  signatures_max = 0;
  auto claims = replaced(this->claims(), R"("ver":1)", R"("ver":2)");
  refuses_credential(signed_by_root(good_header(), claims), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "a certificate without an id, which nobody could revoke") {
  signatures_max = 0;
  auto claims = replaced(this->claims(), R"("jti":")" + attacker.credential->id, R"("jti":")");
  refuses_credential(signed_by_root(good_header(), claims), "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "claims about delegation in another form than is written down") {
  signatures_max = 0;
  for (auto* more : {R"({"del":{"depth":3},"ver")", R"({"del":4,"ver")", R"({"par":"","ver")",
                     R"({"par":null,"ver")"})
    refuses_credential(signed_by_root(good_header(), replaced(claims(), "{\"ver\"", more)),
                       "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "five credentials, so that there is more to check") {
  signatures_max = 0;
  auto body = attacker.body();
  for (int i = 0; i < 4; ++i)
    body.add_credentials(attacker.credential->text);
  refuses(body.SerializeAsString(), "limit_exceeded");
}

TEST_CASE_FIXTURE(fixture, "four credentials of which the last is forged") {
  auto body = attacker.body();
  for (int i = 0; i < 2; ++i)
    body.add_credentials(attacker.credential->text);
  body.add_credentials(forged_jws(attacker.key, good_header(), claims()));
  refuses(body.SerializeAsString(), "credential_invalid");
  signatures_max = 5; // the session's, and one for each credential
}

TEST_SUITE_END();
