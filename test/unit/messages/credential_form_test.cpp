// SPDX-License-Identifier: MPL-2.0
//
// Credentials in COSE: the twin of the JWS says the same, and nothing is accepted twice.

#include "messages/rights.hpp"
#include "test/support/authority.hpp"
#include "test/support/cose_claims.hpp"

#include <doctest/doctest.h>

#include <functional>

using namespace rvi;

namespace {

constexpr uint64_t now_ms = 1'795'000'001'000;
constexpr uint64_t now_s = now_ms / 1'000;

crypto::private_key new_key(crypto::algorithm x = crypto::algorithm::ed25519) {
  return *crypto::private_key::generate(x);
}

struct fixture {
  fixture() { (void)anchors.add(root.anchor()); }

  credential_claims claims() const {
    auto x = root.claims(vehicle.public_part(), {"jlr.com/vin/1234"},
                         {"rpc:jlr.com/cloud/media_server"}, now_s);
    x.id = "b674546e-76ae-4204-b551-3f850fbffb4b";
    return x;
  }

  ec verdict(const std::string& text) const {
    auto x = accept_credential(text, anchors, now_ms);
    return x ? ec::none : code_of(x.error());
  }

  /// Of a credential whose claims were changed and signed again.
  ec changed(const std::function<void(test::cose_claims&)>& change) const {
    test::cose_claims x{plain()};
    change(x);
    return verdict(x.signed_by(root.key));
  }

  credential_claims plain() const {
    auto x = claims();
    x.id = "a1";
    return x;
  }

  test::authority root;
  crypto::private_key vehicle = new_key();
  trust_anchors anchors;
};

/// RFC 8410's example of an Ed25519 key, so that signatures repeat.
crypto::private_key fixed_key() {
  auto key = crypto::private_key::from_pem(
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
    "-----END PRIVATE KEY-----\n");
  REQUIRE(key);
  return *key;
}

} // namespace

TEST_SUITE_BEGIN("credential forms");

TEST_CASE("a credential in COSE has these bytes for ever") {
  credential_claims x;
  x.issuer = "jlr.com";
  x.id = "b674546e-76ae-4204-b551-3f850fbffb4b";
  x.issued_s = 1'403'825'201;
  x.not_before_s = 1'401'918'299;
  x.expires_s = 1'402'000'000;
  x.key = fixed_key().public_part();
  x.sources = {"jlr.com/cloud/media_server"};
  x.destinations = {"rpc:jlr.com/vin/+/services/media_player"};
  auto credential = issue_credential(x, fixed_key(), credential_format::cose);
  REQUIRE(credential);
  auto signed_part = crypto::parse_cose((*credential)->text);
  REQUIRE(signed_part);
  CHECK(crypto::hex(signed_part->payload)
        == "a701676a6c722e636f6d041a5390d280051a538f935b061a53acac310750b674546e76ae4204b5513f85"
           "0fbffb4b08a101a30101200621582019bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38"
           "ad703166e13a00010000a401010250a1e9156054e04fac899ae9f275132cdc0481781a6a6c722e636f6d"
           "2f636c6f75642f6d656469615f736572766572058178277270633a6a6c722e636f6d2f76696e2f2b2f73"
           "657276696365732f6d656469615f706c61796572");
  CHECK(crypto::hex((*credential)->hash)
        == "48cfaddec35945187662fc31a94d75003d8ade8d05cd42d3c7c91e271435cc02");
  // All that a credential can claim.
  x.id = "not a UUID";
  x.relay = {"jlr.com/mobile"};
  x.users = {"owner"};
  x.administrator = true;
  x.delegations = 1;
  auto full = issue_credential(x, fixed_key(), credential_format::cose);
  REQUIRE(full);
  CHECK(crypto::hex(crypto::parse_cose((*full)->text)->payload)
        == "a601676a6c722e636f6d041a5390d280051a538f935b061a53acac3108a101a30101200621582019bf44"
           "096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e13a00010000a901010250a1e915"
           "6054e04fac899ae9f275132cdc036a6e6f74206120555549440481781a6a6c722e636f6d2f636c6f7564"
           "2f6d656469615f736572766572058178277270633a6a6c722e636f6d2f76696e2f2b2f73657276696365"
           "732f6d656469615f706c6179657206816e6a6c722e636f6d2f6d6f62696c650781656f776e657208f509"
           "01");
  x.administrator = false;
  x.delegations = 0;
  auto derived = delegate_credential(x, *full, fixed_key());
  REQUIRE(derived);
  CHECK(crypto::hex((*derived)->hash)
        == "8530616c22d8125a6a044c998efa290f5202cf89638db84ae1c89fa77f681513");
}

TEST_CASE_FIXTURE(fixture, "a twin says the same in less than half the bytes, under one id") {
  auto x = claims();
  x.relay = {"jlr.com/mobile"};
  x.users = {"owner", "valet"};
  x.administrator = true;
  x.delegations = 3;
  SUBCASE("a UUID") {}
  SUBCASE("another id") {
    x.id = "B674546E-76AE-4204-B551-3F850FBFFB4B"; // upper case is another text
  }
  SUBCASE("16 letters") {
    x.id = "0123456789abcdef";
  }
  SUBCASE("a key of the other kind") {
    x.key = new_key(crypto::algorithm::es256).public_part();
  }
  auto jws = root.issue(x);
  auto cose = root.issue(x, credential_format::cose);
  REQUIRE((jws && cose));
  CHECK(jws->format == credential_format::jws);
  CHECK(cose->format == credential_format::cose);
  CHECK(cose->text.size() * 2 < jws->text.size());
  CHECK(cose->id == jws->id);
  CHECK(cose->revocation == jws->revocation);
  CHECK(cose->holder_revocation == jws->holder_revocation);
  CHECK(cose->hash == crypto::view(crypto::sha256(cose->text)));
  CHECK(cose->hash != jws->hash);
  CHECK(cose->key_id == jws->key_id);
  CHECK(cose->algorithm == jws->algorithm);
  CHECK(cose->key.spki() == jws->key.spki());
  CHECK(cose->issued_s == jws->issued_s);
  CHECK(cose->not_before_s == jws->not_before_s);
  CHECK(cose->expires_s == jws->expires_s);
  CHECK(cose->sources == jws->sources);
  CHECK(cose->destinations == jws->destinations);
  CHECK(cose->relay == jws->relay);
  CHECK(cose->users == jws->users);
  CHECK(cose->administrator);
  CHECK(cose->delegations == 3);
  CHECK(verdict(cose->text) == ec::none);
  auto again = parse_credential(cose->text);
  REQUIRE(again);
  CHECK((*again)->hash == cose->hash);
}

TEST_CASE("a root of either algorithm signs COSE, and only its own") {
  for (auto algorithm : {crypto::algorithm::ed25519, crypto::algorithm::es256}) {
    auto root = new_key(algorithm);
    trust_anchors anchors;
    REQUIRE_FALSE(anchors.add(trust_anchor_json("jlr.com", root.public_part())));
    test::authority made;
    made.key = root;
    auto x = made.issue(made.claims(new_key().public_part(), {"jlr.com/vin/1"}, {}, now_s),
                        credential_format::cose);
    REQUIRE(x);
    CHECK_FALSE(verify_credential(*x, anchors));
    for (size_t i = 0; i < x->text.size(); i += 7) {
      auto text = x->text;
      text[i] = static_cast<char>(text[i] ^ 4);
      CHECK_FALSE(accept_credential(text, anchors, now_ms));
    }
  }
}

TEST_CASE_FIXTURE(fixture, "one entry of a list revokes both forms") {
  auto jws = root.issue(claims());
  auto cose = root.issue(claims(), credential_format::cose);
  for (auto& named : {jws, cose}) {
    rights own;
    own.anchors = anchors;
    auto list = root.revocation_list(1, {revocation_entry_of(*named)}, now_s);
    REQUIRE(list);
    auto next = accept_revocation_list(list->text, {}, own.anchors);
    REQUIRE(next);
    auto sets = std::make_shared<revocation_sets>();
    (*sets)["jlr.com"] = *next;
    own.revocations = sets;
    CHECK(own.revoked(*jws));
    CHECK(own.revoked(*cose));
  }
}

TEST_CASE_FIXTURE(fixture, "what stands written in JSON and files is text, and is read again") {
  auto jws = root.issue(claims());
  auto cose = root.issue(claims(), credential_format::cose);
  CHECK(written_form(*jws) == jws->text);
  auto text = written_form(*cose);
  CHECK(text == "cose:" + crypto::base64url(cose->text));
  CHECK((*parse_written_credential(text))->hash == cose->hash);
  CHECK((*parse_written_credential(jws->text))->hash == jws->hash);
  auto refused = [](const std::string& x) {
    auto result = parse_written_credential(x);
    return !result && code_of(result.error()) == ec::credential_invalid;
  };
  CHECK(refused(cose->text));
  CHECK(refused("cose:"));
  CHECK(refused("cose:" + crypto::base64url(jws->text)));
  CHECK(refused("cose:" + jws->text));
  CHECK(refused(text + "="));
  CHECK(refused(text + "\n"));
  CHECK(refused("COSE:" + text.substr(5)));
  CHECK(refused(""));
  // The wire has bytes.
  CHECK_FALSE(parse_credential(text));
}

TEST_CASE_FIXTURE(fixture, "claims in COSE are held to the rules of the others") {
  CHECK(changed([](auto&) {}) == ec::none);
  auto refused = [this](const std::function<void(test::cose_claims&)>& change) {
    return changed(change) == ec::credential_invalid;
  };
  for (int64_t label : {1, 4, 5, 6, 8})
    CHECK_MESSAGE(refused([label](auto& x) { x.drop_standard(label); }), label);
  for (int64_t label : {1, 2, 3})
    CHECK_MESSAGE(refused([label](auto& x) { x.drop_own(label); }), label);
  using test::cbor_bytes, test::cbor_number, test::cbor_text, test::cbor_texts;
  CHECK(refused([](auto& x) { x.standard(1) = cbor_bytes("jlr.com"); }));
  CHECK(refused([](auto& x) { x.standard(1) = cbor_text("JLR.com"); }));
  CHECK(refused([](auto& x) { x.standard(4) = cbor_text("1795000100"); }));
  CHECK(refused([](auto& x) { x.standard(5) = cbor_number(-1); }));
  CHECK(refused([](auto& x) { x.standard(4) = x.standard(5); }));
  CHECK(refused([](auto& x) { x.standard(4) = cbor_number(99'999'999'999); }));
  CHECK(refused([](auto& x) { x.own(1) = cbor_number(2); }));
  CHECK(refused([](auto& x) { x.own(3) = cbor_text(""); }));
  CHECK(refused([](auto& x) { x.own(3) = cbor_text(std::string(129, 'x')); }));
  CHECK(refused([](auto& x) { x.own(3) = cbor_bytes("a1"); }));
  for (int64_t label : {4, 5, 6})
    for (auto& list :
         {cbor_text("jlr.com/a"), cbor_number(1), cbor_texts({"a//b"}), std::string{"\x81\x01"},
          cbor_texts(std::vector<std::string>(257, "jlr.com/vin/1"))})
      CHECK_MESSAGE(refused([&](auto& x) { x.own(label) = list; }), label);
  CHECK(changed([](auto& x) { x.own(5) = cbor_texts({"acme.com/cloud"}); }) == ec::unknown_issuer);
  CHECK(refused([](auto& x) { x.own(7) = cbor_text("owner"); }));
  CHECK(refused([](auto& x) { x.own(7) = "\x81\x01"; }));
  CHECK(refused([](auto& x) { x.own(9) = cbor_number(4); }));
  CHECK(refused([](auto& x) { x.own(9) = cbor_text("1"); }));
  CHECK(refused([](auto& x) { x.own(10) = cbor_bytes(std::string(32, 'h')); })); // nothing there
  CHECK(refused([](auto& x) { x.own(10) = cbor_bytes(""); }));
  CHECK(refused([](auto& x) { x.own(10) = cbor_text(""); }));
  // What is no claim of ours is not looked at, in a JWS neither.
  CHECK(changed([](auto& x) { x.standard(39) = cbor_text("future"); }) == ec::none);
  CHECK(changed([](auto& x) { x.own(100) = cbor_text("future"); }) == ec::none);
}

TEST_CASE_FIXTURE(fixture, "who it is about stands in one place, in one way") {
  using test::cbor_bytes, test::cbor_text;
  auto refused = [this](const std::function<void(test::cose_claims&)>& change) {
    return changed(change) == ec::credential_invalid;
  };
  auto other = new_key().public_part();
  CHECK(refused([&](auto& x) { x.own(2) = cbor_bytes(crypto::view(other.uid())); }));
  CHECK(refused([&](auto& x) { x.own(2) = cbor_text(to_string(vehicle.public_part().uid())); }));
  CHECK(
    refused([&](auto& x) { x.standard(2) = cbor_text(to_string(vehicle.public_part().uid())); }));
  CHECK(refused([&](auto& x) { x.standard(2) = cbor_bytes(crypto::view(other.uid())); }));
  CHECK(refused([&](auto& x) { x.standard(8) = test::cbor_cnf(other); }));
  CHECK(refused([&](auto& x) { x.standard(8) = cbor_bytes(vehicle.public_part().spki()); }));
  // kid (3) beside the key (1)
  CHECK(refused([&](auto& x) {
    auto cnf = test::cbor_cnf(vehicle.public_part());
    x.standard(8) = "\xa2" + cnf.substr(1) + test::cbor_number(3) + cbor_bytes("kid");
  }));
}

TEST_CASE_FIXTURE(fixture, "an id has one encoding, so that one entry revokes it") {
  using test::cbor_bytes, test::cbor_text;
  auto uuid = *crypto::unhex("b674546e76ae4204b5513f850fbffb4b");
  auto in_cti = [&](auto& x) {
    x.drop_own(3);
    x.standard(7) = cbor_bytes(uuid);
  };
  CHECK(changed(in_cti) == ec::none);
  auto refused = [this](const std::function<void(test::cose_claims&)>& change) {
    return changed(change) == ec::credential_invalid;
  };
  CHECK(refused([](auto& x) { x.own(3) = cbor_text("b674546e-76ae-4204-b551-3f850fbffb4b"); }));
  CHECK(refused([&](auto& x) { x.standard(7) = cbor_bytes(uuid); })); // and text
  CHECK(refused([&](auto& x) {
    in_cti(x);
    x.standard(7) = cbor_bytes(uuid.substr(1));
  }));
  CHECK(refused([&](auto& x) {
    in_cti(x);
    x.standard(7) = cbor_text("a1");
  }));
}

TEST_CASE_FIXTURE(fixture, "claims that are encoded in another way are refused") {
  auto payload = test::cose_claims{plain()}.payload();
  auto refused = [this](const std::string& claims) {
    return verdict(*crypto::sign_cose(root.key, "application/rvi-cred+cwt",
                                      crypto::view(root.key.public_part().uid()), claims))
           == ec::credential_invalid;
  };
  CHECK_FALSE(refused(payload));
  CHECK(refused(payload + '\0'));
  CHECK(refused(payload.substr(0, payload.size() - 1)));
  CHECK(refused("\xb8\x06" + payload.substr(1)));                    // a long count
  CHECK(refused("\xbf" + payload.substr(1) + "\xff"));               // no count
  CHECK(refused("\xa7" + payload.substr(1, 9) + payload.substr(1))); // iss twice
  CHECK(refused("\xd8\x3d" + payload));                              // tag 61 (RFC 8392 6)
  CHECK(refused(""));
  CHECK(refused(R"({"ver":1})"));
}

TEST_CASE_FIXTURE(fixture, "the type and kid of COSE are those of a credential") {
  test::cose_claims x{plain()};
  CHECK(verdict(x.signed_by(root.key)) == ec::none);
  for (auto* type :
       {"rvi-cred+jwt", "rvi-cred+cwt", "application/cwt", "application/rvi-grant+cwt"})
    CHECK(verdict(x.signed_by(root.key, type)) == ec::credential_invalid);
  auto with_kid = [&](std::string_view kid) {
    return verdict(*crypto::sign_cose(root.key, "application/rvi-cred+cwt", kid, x.payload()));
  };
  CHECK(with_kid(to_string(root.key.public_part().uid())) == ec::unknown_issuer);
  CHECK(with_kid(crypto::view(vehicle.public_part().uid())) == ec::unknown_issuer);
  // The root's name over another key's signature.
  auto forged = *crypto::sign_cose(vehicle, "application/rvi-cred+cwt",
                                   crypto::view(root.key.public_part().uid()), x.payload());
  CHECK(verdict(forged) == ec::credential_invalid);
}

TEST_CASE_FIXTURE(fixture, "a chain in COSE is a sequence that narrows") {
  auto first_claims = claims();
  first_claims.delegations = 2;
  auto jws = root.issue(first_claims);
  auto cose = root.issue(first_claims, credential_format::cose);
  auto garage = new_key();
  auto mechanic = new_key();
  auto next = first_claims;
  next.key = garage.public_part();
  next.id = "second";
  next.delegations = 1;
  auto second = delegate_credential(next, cose, vehicle);
  REQUIRE(second);
  auto& x = **second;
  CHECK(x.format == credential_format::cose);
  CHECK(x.chain_length() == 2);
  CHECK(x.text.ends_with(cose->text));
  CHECK(x.parent->hash == cose->hash);
  CHECK(verdict(x.text) == ec::none);
  next.key = mechanic.public_part();
  next.delegations = 0;
  auto third = delegate_credential(next, *second, garage);
  REQUIRE(third);
  CHECK(verdict((*third)->text) == ec::none);
  CHECK((*parse_written_credential(written_form(**third)))->hash == (*third)->hash);
  CHECK(verdict((*third)->text) == ec::none);

  auto leaf = x.text.substr(0, x.text.size() - cose->text.size());
  auto jws_second = delegate_credential(
    [&] {
      auto y = next;
      y.key = garage.public_part();
      return y;
    }(),
    jws, vehicle);
  REQUIRE(jws_second);
  auto jws_leaf = (*jws_second)->text.substr(0, (*jws_second)->text.find(','));
  auto refused
    = [this](const std::string& text) { return verdict(text) == ec::credential_invalid; };
  CHECK(refused(leaf));                    // without what it came from
  CHECK(refused(leaf + "," + cose->text)); // nothing between them
  CHECK(refused(leaf + jws->text));        // the twin of what it came from
  CHECK(refused(leaf + "," + jws->text));
  CHECK(refused(jws_leaf + "," + cose->text));
  CHECK(refused(jws_leaf + cose->text));
  CHECK(refused(cose->text + cose->text)); // without par
  CHECK(refused(x.text + cose->text));
  CHECK(refused(x.text.substr(0, x.text.size() - 1)));
  CHECK(refused(x.text + '\0'));
  CHECK(refused((*third)->text.substr(0, (*third)->text.size() - cose->text.size())));
  // Five in a row, whatever they say.
  std::string many;
  for (int i = 0; i < 5; ++i)
    many += cose->text;
  CHECK(refused(many));
}

TEST_CASE_FIXTURE(fixture, "a delegated credential in COSE gives no more than the one before") {
  auto first_claims = claims();
  first_claims.delegations = 1;
  auto first = root.issue(first_claims, credential_format::cose);
  auto next = first_claims;
  next.delegations = 0;
  auto signed_by_holder = [&](const std::function<void(test::cose_claims&)>& change,
                              const crypto::private_key& holder) {
    test::cose_claims x{next};
    x.drop_own(3);
    x.standard(7) = test::cbor_bytes(std::string(16, 'i'));
    x.own(10) = test::cbor_bytes(first->hash);
    change(x);
    return verdict(x.signed_by(holder) + first->text);
  };
  CHECK(signed_by_holder([](auto&) {}, vehicle) == ec::none);
  CHECK(signed_by_holder([](auto&) {}, root.key) == ec::credential_invalid);
  CHECK(signed_by_holder([](auto& x) { x.own(8) = "\xf5"; }, vehicle) == ec::credential_invalid);
  CHECK(signed_by_holder([](auto& x) { x.own(9) = "\1"; }, vehicle) == ec::credential_invalid);
  CHECK(signed_by_holder([](auto& x) { x.own(5) = test::cbor_texts({"jlr.com/cloud"}); }, vehicle)
        == ec::credential_invalid);
  CHECK(signed_by_holder(
          [&](auto& x) { x.standard(4) = test::cbor_number(int64_t(next.expires_s) + 1); }, vehicle)
        == ec::credential_invalid);
  CHECK(
    signed_by_holder([](auto& x) { x.own(10) = test::cbor_bytes(std::string(32, 'h')); }, vehicle)
    == ec::credential_invalid);
}

TEST_CASE_FIXTURE(fixture, "16 KiB is the limit in either form") {
  auto x = claims();
  x.sources.assign(200, "jlr.com/vin/1234/" + std::string(40, 'x'));
  CHECK(issue_credential(x, root.key, credential_format::cose));
  CHECK(code_of(issue_credential(x, root.key).error()) == ec::bad_request);
  x.sources.assign(200, "jlr.com/vin/1234/" + std::string(80, 'x'));
  CHECK(code_of(issue_credential(x, root.key, credential_format::cose).error()) == ec::bad_request);
  CHECK_FALSE(parse_credential("\xd2" + std::string(credential_bytes_max, 'x')));
}

TEST_CASE_FIXTURE(fixture, "an id that is not UTF-8 is not issued") {
  auto x = claims();
  x.id = "\xff\xfe";
  CHECK(code_of(issue_credential(x, root.key, credential_format::cose).error()) == ec::bad_request);
}

TEST_SUITE_END();
