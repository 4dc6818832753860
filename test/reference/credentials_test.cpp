// SPDX-License-Identifier: MPL-2.0
//
// Credentials: claims at their edges, signed by who may and who may not.

#include "messages/rights.hpp"
#include "test/reference/agreement.hpp"
#include "test/reference/federation.hpp"
#include "test/reference/odd_cose.hpp"
#include "test/reference/odd_text.hpp"
#include "test/unit/crypto/keys.hpp"
#include "tools/simulation/reference_credential.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace test;

namespace {

constexpr uint64_t now_s = now_ms / 1'000;

const std::vector<std::string> good_patterns
  = {"/vin/1234", "/cloud/media_server", "/vin/+/services/#",  "",
     "/cloud/",   "/CLOUD/Log/+",        "/vin/+447412123123", "/cloud/admin/x"};
const std::vector<std::string> odd_patterns
  = {"/#/x",    "/a b",      "//",   "/+x",  "/\\u0061", "/a\\u0000", "/#x", "/$sys",
     "/+44x/y", "/\xc3\xa4", "/a:b", "/%61", "/.",       "/..",       "/+/#"};
const std::vector<std::string> types = {"", "", "rpc:", "message:", "metric:", "+:", "RPC:"};

/// A list of patterns of the organization, now and then with one that is none or not its own.
std::string patterns_of(const std::string& organization, dice& roll) {
  std::vector<std::string> result(roll.below(3));
  if (roll.below(300) == 0)
    result.resize(255 + roll.below(4));
  for (auto& x : result)
    x = quoted(roll.pick(types)
               + (organization == "other.com" && roll.below(2) == 0 ? "jlr.com" : organization)
               + roll.pick(good_patterns));
  if (roll.below(10) == 0 && !result.empty())
    result[0] = quoted(roll.pick(types) + organization + roll.pick(odd_patterns));
  if (roll.below(12) == 0 && !result.empty())
    result[0] = quoted(roll.pick(types)
                       + roll.pick(std::vector<std::string>{"other.com", "jlr.com", "+", "jlr.co",
                                                            "jlr.comm", "a.jlr.com", "JLR.com", "#",
                                                            "jlr.com.", "jlr\\u002ecom", ""})
                       + roll.pick(good_patterns));
  return list_of(result);
}

/// Around now, and as long as allowed.
void set_times(members& xs, dice& roll) {
  auto near
    = [&](uint64_t usual) { return roll.below(5) == 0 ? now_s + roll.below(3) - 1 : usual; };
  auto from = near(now_s - 1'000);
  auto until = near(now_s + 1'000);
  constexpr uint64_t longest = uint64_t{3'660} * 86'400;
  if (roll.below(25) == 0)
    until = from + longest + roll.below(3) - 1;
  if (roll.below(40) == 0)
    until = from + roll.below(2);
  xs.emplace_back("iat", std::to_string(from));
  xs.emplace_back("nbf", std::to_string(from));
  xs.emplace_back("exp", std::to_string(until));
}

/// A JWK and the uid it has or would have.
std::pair<std::string, std::string> draw_holder(dice& roll) {
  static const std::vector<crypto::private_key> holders
    = {ed25519_key(40), ed25519_key(41), crypto::test::p256_key(), ed25519_key(42)};
  auto& key = roll.pick(holders).public_part();
  auto uid = crypto::hex(crypto::view(key.uid()));
  if (roll.below(15) == 0) {
    auto x = odd_point(roll);
    auto spki = *crypto::unhex(crypto::test::ed25519_spki_prefix) + *crypto::unbase64url(x);
    return {R"({"crv":"Ed25519","kty":"OKP","x":")" + x + "\"}",
            reference::hex(reference::sha256(spki).substr(0, 16))};
  }
  if (roll.below(15) > 0)
    return {key.jwk(), uid};
  members jwk = {{"crv", quoted("Ed25519")}, {"kty", quoted("OKP")}};
  auto parsed = reference::read_json(key.jwk());
  for (auto& [name, value] : parsed->object)
    if (name == "x" || name == "y")
      jwk.emplace_back(name, quoted(value.text));
    else
      (name == "crv" ? jwk[0] : jwk[1]).second = quoted(value.text);
  make_odd(jwk, roll);
  return {text_of(jwk, roll), uid};
}

/// A claim under a name of the HLD or of rvi_core; now and then beside our own.
void use_other_name(members& xs, dice& roll) {
  using names = std::vector<std::string>;
  static const std::vector<std::pair<std::string, names>> theirs
    = {{"sources", {"right_to_receive", "right_to_register", "register"}},
       {"destinations", {"right_to_invoke", "invoke"}},
       {"jti", {"id"}},
       {"iat", {"create_timestamp"}},
       {"nbf", {"validity"}},
       {"exp", {"validity"}},
       {"cnf", {"public_key", "device_cert"}}};
  auto& [ours, others] = roll.pick(theirs);
  auto at = std::find_if(xs.begin(), xs.end(), [name = ours](auto& x) { return x.first == name; });
  if (at == xs.end() || (ours == "cnf" && roll.below(4) != 0))
    return;
  auto value = at->second;
  if (ours == "nbf" || ours == "exp")
    value = "{\"" + std::string{ours == "nbf" ? "start" : "stop"} + "\":" + value + "}";
  if (roll.below(6) == 0)
    xs.emplace_back(roll.pick(others), value);
  else
    *at = {roll.pick(others), value};
}

/// Mostly as it should be.
std::string former_keys(const std::string& own, dice& roll) {
  auto count = roll.below(8) == 0 ? roll.below(10) : 1 + roll.below(2);
  std::string result;
  for (size_t i = 0; i < count; ++i) {
    auto uid = crypto::hex(roll.bytes(roll.below(20) == 0 ? 15 + roll.below(3) : 16));
    if (roll.below(20) == 0)
      uid = own;
    else if (roll.below(20) == 0)
      uid[0] = 'A';
    result += (i == 0 ? "" : ",") + quoted(uid);
  }
  return "[" + result + "]";
}

members draw_claims(const std::string& organization, dice& roll) {
  auto [jwk, uid] = draw_holder(roll);
  auto id = roll.below(12) == 0   ? "revoked"
            : roll.below(40) == 0 ? std::string(127 + roll.below(3), 'j')
                                  : "an id";
  members xs
    = {{"ver", "1"}, {"iss", quoted(organization)}, {"sub", quoted(uid)}, {"jti", quoted(id)}};
  set_times(xs, roll);
  xs.emplace_back("cnf", "{\"jwk\":" + jwk + "}");
  xs.emplace_back("sources", patterns_of(organization, roll));
  xs.emplace_back("destinations", patterns_of(organization, roll));
  if (roll.below(4) == 0)
    xs.emplace_back("relay", patterns_of(organization, roll));
  if (roll.below(6) == 0)
    xs.emplace_back("usr", roll.below(2) == 0 ? "[\"owner\"]" : "[\"owner\",\"\",\"guest\"]");
  if (roll.below(6) == 0)
    xs.emplace_back("former", former_keys(uid, roll));
  if (roll.below(6) == 0)
    xs.emplace_back("adm", roll.below(2) == 0 ? "true" : "false");
  if (roll.below(4) == 0)
    use_other_name(xs, roll);
  return xs;
}

std::string draw_credential(const federation& w, dice& roll) {
  auto organization = w.organization(roll);
  auto claims = draw_claims(organization, roll);
  if (roll.below(3) == 0)
    make_odd(claims, roll);
  if (roll.below(40) == 0)
    make_odd(claims, roll);
  signing by{&w.signer(organization, "cred", roll), "rvi-cred+jwt", nullptr};
  if (roll.below(40) == 0)
    by.named = &w.roots.front().key;
  auto payload = text_of(claims, roll);
  if (roll.below(80) == 0)
    payload += "x";
  auto result = odd_jws(by, payload, roll);
  if (roll.below(15) == 0)
    damage_symbols(result, roll);
  return result;
}

/// On top of a text whose holder has this key, for who has the other one; mostly as it may be.
std::string draw_delegated(const std::string& parent, const crypto::private_key& holder,
                           const crypto::private_key& next, dice& roll) {
  auto one_of = [&](std::vector<std::string> usual, std::vector<std::string> odd) {
    return list_of({quoted(roll.below(12) == 0 ? roll.pick(odd) : roll.pick(usual))});
  };
  auto edge
    = [&](uint64_t usual) { return roll.below(20) == 0 ? usual + roll.below(3) - 1 : usual; };
  members xs = {{"ver", "1"},
                {"iss", quoted(roll.below(40) == 0 ? "other.com" : "jlr.com")},
                {"sub", quoted(crypto::hex(crypto::view(next.public_part().uid())))},
                {"jti", quoted(roll.below(20) == 0 ? "revoked" : "derived")},
                {"iat", std::to_string(now_s)},
                {"nbf", std::to_string(edge(now_s - 100))},
                {"exp", std::to_string(edge(now_s + 100))},
                {"cnf", "{\"jwk\":" + next.public_part().jwk() + "}"},
                {"sources", one_of({"jlr.com/dealer/1", "jlr.com/dealer/#", "jlr.com/dealer/+/x"},
                                   {"jlr.com/dealers", "jlr.com", "jlr.com/+"})},
                {"destinations",
                 one_of({"jlr.com/vin/1/services/x", "rpc:jlr.com/vin/+/services/#",
                         "jlr.com/vin/+/services", "rpc:jlr.com/cloud/a"},
                        {"jlr.com/vin/1", "jlr.com/cloud/a", "+:jlr.com/cloud/a",
                         "rpc:jlr.com/cloud", "jlr.com/vin/provisioning/services", "jlr.com/#"})}};
  if (roll.below(4) != 0)
    xs.emplace_back("del", std::to_string(roll.below(roll.below(8) == 0 ? 5 : 2)));
  if (roll.below(40) == 0)
    xs.emplace_back("adm", "true");
  if (roll.below(5) == 0)
    xs.emplace_back("usr", roll.below(3) == 0 ? "[\"guest\"]" : "[\"owner\"]");
  if (roll.below(12) == 0)
    xs.emplace_back("relay", "[\"jlr.com/vin/1\"]");
  if (roll.below(40) == 0)
    xs.emplace_back("former", "[\"00112233445566778899aabbccddeeff\"]");
  auto par = crypto::base64url(crypto::view(crypto::sha256(parent)));
  if (roll.below(25) == 0)
    par.back() = par.back() == 'A' ? 'E' : 'A';
  if (roll.below(25) != 0)
    xs.emplace_back("par", quoted(par));
  if (roll.below(20) == 0)
    make_odd(xs, roll);
  static const auto stranger = ed25519_key(43);
  signing by{roll.below(25) == 0 ? &stranger : &holder, "rvi-cred+jwt", nullptr};
  if (roll.below(25) == 0)
    by.named = &stranger;
  auto text = odd_jws(by, text_of(xs, roll), roll);
  auto joint = roll.below(40) == 0 ? roll.pick(std::vector<std::string>{"", ",,", "~", " ,"}) : ",";
  return roll.below(40) == 0 ? text : text + joint + parent;
}

/// A credential that may be delegated, and up to four on top of it.
std::string draw_chain(const federation& w, dice& roll) {
  static const std::vector<crypto::private_key> holders
    = {ed25519_key(40), ed25519_key(41), crypto::test::p256_key(), ed25519_key(44)};
  auto& first = holders[roll.below(holders.size())];
  members xs = {{"ver", "1"},
                {"iss", quoted("jlr.com")},
                {"sub", quoted(crypto::hex(crypto::view(first.public_part().uid())))},
                {"jti", quoted(roll.below(20) == 0 ? "revoked" : "first")},
                {"iat", std::to_string(now_s)},
                {"nbf", std::to_string(now_s - 100)},
                {"exp", std::to_string(now_s + 100)},
                {"cnf", "{\"jwk\":" + first.public_part().jwk() + "}"},
                {"sources", "[\"jlr.com/dealer\"]"},
                {"destinations", "[\"jlr.com/vin/+/services\",\"rpc:jlr.com/cloud/#\"]"},
                {"del", std::to_string(roll.below(8) == 0 ? roll.below(5) : 1 + roll.below(3))}};
  if (roll.below(8) == 0)
    xs.emplace_back("usr", "[\"owner\",\"valet\"]");
  if (roll.below(8) == 0)
    xs.emplace_back("relay", "[\"jlr.com/vin\"]");
  signing by{&w.signer("jlr.com", "cred", roll), "rvi-cred+jwt", nullptr};
  auto text = *crypto::sign_jws(
    *by.key, by.type, crypto::hex(crypto::view(by.key->public_part().uid())), text_of(xs, roll));
  auto* holder = &first;
  for (auto depth = roll.below(3) > 0 ? 1 : 1 + roll.below(4); depth > 0; --depth) {
    auto& next = holders[roll.below(holders.size())];
    text = draw_delegated(text, *holder, next, roll);
    holder = &next;
  }
  return text;
}

/// What the node knows, told to both.
struct setting {
  setting() {
    auto list = std::make_shared<revocation_set>();
    list->issuer = "jlr.com";
    list->entries
      = {{credential_revocation_id("jlr.com", "revoked"), uint32_t{1} << 31},
         {holder_revocation_id("jlr.com", ed25519_key(42).public_part().uid()), uint32_t{1} << 31}};
    std::sort(list->entries.begin(), list->entries.end());
    node.revocations = std::make_shared<const revocation_sets>(revocation_sets{{"jlr.com", list}});
    node.anchors = w.anchors;
    for (auto& root : w.roots)
      if (root.may("cred"))
        belief.anchors["jlr.com"].push_back(root.key.public_part().jwk());
    belief.anchors["other.com"] = {w.other.public_part().jwk()};
    belief.delegates = w.delegates;
    auto entry = [](const std::string& text) { return reference::sha256(text).substr(0, 16); };
    auto uid = crypto::hex(crypto::view(ed25519_key(42).public_part().uid()));
    belief.revocation_entries
      = {entry("rvi-cred-idjlr.comrevoked"), entry("rvi-cred-subjlr.com" + uid)};
    belief.now_ms = now_ms;
  }

  federation w;
  rights node;
  reference::belief belief;
};

/// The codes of messages/credential.hpp and of rights::check_standing. "Cheap refusals first"
/// leaves the order open.
std::string code_for(reference::verdict x) {
  using reference::verdict;
  return x == verdict::unknown_issuer     ? "unknown_issuer"
         : x == verdict::early_credential ? "credential_not_yet_valid"
         : x == verdict::ended_credential ? "credential_expired"
         : x == verdict::revoked          ? "revoked"
                                          : "credential_invalid";
}

std::vector<std::string> uids(const std::vector<node_uid>& xs) {
  std::vector<std::string> result;
  for (auto& x : xs)
    result.push_back(to_string(x));
  return result;
}

using draw = std::string (*)(const federation&, dice&);

void compare(agreement& both, draw drawn) {
  setting at;
  for (auto i = both.first(); i < both.last(); ++i) {
    auto roll = both.dice_of(i);
    auto text = drawn(at.w, roll);
    reference::judgement judged;
    auto other = reference::read_credential(text, at.belief, reference::check_signature, judged);
    auto x = accept_credential(text, at.node.anchors, now_ms);
    auto code = code_of(x ? at.node.check_standing(**x, now_ms) : x.error());
    reference::reasons reasons;
    for (auto& found : reference::objections(text, at.belief, reference::check_signature))
      reasons.insert(code_for(found.what));
    CHECK(reasons.empty() == !!judged);
    both.add(i, code, reasons, text, judged.why);
    if (code == ec::none && other) {
      auto& c = **x;
      both.same(i,
                c.hash == other->hash && c.issuer == other->issuer && c.id == other->id
                  && crypto::view(c.key.uid()) == other->key.uid && c.sources == other->sources
                  && c.destinations == other->destinations && c.relay == other->relay
                  && c.users == other->users && c.administrator == other->administrator
                  && c.not_before_s == other->not_before_s && c.expires_s == other->expires_s
                  && c.delegations == other->delegations && uids(c.former) == other->former
                  && !c.parent == !other->parent,
                text, "what it claims");
    }
  }
}

} // namespace

TEST_CASE("credentials") {
  agreement both{"credentials", 190};
  compare(both, draw_credential);
  both.conclude({ec::credential_invalid, ec::unknown_issuer, ec::credential_not_yet_valid,
                 ec::credential_expired, ec::revoked});
}

TEST_CASE("credentials in COSE") {
  agreement both{"cose", 150};
  compare(both, draw_cose);
  both.conclude({ec::credential_invalid, ec::unknown_issuer, ec::credential_not_yet_valid,
                 ec::credential_expired, ec::revoked});
}

TEST_CASE("delegated credentials") {
  agreement both{"delegated", 100};
  compare(both, draw_chain);
  both.conclude({ec::credential_invalid, ec::revoked});
}
