// SPDX-License-Identifier: MPL-2.0
//
// COSE_Sign1: the key decides the algorithm, and each message has one encoding.

#include "keys.hpp"
#include "runtime/crypto/cose.hpp"

#include <doctest/doctest.h>

#include <functional>

using namespace rvi;
using namespace rvi::crypto;
using namespace rvi::crypto::test;

namespace {

const std::string type = "application/t";

std::string header_of(int64_t alg) {
  cbor::writer out;
  out.map(3).integer(1).integer(alg).integer(4).bytes("k").integer(16).text(type);
  return out.take();
}

/// Four parts with these, rightly signed by RFC 9052 4.4; `unprotected` is an item.
std::string signed_with(const private_key& key, std::string_view header,
                        std::string_view payload = "p", std::string_view unprotected = "\xa0") {
  cbor::writer input;
  input.array(4).text("Signature1").bytes(header).bytes("").bytes(payload);
  cbor::writer first;
  first.array(4).bytes(header);
  cbor::writer last;
  last.bytes(payload).bytes(*key.sign(input.written()));
  return "\xd2" + first.take() + std::string{unprotected} + last.take();
}

bool refuses(const std::string& bytes) {
  auto result = parse_cose(bytes);
  return !result && code_of(result.error()) == ec::malformed;
}

} // namespace

TEST_CASE("what is signed as COSE parses and verifies") {
  for (auto& key : {ed25519_key(), p256_key()}) {
    auto bytes = *sign_cose(key, type, "\xff\1", "payload");
    auto x = parse_cose(bytes);
    REQUIRE(x);
    CHECK(x->type == type);
    CHECK(x->key_id == "\xff\1");
    CHECK(x->algorithm == to_string(key.public_part().algorithm()));
    CHECK(x->payload == "payload");
    CHECK(x->signature.size() == 64);
    CHECK(verify(*x, key.public_part()));
    CHECK(bytes.front() == cose_tag);
    CHECK(*first_cose_size(bytes + bytes) == bytes.size());
  }
}

TEST_CASE("a COSE_Sign1 has these bytes for ever") {
  auto bytes = *sign_cose(ed25519_key(), "t", "k", "p");
  CHECK(hex(bytes).substr(0, 32) == "d28449a3012704416b106174a0417058");
  // "Signature1", the header, no external data, the payload
  CHECK(hex(parse_cose(bytes)->signing_input)
        == "846a5369676e61747572653149a3012704416b106174404170");
  CHECK(signed_with(ed25519_key(), header_of(-8)) == *sign_cose(ed25519_key(), type, "k", "p"));
}

TEST_CASE("the header of COSE cannot choose the algorithm") {
  auto ed25519 = ed25519_key();
  auto p256 = p256_key();
  auto claims_es256 = parse_cose(signed_with(ed25519, header_of(-7)));
  REQUIRE(claims_es256);
  CHECK(!verify(*claims_es256, ed25519.public_part()));
  CHECK(!verify(*claims_es256, p256.public_part()));
  auto claims_eddsa = parse_cose(signed_with(p256, header_of(-8)));
  REQUIRE(claims_eddsa);
  CHECK(!verify(*claims_eddsa, p256.public_part()));
  CHECK(!verify(*claims_eddsa, ed25519.public_part()));
  CHECK(!verify(*claims_eddsa, public_key{}));
  // HMAC 256, ES384, ES512, PS256, RS256, ES256K, none at all
  for (int64_t alg : {5, -35, -36, -37, -257, -47, 0})
    CHECK_MESSAGE(refuses(signed_with(ed25519, header_of(alg))), alg);
}

TEST_CASE("a COSE header of the wrong form is refused") {
  auto key = ed25519_key();
  auto header = [&](const std::function<void(cbor::writer&)>& write) {
    cbor::writer out;
    write(out);
    return signed_with(key, out.written());
  };
  auto good = [](cbor::writer& out, size_t more = 0) -> cbor::writer& {
    return out.map(3 + more).integer(1).integer(-8);
  };
  REQUIRE_FALSE(
    refuses(header([&](auto& x) { good(x).integer(4).bytes("k").integer(16).text("t"); })));
  // no kid, no typ, both of another kind or empty
  CHECK(refuses(header([](auto& x) { x.map(2).integer(1).integer(-8).integer(16).text("t"); })));
  CHECK(refuses(header([](auto& x) { x.map(2).integer(1).integer(-8).integer(4).bytes("k"); })));
  CHECK(refuses(header([&](auto& x) { good(x).integer(4).text("k").integer(16).text("t"); })));
  CHECK(refuses(header([&](auto& x) { good(x).integer(4).bytes("").integer(16).text("t"); })));
  CHECK(refuses(header([&](auto& x) { good(x).integer(4).bytes("k").integer(16).text(""); })));
  CHECK(refuses(header([&](auto& x) { good(x).integer(4).bytes("k").integer(16).integer(61); })));
  // alg absent or as text
  CHECK(refuses(header([](auto& x) { x.map(2).integer(4).bytes("k").integer(16).text("t"); })));
  CHECK(refuses(header([](auto& x) {
    x.map(3).integer(1).text("EdDSA").integer(4).bytes("k").integer(16).text("t");
  })));
  // crit (2), content type (3), IV (5), x5chain (33), a key
  for (int64_t label : {2, 3, 5})
    CHECK(refuses(header([&](auto& x) {
      x.map(4).integer(1).integer(-8);
      if (label < 4)
        x.integer(label).array(0).integer(4).bytes("k").integer(16).text("t");
      else
        x.integer(4).bytes("k").integer(label).bytes("i").integer(16).text("t");
    })));
  for (int64_t label : {33, -1, -65'537})
    CHECK(refuses(header([&](auto& x) {
      good(x, 1).integer(4).bytes("k").integer(16).text("t").integer(label).map(0);
    })));
  // no map, nothing, keys out of order, something after it
  CHECK(refuses(signed_with(key, "")));
  CHECK(refuses(signed_with(key, "\x80")));
  CHECK(refuses(header(
    [](auto& x) { x.map(3).integer(4).bytes("k").integer(1).integer(-8).integer(16).text("t"); })));
  CHECK(refuses(signed_with(key, header_of(-8) + '\0')));
}

TEST_CASE("an unprotected header, and parts of another kind, are refused") {
  auto key = ed25519_key();
  auto good = header_of(-8);
  CHECK_FALSE(refuses(signed_with(key, good)));
  cbor::writer kid;
  kid.map(1).integer(4).bytes("k");
  CHECK(refuses(signed_with(key, good, "p", kid.written())));
  CHECK(refuses(signed_with(key, good, "p", "\x80")));
  CHECK(refuses(signed_with(key, good, "p", "\x40")));
  auto parts = [&](const std::function<void(cbor::writer&)>& write) {
    cbor::writer out;
    write(out);
    return cose_tag + out.take();
  };
  auto signature = std::string(64, 's');
  CHECK_FALSE(
    refuses(parts([&](auto& x) { x.array(4).bytes(good).map(0).bytes("p").bytes(signature); })));
  CHECK(refuses(parts([&](auto& x) { x.array(3).bytes(good).map(0).bytes("p"); })));
  CHECK(refuses(
    parts([&](auto& x) { x.array(5).bytes(good).map(0).bytes("p").bytes(signature).bytes(""); })));
  CHECK(refuses(parts([&](auto& x) { x.array(4).map(0).map(0).bytes("p").bytes(signature); })));
  CHECK(refuses(parts([&](auto& x) { x.array(4).bytes(good).map(0).text("p").bytes(signature); })));
  CHECK(refuses(
    parts([&](auto& x) { x.array(4).bytes(good).map(0).boolean(false).bytes(signature); })));
  CHECK(refuses(parts([&](auto& x) { x.array(4).bytes(good).map(0).bytes("p").bytes("short"); })));
  CHECK(refuses(parts([&](auto& x) { x.bytes(good); })));
}

TEST_CASE("COSE without its tag, with another, or not alone") {
  auto good = *sign_cose(ed25519_key(), type, "k", "p");
  CHECK(refuses(""));
  CHECK(refuses(good.substr(1)));
  CHECK(refuses("\xd1" + good.substr(1)));
  CHECK(refuses("\xd2" + good));
  CHECK(refuses("\xd8\x12" + good.substr(1))); // tag 18 in two bytes
  CHECK(refuses("\xd8\x3d" + good));           // tag 61 of CWT in front
  CHECK(refuses(good + '\0'));
  CHECK(refuses(good + good));
  CHECK_FALSE(first_cose_size("x" + good));
  CHECK_FALSE(first_cose_size(""));
  for (size_t i = 0; i < good.size(); ++i)
    CHECK(refuses(good.substr(0, i)));
}

TEST_CASE("16 KiB is the limit of COSE, too") {
  auto sized = [](size_t n) { return *sign_cose(ed25519_key(), type, "k", std::string(n, 'x')); };
  auto more = sized(16'000).size() - 16'000;
  CHECK_FALSE(refuses(sized(16'384 - more)));
  CHECK(refuses(sized(16'385 - more)));
}

TEST_CASE("every changed byte of COSE is refused") {
  for (auto& key : {ed25519_key(), p256_key()}) {
    auto good = *sign_cose(key, type, "k", "payload");
    for (size_t i = 0; i < good.size(); ++i)
      for (int bit : {0, 3, 7}) {
        auto changed = good;
        changed[i] = static_cast<char>(changed[i] ^ 1 << bit);
        auto x = parse_cose(changed);
        CHECK_MESSAGE((!x || !verify(*x, key.public_part())), i);
      }
  }
}

TEST_CASE("a COSE_Key is the public key and nothing else") {
  for (auto& key : {ed25519_key().public_part(), p256_key().public_part()}) {
    cbor::writer out;
    write_cose_key(out, key);
    auto document = cbor::parse(out.written());
    REQUIRE(document);
    auto again = read_cose_key(document->root());
    REQUIRE(again);
    CHECK(again->spki() == key.spki());
  }
  cbor::writer ed25519;
  write_cose_key(ed25519, ed25519_key().public_part());
  CHECK(hex(ed25519.written()) == "a301012006215820" + std::string{ed25519_spki}.substr(24));
  auto refused = [](const std::function<void(cbor::writer&)>& write) {
    cbor::writer out;
    write(out);
    auto document = cbor::parse(out.written());
    REQUIRE(document);
    return !read_cose_key(document->root());
  };
  auto spki = p256_key().public_part().spki();
  auto x = spki.substr(spki.size() - 64, 32);
  auto y = spki.substr(spki.size() - 32);
  auto ec2 = [](cbor::writer& out, size_t members) -> cbor::writer& {
    return out.map(members).integer(1).integer(2).integer(-1).integer(1);
  };
  CHECK_FALSE(refused([&](auto& out) { ec2(out, 4).integer(-2).bytes(x).integer(-3).bytes(y); }));
  CHECK(refused([&](auto& out) { ec2(out, 4).integer(-2).bytes(x).integer(-3).boolean(true); }));
  CHECK(refused([&](auto& out) { ec2(out, 3).integer(-2).bytes(x); }));
  CHECK(refused([&](auto& out) { ec2(out, 4).integer(-2).bytes(y).integer(-3).bytes(x); }));
  // another curve, a private part, a symmetric key, no key
  CHECK(refused([&](auto& out) {
    out.map(4).integer(1).integer(2).integer(-1).integer(2).integer(-2).bytes(x).integer(-3).bytes(
      y);
  }));
  CHECK(refused([&](auto& out) {
    out.map(4).integer(1).integer(1).integer(-1).integer(6).integer(-2).bytes(x).integer(-4).bytes(
      y);
  }));
  CHECK(refused([&](auto& out) { out.map(2).integer(1).integer(4).integer(-1).bytes(x); }));
  CHECK(refused([](auto& out) { out.map(0); }));
  CHECK(refused([](auto& out) { out.bytes("key"); }));
}
