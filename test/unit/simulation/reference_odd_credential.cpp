// SPDX-License-Identifier: MPL-2.0
//
// Credentials with odd claims, signed all the same, so that what comes after the signature is met.

#include "test/unit/simulation/reference_world.hpp"

#include <algorithm>

using namespace rvi;

namespace test {

namespace {

using namespace std::string_literals;

/// A JSON object as its members' texts, so that wrong ones can be written.
using members = std::vector<std::pair<std::string, std::string>>;

std::string text_of(const members& xs, dice& roll) {
  std::string result = "{";
  for (size_t i = 0; i < xs.size(); ++i)
    result += (i > 0 ? "," : "") + (roll.below(60) == 0 ? " "s : ""s) + "\"" + xs[i].first
              + "\":" + xs[i].second;
  return result + "}";
}

const std::vector<std::string> odd_values = {"null",
                                             "true",
                                             "false",
                                             "0",
                                             "1",
                                             "2",
                                             "-1",
                                             "1.0",
                                             "1e3",
                                             "1795000000",
                                             "1795000001",
                                             "1795000002",
                                             "1795000001.5",
                                             "18446744073709551615",
                                             "18446744073709551616",
                                             "01",
                                             "\"\"",
                                             "\"jlr.com\"",
                                             "\"JLR.com\"",
                                             "\"other.com\"",
                                             "\"x\"",
                                             "[]",
                                             "{}",
                                             "[\"jlr.com\"]",
                                             "[\"JLR.com/Vin/+\"]",
                                             "[\"other.com/x\"]",
                                             "[\"+/x\"]",
                                             "[\"rpc:jlr.com/vin/\"]",
                                             "[1]",
                                             "[\"jlr.com/#/x\"]",
                                             "[\"jlr.com/a b\"]",
                                             "[[\"jlr.com\"]]",
                                             "\"jlr.com\"",
                                             "[[[[[[[1]]]]]]]",
                                             "[[[[[[1]]]]]]",
                                             "{\"jwk\":{}}",
                                             "{\"jwk\":null}",
                                             "\"\\u0061\"",
                                             "\"\\ud83d\\ude97\"",
                                             "\"\\ud83d\"",
                                             "\"\xff\"",
                                             "\"a\nb\"",
                                             "tru",
                                             "[1,]",
                                             "\"" + std::string(128, 'j') + "\"",
                                             "\"" + std::string(129, 'j') + "\"",
                                             "\"a\\u0000b\"",
                                             "+1",
                                             "1.",
                                             ".5",
                                             "-0",
                                             "0.0",
                                             "1E5",
                                             "\"\\x\"",
                                             "nul",
                                             "'a'",
                                             "\"\\/\"",
                                             "[\"jlr.com\" , \"jlr.com/vin\"]"};

void make_odd(members& xs, dice& roll) {
  const std::vector<std::string> more = {"adm",  "relay", "extra", "del", "par", "usr", "iss",
                                         "crit", "jku",   "x5u",   "jwk", "x5c", "b64"};
  auto& x = xs[roll.below(xs.size())];
  switch (roll.below(6)) {
    case 0:
      xs.erase(xs.begin() + static_cast<long>(roll.below(xs.size())));
      break;
    case 1:
      xs.emplace_back(roll.pick(more), roll.pick(odd_values));
      break;
    case 2:
      xs.push_back(x); // twice
      break;
    case 3:
      std::swap(x, xs[roll.below(xs.size())]);
      break;
    default:
      x.second = roll.pick(odd_values);
  }
}

std::string quoted(const std::string& x) {
  return "\"" + x + "\"";
}

members claims_of(const crypto::public_key& holder) {
  return {{"ver", "1"},
          {"iss", quoted("jlr.com")},
          {"sub", quoted(crypto::hex(crypto::view(holder.uid())))},
          {"jti", quoted("an id")},
          {"iat", "1794990000"},
          {"nbf", "1794990000"},
          {"exp", "1797000000"},
          {"cnf", "{\"jwk\":" + holder.jwk() + "}"},
          {"sources", "[\"jlr.com/vin/1234\"]"},
          {"destinations", "[\"rpc:jlr.com/cloud/media_server\",\"jlr.com/cloud/+/\"]"}};
}

void damage_symbols(std::string& x, dice& roll) {
  auto at = roll.below(x.size());
  switch (roll.below(4)) {
    case 0:
      x[at] = "AZaz09-_.=+/ \n"[roll.below(14)];
      break;
    case 1:
      x.erase(at, 1);
      break;
    case 2:
      x.insert(at, 1, "A.="[roll.below(3)]);
      break;
    default: // the unused bits of the last symbol
      x.back() = "ABCDEFGHQRgw"[roll.below(12)];
  }
}

} // namespace

std::string odd_credential(const world& w, dice& roll) {
  auto& holder = roll.pick(w.senders).key.public_part();
  auto claims = claims_of(holder);
  auto& key = roll.below(12) == 0 ? w.stranger.key : w.root.key;
  auto named = roll.below(15) == 0 ? w.stranger.key.public_part() : key.public_part();
  members header = {{"alg", quoted("EdDSA")},
                    {"kid", quoted(crypto::hex(crypto::view(named.uid())))},
                    {"typ", quoted("rvi-cred+jwt")}};
  for (auto n = roll.below(3); n > 0; --n)
    make_odd(claims, roll);
  if (roll.below(6) == 0)
    make_odd(header, roll);
  if (roll.below(20) == 0)
    header[0].second = quoted(std::vector<std::string>{"ES256", "none", "HS256"}[roll.below(3)]);
  auto input = crypto::base64url(text_of(header, roll)) + "."
               + crypto::base64url(text_of(claims, roll) + (roll.below(90) == 0 ? "x" : ""));
  auto result = input + "." + crypto::base64url(*key.sign(input));
  if (roll.below(5) == 0)
    damage_symbols(result, roll);
  return result;
}

} // namespace test
