// SPDX-License-Identifier: MPL-2.0
//
// Forged, foreign and ambiguous credentials in COSE, and what somebody might hope for who has a
// credential in both forms. The attacker may choose every byte but what the roots sign.

#include "messages/transaction_id.hpp"
#include "runtime/crypto/cose.hpp"
#include "test/attacks/attack.hpp"
#include "test/support/cose_claims.hpp"

#include <doctest/doctest.h>

#include <functional>

using namespace rvi;
using namespace rvi::test;
using ::test::cbor_bytes, ::test::cbor_number, ::test::cbor_text, ::test::cbor_texts;
using ::test::cose_claims;

namespace {

constexpr std::string_view cose_type = "application/rvi-cred+cwt";

struct fixture : attack {
  const crypto::private_key& root() const { return at.world.provisioning.key; }

  credential_ptr twin() const {
    return at.world.provisioning.issue(*attacker.credential, credential_format::cose);
  }

  /// The attacker's claims, with what was changed, signed by the root after all.
  std::string changed(const std::function<void(cose_claims&)>& change) const {
    cose_claims x{*attacker.credential};
    change(x);
    return x.signed_by(root());
  }

  void refuses_changed(const std::function<void(cose_claims&)>& change) {
    signatures_max = 0;
    refuses_credential(changed(change), "credential_invalid");
  }

  void refuses_invalid(const std::string& bytes) {
    signatures_max = 0;
    refuses_credential(bytes, "credential_invalid");
  }

  std::string kid() const { return std::string{crypto::view(root().public_part().uid())}; }

  /// A header of alg, kid and typ, and what is between or after them as it is.
  static std::string header(size_t members, const std::string& alg, const std::string& kid,
                            const std::string& more = {}) {
    return cbor::writer{}.map(members).take() + cbor_number(1) + alg + cbor_number(4)
           + cbor_bytes(kid) + cbor_number(16) + cbor_text(cose_type) + more;
  }

  /// Four parts, rightly signed over these (RFC 9052 4.4).
  static std::string
  signed_parts(const crypto::private_key& key, const std::string& protected_header,
               const std::string& payload, const std::string& unprotected = "\xa0") {
    cbor::writer input;
    input.array(4).text("Signature1").bytes(protected_header).bytes("").bytes(payload);
    return parts(protected_header, unprotected, payload, *key.sign(input.written()));
  }

  static std::string parts(const std::string& protected_header, const std::string& unprotected,
                           const std::string& payload, const std::string& signature) {
    return "\xd2\x84" + cbor_bytes(protected_header) + unprotected + cbor_bytes(payload)
           + cbor_bytes(signature);
  }

  std::string payload() const { return cose_claims{*attacker.credential}.payload(); }
};

std::string eddsa() {
  return cbor_number(-8);
}

} // namespace

TEST_SUITE_BEGIN("attacks: credentials in COSE" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a good twin passes, so that the refusals below mean something") {
  attacker.credential = twin();
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  attacker.credential
    = *parse_credential(signed_parts(root(), header(3, eddsa(), kid()), payload()));
  hostile_peer again{at.cloud_port};
  again.come_up(attacker);
  signatures_max = 4;
}

TEST_CASE_FIXTURE(fixture, "the twin of a revoked credential") {
  auto twin = this->twin();
  at.revoke({revocation_entry_of(*attacker.credential)});
  not_counted();
  signatures_max = 0;
  refuses_credential(twin->text, "revoked");
  refuses_attacker("revoked");
}

TEST_CASE_FIXTURE(fixture, "a twin with another key under the same id") {
  // The root has signed it for the vehicle; the attacker holds what it has seen on the wire.
  auto claims = *attacker.credential;
  claims.key = at.vehicle.key.public_part();
  auto theirs = at.world.provisioning.issue(claims, credential_format::cose);
  signatures_max = 0;
  refuses_credential(theirs->text, "unauthorized");
  // With the attacker's key put into it the signature is over something else.
  cose_claims mine{*theirs};
  mine.standard(8) = ::test::cbor_cnf(attacker.key.public_part());
  mine.own(2) = cbor_bytes(crypto::view(attacker.key.public_part().uid()));
  auto signature = *crypto::parse_cose(theirs->text);
  signatures_max = 2;
  refuses_credential(parts(header(3, eddsa(), kid()), "\xa0", mine.payload(), signature.signature),
                     "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "the root's name over the attacker's own signature") {
  refuses_credential(signed_parts(attacker.key, header(3, eddsa(), kid()), payload()),
                     "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "the signature of the JWS under its twin") {
  auto signature = part_of(attacker.credential->text, 2);
  refuses_credential(parts(header(3, eddsa(), kid()), "\xa0", payload(), signature),
                     "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "ES256 in the header of COSE, over the signature of an Ed25519 root") {
  signatures_max = 1; // the algorithm is the key's: nothing is tried
  refuses_credential(signed_parts(root(), header(3, cbor_number(-7), kid()), payload()),
                     "credential_invalid");
}

TEST_CASE_FIXTURE(fixture, "a MAC, with the root's public key as the secret") {
  auto protected_header = header(3, cbor_number(5), kid()); // HMAC 256/256
  cbor::writer input;
  input.array(4).text("MAC0").bytes(protected_header).bytes("").bytes(payload());
  auto mac = crypto::hmac_sha256(root().public_part().spki(), input.written());
  auto tag = std::string{crypto::view(mac)};
  refuses_invalid(parts(protected_header, "\xa0", payload(), tag + tag));
  // COSE_Mac0 is tag 17.
  refuses_invalid("\xd1" + parts(protected_header, "\xa0", payload(), tag).substr(1));
}

TEST_CASE_FIXTURE(fixture, "no algorithm, or one for which nobody has a key") {
  for (auto& alg :
       {cbor_number(0), cbor_number(-257), cbor_number(-35), cbor_text("EdDSA"), cbor_text("none")})
    refuses_invalid(signed_parts(root(), header(3, alg, kid()), payload()));
}

TEST_CASE_FIXTURE(fixture, "the algorithm and the kid in the header that nobody signs") {
  auto unprotected = cbor::writer{}.map(1).take() + cbor_number(1) + cbor_number(-7);
  refuses_invalid(signed_parts(root(), header(3, eddsa(), kid()), payload(), unprotected));
  unprotected = cbor::writer{}.map(1).take() + cbor_number(4)
                + cbor_bytes(crypto::view(attacker.key.public_part().uid()));
  refuses_invalid(signed_parts(attacker.key, header(3, eddsa(), kid()), payload(), unprotected));
}

TEST_CASE_FIXTURE(fixture, "the attacker's key or certificate inside the header of COSE") {
  cbor::writer key;
  crypto::write_cose_key(key, attacker.key.public_part());
  for (auto& more :
       {cbor_number(33) + cbor_bytes("certificate"), cbor_number(35) + cbor_text("http://x"),
        cbor_number(-1) + key.written(), cbor_number(99) + cbor_bytes("")})
    refuses_invalid(signed_parts(attacker.key, header(4, eddsa(), kid(), more), payload()));
}

TEST_CASE_FIXTURE(fixture, "a critical extension") {
  auto crit = cbor::writer{}.map(4).take() + cbor_number(1) + eddsa() + cbor_number(2) + "\x81\x04"
              + cbor_number(4) + cbor_bytes(kid()) + cbor_number(16) + cbor_text(cose_type);
  refuses_invalid(signed_parts(root(), crit, payload()));
}

TEST_CASE_FIXTURE(fixture, "the same claims in another encoding, so that no hash names them") {
  auto all = payload();
  auto by_root = [&](const std::string& claims) {
    return signed_parts(root(), header(3, eddsa(), kid()), claims);
  };
  REQUIRE(parse_credential(by_root(all)));
  refuses_invalid(by_root("\xb8\x06" + all.substr(1)));                // a count that is too long
  refuses_invalid(by_root("\xbf" + all.substr(1) + "\xff"));           // no count
  refuses_invalid(by_root(all + '\0'));                                // something after it
  refuses_invalid(by_root("\xa7" + all.substr(1, 9) + all.substr(1))); // the issuer twice
  // The issuer after the end of validity.
  refuses_invalid(
    by_root(all.substr(0, 1) + all.substr(10, 6) + all.substr(1, 9) + all.substr(16)));
  refuses_invalid(by_root("\xd8\x3d" + all)); // the tag of a CWT
  auto good = by_root(all);
  refuses_invalid(good.substr(1));
  refuses_invalid("\xd8\x12" + good.substr(1)); // tag 18 in two bytes
  refuses_invalid("\xd8\x3d" + good);
  refuses_invalid(good + '\0');
  refuses_invalid(good + good);
  refuses_invalid("\xd2\x98\x04" + good.substr(2));
  refuses_invalid("\xd2\x9f" + good.substr(2) + "\xff");
  refuses_invalid(good.substr(0, good.size() - 1));
}

TEST_CASE_FIXTURE(fixture, "lists within lists, and lengths beyond all memory") {
  refuses_invalid("\xd2" + std::string(16'000, '\x81'));
  refuses_invalid("\xd2\x84\x5b" + std::string(8, '\xff'));
  refuses_invalid("\xd2\x9b" + std::string(8, '\xff'));
  auto deep = std::string(16, '\x81') + "\1";
  refuses_changed([&](auto& x) { x.own(100) = deep; });
  refuses_changed([](auto& x) { x.own(4) = "\x9a\xff\xff\xff\xff"; });
}

TEST_CASE_FIXTURE(fixture, "texts that are not UTF-8, floats and null") {
  refuses_changed([](auto& x) { x.own(3) = "\x62\xc3\x28"; });
  refuses_changed([](auto& x) { x.own(4) = "\x81\x61\xff"; });
  refuses_changed([](auto& x) { x.standard(4) = "\xfb\x41\xda\xbf\x35\x44\x11\x11\x11"; });
  refuses_changed([](auto& x) { x.own(7) = "\xf6"; });
}

TEST_CASE_FIXTURE(fixture, "whose credential it is, said in two ways") {
  auto victim = at.vehicle.key.public_part();
  refuses_changed([&](auto& x) { x.standard(2) = cbor_text(to_string(victim.uid())); });
  refuses_changed([&](auto& x) { x.own(2) = cbor_bytes(crypto::view(victim.uid())); });
  refuses_changed([&](auto& x) { x.standard(7) = cbor_bytes(std::string(16, 'i')); });
  refuses_changed([](auto& x) { x.own(3) = cbor_text("b674546e-76ae-4204-b551-3f850fbffb4b"); });
}

TEST_CASE_FIXTURE(fixture, "claims that only look like a credential's") {
  signatures_max = 0;
  cose_claims good{*attacker.credential};
  for (auto* type : {"application/cwt", "rvi-cred+jwt", "application/rvi-crl+cwt"})
    refuses_credential(good.signed_by(root(), type), "credential_invalid");
  refuses_changed([](auto& x) { x.own(1) = cbor_number(2); });
  refuses_changed([](auto& x) { x.own(9) = cbor_number(4); });
  refuses_changed([](auto& x) { x.own(10) = cbor_bytes(std::string(32, 'h')); });
  // A COSE message with the claims of a JWS in it.
  refuses_invalid(signed_parts(root(), header(3, eddsa(), kid()), claims()));
}

TEST_CASE_FIXTURE(fixture, "one organization gives rights to another's names in COSE") {
  signatures_max = 3; // the session's twice, and the root's
  refuses_credential(changed([](auto& x) { x.own(5) = cbor_texts({"acme.com/cloud"}); }),
                     "unknown_issuer");
  refuses_credential(changed([](auto& x) { x.standard(1) = cbor_text("acme.com"); }),
                     "unknown_issuer");
}

TEST_CASE_FIXTURE(fixture, "COSE inside a chain of JWS, and the reverse") {
  auto dealer = *crypto::private_key::generate(crypto::algorithm::ed25519);
  auto& provisioning = at.world.provisioning;
  auto x = provisioning.claims(dealer.public_part(), {attacker.address},
                               {"jlr.com/cloud/media_server"}, wall_ms() / 1'000);
  x.delegations = 1;
  auto jws = provisioning.issue(x);
  auto cose = provisioning.issue(x, credential_format::cose);
  x.delegations = 0;
  x.key = attacker.key.public_part();
  auto jws_chain = (*delegate_credential(x, jws, dealer))->text;
  auto cose_chain = (*delegate_credential(x, cose, dealer))->text;
  auto jws_leaf = jws_chain.substr(0, jws_chain.find(','));
  auto cose_leaf = cose_chain.substr(0, cose_chain.size() - cose->text.size());
  refuses_invalid(jws_leaf + "," + cose->text);
  refuses_invalid(cose_leaf + jws->text);
  refuses_invalid(cose_leaf + "," + jws->text);
  // Also if `par` names what is there.
  cose_claims over_jws{x};
  over_jws.own(10) = cbor_bytes(jws->hash);
  refuses_invalid(over_jws.signed_by(dealer) + jws->text);
  auto claims
    = replaced(part_of(jws_leaf, 1), crypto::base64url(jws->hash), crypto::base64url(cose->hash));
  refuses_invalid(
    *crypto::sign_jws(dealer, "rvi-cred+jwt", to_string(dealer.public_part().uid()), claims) + ","
    + cose->text);
  // So that this was the reason.
  signatures_max = 3;
  not_counted();
  attacker.credential = *parse_credential(cose_chain);
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
}

TEST_CASE_FIXTURE(fixture, "COSE as it stands in files, on the wire") {
  refuses_invalid(written_form(*twin()));
}

TEST_SUITE_END();
