// SPDX-License-Identifier: MPL-2.0

#include "test/reference/odd_cose.hpp"

#include "test/reference/odd_text.hpp"
#include "test/support/cose_claims.hpp"
#include "test/unit/crypto/keys.hpp"

#include <algorithm>

using namespace rvi;

namespace test {

namespace {

constexpr uint64_t now_s = now_ms / 1'000;
constexpr auto credential_type = "application/rvi-cred+cwt";

using texts = std::vector<std::string>;

std::string text_list(dice& roll, const texts& usual, const texts& odd) {
  texts result(roll.below(3));
  for (auto& x : result)
    x = roll.below(15) == 0 ? roll.pick(odd) : roll.pick(usual);
  return cbor_texts(result);
}

} // namespace

std::string odd_item(dice& roll) {
  static const texts odd = {std::string(1, '\0'),
                            "\x01",
                            "\x20",
                            "\x3a\xff\xff\xff\xff",
                            "\x40",
                            "\x60",
                            "\x61\xff",
                            "\x62\xc3\xa4",
                            "\x80",
                            "\x81\x01",
                            "\xa0",
                            "\xa1\x01\x01",
                            "\xa1\x61k\x01",
                            "\xf4",
                            "\xf5",
                            "\xf6",
                            "\xf9\x3c\x01",
                            "\x18\x05",
                            "\x18\x20",
                            "\x9f\xff",
                            "\x5f\x41x\xff",
                            "\xc1\x01",
                            "\x58\x01x",
                            "\xa2\x02\x01\x01\x01",
                            "\xa2\x01\x01\x01\x01",
                            "\x81\x81\x81\x81\x01",
                            "\x81\x81\x81\x81\x81\x81\x81\x81\x81\x01"};
  switch (roll.below(4)) {
    case 0:
      return cbor_bytes(roll.bytes(roll.pick(std::vector<size_t>{0, 15, 16, 17, 31, 32, 33})));
    case 1:
      return cbor_text(roll.pick(texts{"an id", "jlr.com", "other.com", "JLR.com", "1",
                                       "00112233-4455-6677-8899-aabbccddeeff",
                                       "00112233-4455-6677-8899-AABBCCDDEEFF"}));
    case 2:
      return cbor_number(static_cast<int64_t>(roll.below(2) == 0 ? roll.below(6) : now_s));
    default:
      return roll.pick(odd);
  }
}

namespace {

void make_odd(cose_claims& x, dice& roll) {
  auto standard = roll.below(2) == 0;
  auto label = static_cast<int64_t>(1 + roll.below(standard ? 9 : 11));
  if (roll.below(3) == 0)
    standard ? x.drop_standard(label) : x.drop_own(label);
  else
    (standard ? x.standard(label) : x.own(label)) = odd_item(roll);
}

credential_claims
draw_claims(const std::string& issuer, const crypto::public_key& holder, dice& roll) {
  auto edge
    = [&](uint64_t usual) { return roll.below(8) == 0 ? now_s + roll.below(3) - 1 : usual; };
  credential_claims x;
  x.issuer = issuer;
  x.id = roll.below(12) == 0   ? "revoked"
         : roll.below(40) == 0 ? std::string(127 + roll.below(3), 'j')
                               : "an id";
  x.issued_s = now_s;
  x.not_before_s = edge(now_s - 1'000);
  x.expires_s = edge(now_s + 1'000);
  if (roll.below(30) == 0)
    x.expires_s = x.not_before_s + uint64_t{3'660} * 86'400 + roll.below(3) - 1;
  x.key = holder;
  return x;
}

cose_claims with_rights(const credential_claims& x, dice& roll) {
  static const texts usual
    = {"jlr.com/vin/1234", "rpc:jlr.com/cloud/#", "jlr.com/vin/+/services", "JLR.com/Vin/1",
       "jlr.com",          "+:jlr.com/cloud/a"};
  static const texts odd
    = {"other.com/a", "", "jlr.com//a", "jlr.com/#/x", "jlr.com/\xc3\xa4", "+/a", "jlr.com/a b"};
  cose_claims result{x};
  result.own(4) = text_list(roll, usual, odd);
  result.own(5) = text_list(roll, usual, odd);
  if (roll.below(4) == 0)
    result.own(6) = text_list(roll, usual, odd);
  if (roll.below(4) == 0)
    result.own(7) = text_list(roll, {"owner", ""}, {"guest"});
  if (roll.below(6) == 0)
    result.own(8) = roll.below(2) == 0 ? "\xf5" : "\xf4";
  if (roll.below(4) == 0)
    result.own(9) = cbor_number(static_cast<int64_t>(roll.below(5)));
  if (roll.below(6) == 0) {
    auto count = roll.below(8) == 0 ? roll.below(10) : 1 + roll.below(2);
    auto list = std::string{static_cast<char>(0x80 + count)}; // an array of fewer than 24
    for (size_t i = 0; i < count; ++i)
      list += roll.below(20) == 0   ? cbor_bytes(roll.bytes(15))
              : roll.below(20) == 0 ? cbor_bytes(crypto::view(x.key.uid()))
                                    : cbor_bytes(roll.bytes(16));
    result.own(11) = list;
  }
  if (roll.below(3) == 0) {
    result.drop_own(3);
    result.standard(7) = cbor_bytes(roll.bytes(16));
  }
  return result;
}

} // namespace

std::string odd_cose(const crypto::private_key& key, const crypto::private_key& named,
                     const std::string& type, const std::string& payload, dice& roll) {
  bool ed25519 = key.public_part().algorithm() == crypto::algorithm::ed25519;
  cbor_members header = {
    {cbor_number(1), cbor_number(ed25519 ? -8 : -7)},
    {cbor_number(4), cbor_bytes(crypto::view(named.public_part().uid()))},
    {cbor_number(16), cbor_text(type)},
  };
  if (roll.below(30) == 0)
    header[cbor_number(1)] = cbor_number(ed25519 ? -7 : -8);
  if (roll.below(30) == 0)
    header[cbor_number(roll.pick(std::vector<int64_t>{1, 2, 4, 16, 33}))] = odd_item(roll);
  if (roll.below(60) == 0)
    header.erase(cbor_number(roll.pick(std::vector<int64_t>{1, 4, 16})));
  auto protected_header = cbor_map(header);
  if (roll.below(40) == 0)
    flip(protected_header, roll);
  auto input = "\x84" + cbor_text("Signature1") + cbor_bytes(protected_header) + cbor_bytes("")
               + cbor_bytes(payload);
  auto signature = *key.sign(input);
  if (roll.below(20) == 0)
    make_signature_odd(signature, key.public_part().algorithm(), roll);
  auto unprotected = roll.below(40) == 0 ? odd_item(roll) : std::string{"\xa0"};
  auto tag = roll.below(60) == 0 ? roll.pick(texts{"", "\xd1", "\xd8\x12", "\xd2\xd2"}) : "\xd2";
  return tag + "\x84" + cbor_bytes(protected_header) + unprotected + cbor_bytes(payload)
         + cbor_bytes(signature);
}

std::string odd_encoding(std::string payload, dice& roll) {
  if (roll.below(25) == 0)
    flip(payload, roll);
  if (roll.below(60) == 0)
    payload.insert(roll.below(payload.size()), 1, static_cast<char>(roll.below(256)));
  if (roll.below(60) == 0)
    payload = "\xb8" + std::string(1, static_cast<char>(payload[0] & 31)) + payload.substr(1);
  if (roll.below(60) == 0)
    payload += roll.below(2) == 0 ? '\0' : '\xa0';
  return payload;
}

std::string draw_cose(const federation& w, dice& roll) {
  static const std::vector<crypto::private_key> holders
    = {ed25519_key(40), ed25519_key(41), crypto::test::p256_key(), ed25519_key(42)};
  auto organization = w.organization(roll);
  auto* holder = &roll.pick(holders);
  auto claims = draw_claims(organization, holder->public_part(), roll);
  auto first = with_rights(claims, roll);
  auto depth = roll.below(4) == 0 ? 1 + roll.below(3) : 0;
  if (depth > 0 && roll.below(5) != 0)
    first.own(9) = cbor_number(static_cast<int64_t>(1 + roll.below(3)));
  for (auto odd = roll.below(3); odd > 1; --odd)
    make_odd(first, roll);
  auto& signer = w.signer(organization, "cred", roll);
  auto& named = roll.below(40) == 0 ? w.roots.front().key : signer;
  auto result = odd_cose(signer, named, credential_type, odd_encoding(first.payload(), roll), roll);
  for (; depth > 0; --depth) {
    auto* next = &roll.pick(holders);
    auto derived = claims;
    derived.key = next->public_part();
    auto x = roll.below(3) == 0 ? with_rights(derived, roll) : cose_claims{derived};
    if (roll.below(20) != 0)
      x.own(10) = cbor_bytes(crypto::view(crypto::sha256(result)));
    if (depth > 1)
      x.own(9) = cbor_number(static_cast<int64_t>(depth - 1));
    if (roll.below(8) == 0)
      make_odd(x, roll);
    auto& by = roll.below(25) == 0 ? *next : *holder;
    auto joint = roll.below(40) == 0 ? "," : "";
    result
      = odd_cose(by, by, credential_type, odd_encoding(x.payload(), roll), roll) + joint + result;
    holder = next;
  }
  if (roll.below(25) == 0)
    flip(result, roll);
  if (roll.below(60) == 0)
    result.resize(result.size() - 1 - roll.below(3));
  return result;
}

} // namespace test
