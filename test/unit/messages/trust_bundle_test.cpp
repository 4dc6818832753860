// SPDX-License-Identifier: MPL-2.0
//
// Trust bundles: who can make a node walk from one to the next, and who cannot.

#include "messages/credential.hpp"
#include "messages/transaction_id.hpp"
#include "messages/trust_bundle.hpp"
#include "runtime/crypto/jws.hpp"
#include "runtime/json/json.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using crypto::private_key;

namespace {

constexpr uint64_t now_s = 1'795'000'000;

private_key new_key() {
  return *private_key::generate(crypto::algorithm::ed25519);
}

struct fixture {
  /// A bundle of these trust roots, signed by those keys.
  trust_bundle_ptr make(uint64_t sequence, const trust_bundle* before, uint32_t threshold,
                        const std::vector<const private_key*>& roots,
                        const std::vector<const private_key*>& signers) {
    bundle_claims x;
    x.organization = "jlr.com";
    x.sequence = sequence;
    x.previous = before ? before->digest : std::string{};
    x.issued_s = now_s;
    x.expires_s = now_s + 86'400;
    x.threshold = threshold;
    for (auto* key : roots)
      x.roots.push_back({key->public_part(), true, true, true});
    auto result = issue_trust_bundle(x, signers);
    INFO((result ? std::string{} : describe(result.error())));
    REQUIRE(result);
    return *result;
  }

  ec step(const trust_bundle_ptr& known, const trust_bundle_ptr& next) {
    auto err = verify_step(*known, *next);
    return err ? code_of(err) : ec::none;
  }

  private_key a = new_key();
  private_key b = new_key();
  private_key c = new_key();
  private_key d = new_key();
  trust_bundle_ptr first = make(1, nullptr, 2, {&a, &b, &c}, {&a, &b});
};

} // namespace

TEST_SUITE_BEGIN("trust bundles");

TEST_CASE_FIXTURE(fixture, "the first is signed by enough of its own roots") {
  CHECK_FALSE(verify_own_roots(*first));
  CHECK(code_of(verify_own_roots(*make(1, nullptr, 2, {&a, &b}, {&a}))) == ec::signature_invalid);
  CHECK(code_of(verify_own_roots(*make(1, nullptr, 2, {&a, &b}, {&c, &d})))
        == ec::signature_invalid);
  CHECK(first->roots.size() == 3);
  CHECK(first->threshold == 2);
  auto again = parse_trust_bundle(first->text);
  REQUIRE(again);
  CHECK((*again)->digest == first->digest);
}

TEST_CASE_FIXTURE(fixture, "the next needs the threshold of the old and of the new roots") {
  CHECK(step(first, make(2, first.get(), 2, {&b, &c, &d}, {&b, &c})) == ec::none);
  CHECK(step(first, make(2, first.get(), 1, {&d}, {&a, &b, &d})) == ec::none);
  CHECK(step(first, make(2, first.get(), 1, {&d}, {&a, &d})) == ec::signature_invalid);
  CHECK(step(first, make(2, first.get(), 1, {&d}, {&a, &b})) == ec::signature_invalid);
  CHECK(step(first, make(2, first.get(), 1, {&d}, {&d})) == ec::signature_invalid);
  auto half = make(2, first.get(), 2, {&b, &d}, {&b});
  CHECK(step(first, half) == ec::signature_invalid);
  auto more = countersign(*half, d);
  REQUIRE(more);
  CHECK(step(first, *more) == ec::signature_invalid); // one of the old ones only
  auto enough = countersign(**more, a);
  REQUIRE(enough);
  CHECK(step(first, *enough) == ec::none);
  CHECK((*enough)->digest == half->digest);
}

TEST_CASE_FIXTURE(fixture, "one after the other, of one history") {
  auto second = make(2, first.get(), 2, {&a, &b, &c}, {&a, &b});
  auto third = make(3, second.get(), 2, {&a, &b, &c}, {&a, &b});
  CHECK(step(first, second) == ec::none);
  CHECK(step(second, third) == ec::none);
  CHECK(step(first, third) == ec::not_found);
  CHECK(step(second, first) == ec::replay);
  CHECK(step(second, second) == ec::replay);
  auto other = make(1, nullptr, 2, {&a, &b}, {&a, &b});
  CHECK(step(first, make(2, other.get(), 2, {&a, &b, &c}, {&a, &b})) == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "an organization may end itself, and nobody speaks for it then") {
  auto end = make(2, first.get(), 1, {}, {&a, &b});
  CHECK(step(first, end) == ec::none);
  CHECK(code_of(verify_own_roots(*end)) == ec::signature_invalid);
  CHECK(step(end, make(3, end.get(), 1, {&a}, {&a, &b})) == ec::signature_invalid);
}

TEST_CASE_FIXTURE(fixture, "a signature is worth what its payload says, once") {
  // The same signature twice, or one moved to another bundle.
  auto signature = R"({"protected":")";
  auto text = first->text;
  auto i = text.find(signature);
  auto j = text.find(signature, i + 1);
  auto doubled = text.substr(0, i) + text.substr(j, text.rfind('}', text.size() - 3) + 1 - j) + ","
                 + text.substr(j);
  CHECK(code_of(parse_trust_bundle(doubled).error()) == ec::malformed);
  auto second = make(2, first.get(), 2, {&a, &b, &c}, {&a, &b});
  auto stolen = second->text;
  auto payload = [](const std::string& x) {
    auto document = json::parse(x);
    return std::string{*document->root()["payload"].as_string()};
  };
  auto forged = stolen.replace(stolen.find(payload(second->text)), payload(second->text).size(),
                               payload(make(2, first.get(), 1, {&d}, {&d})->text));
  auto x = parse_trust_bundle(forged);
  REQUIRE(x);
  CHECK(step(first, *x) == ec::signature_invalid);
}

TEST_CASE_FIXTURE(fixture, "what is not a bundle is refused") {
  for (auto* text : {"", "{}", "[]", R"({"payload":"e30","signatures":[]})",
                     R"({"payload":"e30","signatures":[{"protected":"e30","signature":"AA"}]})"})
    CHECK(code_of(parse_trust_bundle(text).error()) == ec::malformed);
  bundle_claims x;
  x.organization = "jlr.com";
  x.issued_s = now_s;
  x.expires_s = now_s + 1;
  x.roots.push_back({a.public_part(), true, false, false});
  CHECK(code_of(issue_trust_bundle(x, {&a}).error())
        == ec::bad_request); // nobody may sign the next
  x.roots.front().signs_bundles = true;
  CHECK(issue_trust_bundle(x, {&a}));
  x.threshold = 2;
  CHECK(code_of(issue_trust_bundle(x, {&a}).error()) == ec::bad_request);
  x.threshold = 1;
  x.roots.push_back(x.roots.front());
  CHECK(code_of(issue_trust_bundle(x, {&a}).error()) == ec::bad_request);
  x.roots.pop_back();
  x.previous = std::string(32, 'p');
  CHECK(code_of(issue_trust_bundle(x, {&a}).error()) == ec::bad_request);
  x.sequence = 2;
  CHECK(issue_trust_bundle(x, {&a}));
  for (auto* organization : {"jlr.com/vin", "JLR.com", "jlr.com ", "+", ""}) {
    x.organization = organization;
    CHECK(code_of(issue_trust_bundle(x, {&a}).error()) == ec::bad_request);
  }
  x.organization = "jlr.com";
  CHECK(code_of(issue_trust_bundle(x, {}).error()) == ec::bad_request);
}

TEST_CASE_FIXTURE(fixture, "a bundle has no other members than it has") {
  auto kid = to_string(a.public_part().uid());
  auto verdict = [&](const std::string& root, const std::string& more, const std::string& outer) {
    auto jws
      = *crypto::sign_jws(a, "rvi-bundle+jwt", kid,
                          R"({"ver":1,"org":"jlr.com","seq":1,"iat":1,"exp":2,"threshold":1,)"
                          R"("roots":[{"jwk":)"
                            + a.public_part().jwk() + "," + root + "}]" + more + "}");
    auto first = jws.find('.');
    auto second = jws.rfind('.');
    auto text = R"({"payload":")" + jws.substr(first + 1, second - first - 1)
                + R"(","signatures":[{"protected":")" + jws.substr(0, first) + R"(","signature":")"
                + jws.substr(second + 1) + "\"}]" + outer + "}";
    auto x = parse_trust_bundle(text);
    return x ? ec::none : code_of(x.error());
  };
  auto use = R"("use":["cred","trust"])";
  CHECK(verdict(use, "", "") == ec::none);
  CHECK(verdict(use + std::string{R"(,"exp":1)"}, "", "") == ec::malformed);
  CHECK(verdict(R"("use":["trust","trust"])", "", "") == ec::malformed);
  CHECK(verdict(use, R"(,"delegates":[])", "") == ec::malformed);
  CHECK(verdict(use, R"(,"prev":null)", "") == ec::malformed);
  CHECK(verdict(use, R"(,"prev":1)", "") == ec::malformed);
  CHECK(verdict(use, "", R"(,"header":{})") == ec::malformed);
}

TEST_CASE_FIXTURE(fixture, "keys beside a bundle are no second opinion") {
  auto keys = trust_anchor_json("jlr.com", d.public_part());
  trust_anchors anchors;
  REQUIRE_FALSE(anchors.add(first->text));
  CHECK(code_of(anchors.add(keys)) == ec::config_invalid);
  CHECK_FALSE(anchors.find("jlr.com", to_string(d.public_part().uid())));
  trust_anchors others;
  REQUIRE_FALSE(others.add(keys));
  CHECK(code_of(others.add(first->text)) == ec::config_invalid);
}

TEST_CASE_FIXTURE(fixture, "a file holds bundles whatever way their members are written") {
  auto text = first->text;
  text.replace(text.find("payload"), 7, "\\u0070ayload");
  trust_anchors anchors;
  auto err = anchors.add("\n" + text + "\n");
  REQUIRE_MESSAGE(!err, describe(err));
  CHECK(anchors.bundle("jlr.com")->digest == first->digest);
  // A name that merely contains the word makes no bundle of an anchor.
  trust_anchors others;
  CHECK_FALSE(others.add(R"({"note":"the \"payload\"",)"
                         + trust_anchor_json("jlr.com", d.public_part()).substr(1)));
}

TEST_SUITE_END();
