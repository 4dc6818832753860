// SPDX-License-Identifier: MPL-2.0
//
// One organization lets the credentials of another reach what is its own (HLD 3.2.1), and nobody
// else can.

#include "messages/credential.hpp"
#include "messages/trust_bundle.hpp"
#include "test/support/authority.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr uint64_t now_s = 1'795'000'000;
constexpr uint64_t day_s = 86'400;

struct fixture {
  expected<trust_bundle_ptr>
  make(std::vector<bundle_delegate> delegates, const trust_bundle* before = nullptr) {
    bundle_claims x;
    x.organization = "jlr.com";
    x.sequence = before ? 2 : 1;
    x.previous = before ? before->digest : std::string{};
    x.issued_s = now_s;
    x.expires_s = now_s + 100 * day_s;
    x.roots.push_back({jlr.key.public_part(), true, true, true});
    x.delegates = std::move(delegates);
    return issue_trust_bundle(x, {&jlr.key});
  }

  trust_anchors anchors(const trust_bundle& x) {
    trust_anchors result;
    REQUIRE_FALSE(result.add(x.text + "\n"));
    REQUIRE_FALSE(result.add(media.anchor()));
    return result;
  }

  credential_claims claims(std::vector<std::string> sources, std::vector<std::string> destinations,
                           std::vector<std::string> relay = {}) {
    auto x = media.claims(holder.public_part(), std::move(sources), std::move(destinations), now_s);
    x.relay = std::move(relay);
    x.expires_s = now_s + 10 * day_s;
    return x;
  }

  /// What a node with these anchors makes of such a credential.
  ec verdict(const trust_anchors& at, const credential_claims& x) {
    // Made with anchors that allow everything, for the other one's check is what counts.
    auto all = make({{"media.com", {"jlr.com"}, {"jlr.com"}, {"jlr.com"}, UINT64_MAX}});
    auto made = issue_credential(x, media.key, credential_format::jws, anchors(**all));
    REQUIRE_MESSAGE(made, describe(made.error()));
    auto err = verify_credential(**made, at);
    return err ? code_of(err) : ec::none;
  }

  test::authority jlr;
  test::authority media{"media.com"};
  crypto::private_key holder = *crypto::private_key::generate(crypto::algorithm::ed25519);
  bundle_delegate radio{
    "media.com", {}, {"jlr.com/vin/+/services/radio"}, {"jlr.com/vin"}, now_s + 30 * day_s};
};

} // namespace

TEST_SUITE_BEGIN("federation");

TEST_CASE_FIXTURE(fixture, "what another organization delegates is reached, and nothing else") {
  auto x = make({radio});
  REQUIRE_MESSAGE(x, describe(x.error()));
  auto at = anchors(**x);
  CHECK(verdict(at, claims({"media.com/app"}, {"media.com/cloud"})) == ec::none);
  CHECK(verdict(at, claims({"media.com/app"}, {"jlr.com/vin/+/services/radio"})) == ec::none);
  CHECK(verdict(at, claims({"media.com/app"}, {"jlr.com/vin/1234/services/radio/play"}))
        == ec::none);
  CHECK(verdict(at, claims({"media.com/app"}, {}, {"jlr.com/vin/1234"})) == ec::none);
  for (auto* wider : {"jlr.com/vin/+/services", "jlr.com/vin/1234", "jlr.com", "jlr.com/cloud",
                      "jlr.com/vin/+/services/radio2"})
    CHECK_MESSAGE(
      verdict(at, claims({"media.com/app"}, {"media.com/x", wider})) == ec::unknown_issuer, wider);
  // A list stands for itself.
  CHECK(verdict(at, claims({"jlr.com/vin/1234/services/radio"}, {})) == ec::unknown_issuer);
  CHECK(verdict(at, claims({"media.com/app"}, {"jlr.com/vin/1234"})) == ec::unknown_issuer);
  // One that would outlast the delegation.
  auto longer = claims({"media.com/app"}, {"jlr.com/vin/+/services/radio"});
  longer.expires_s = radio.expires_s;
  CHECK(verdict(at, longer) == ec::none);
  ++longer.expires_s;
  CHECK(verdict(at, longer) == ec::unknown_issuer);
}

TEST_CASE_FIXTURE(fixture, "only the owner delegates, and takes it back with its next bundle") {
  auto wanted = claims({"media.com/app"}, {"jlr.com/vin/+/services/radio"});
  auto first = make({radio});
  auto at = anchors(**first);
  CHECK(verdict(at, wanted) == ec::none);
  auto next = make({}, first->get());
  REQUIRE_FALSE(at.walk(*next));
  CHECK(verdict(at, wanted) == ec::unknown_issuer);
  // To another one, or pinned by its key alone.
  auto other = radio;
  other.organization = "other.com";
  CHECK(verdict(anchors(**make({other})), wanted) == ec::unknown_issuer);
  trust_anchors keys;
  REQUIRE_FALSE(keys.add(jlr.anchor()));
  REQUIRE_FALSE(keys.add(media.anchor()));
  CHECK(verdict(keys, wanted) == ec::unknown_issuer);
  // Nobody speaks for the delegate here.
  trust_anchors unknown;
  REQUIRE_FALSE(unknown.add((*first)->text));
  CHECK(verdict(unknown, wanted) == ec::unknown_issuer);
}

TEST_CASE_FIXTURE(fixture, "reserved levels are never delegated") {
  auto x = make({{"media.com", {}, {"jlr.com/vin/+/provisioning", "jlr.com/vin"}, {}, UINT64_MAX}});
  REQUIRE(x);
  auto wanted = claims({"media.com/app"}, {"jlr.com/vin/+/provisioning", "media.com/admin"});
  wanted.administrator = true;
  auto made = issue_credential(wanted, media.key, credential_format::cose, anchors(**x));
  REQUIRE_MESSAGE(made, describe(made.error()));
  CHECK_FALSE((*made)->covers_destination("jlr.com/vin/1/provisioning/add_certificate"));
  CHECK((*made)->covers_destination("media.com/admin/x"));
}

TEST_CASE_FIXTURE(fixture, "who issues is told what nobody has delegated") {
  auto wanted = claims({"media.com/app"}, {"jlr.com/vin/+/services/radio"});
  auto refused = issue_credential(wanted, media.key);
  CHECK(code_of(refused.error()) == ec::bad_request);
  CHECK(issue_credential(wanted, media.key, credential_format::jws, anchors(**make({radio}))));
}

TEST_CASE_FIXTURE(fixture, "what no bundle may say of delegates") {
  using change = void (*)(std::vector<bundle_delegate>&);
  for (change spoil : std::initializer_list<change>{
         [](auto& xs) { xs.push_back(xs[0]); }, [](auto& xs) { xs[0].organization = "jlr.com"; },
         [](auto& xs) { xs[0].organization = "x y"; },
         [](auto& xs) { xs[0].destinations = {"media.com/x"}; },
         [](auto& xs) { xs[0].destinations = {"JLR.com/x"}; },
         [](auto& xs) { xs[0].destinations = {"jlr.com/#/x"}; },
         [](auto& xs) {
           xs[0].destinations.clear();
           xs[0].relay.clear();
         },
         [](auto& xs) { xs[0].sources.assign(31, "jlr.com/x"); },
         [](auto& xs) {
           for (int i = 0; i < 16; ++i)
             xs.push_back({"org" + std::to_string(i) + ".com", {"jlr.com/x"}, {}, {}, 1});
         }}) {
    std::vector<bundle_delegate> xs{radio};
    spoil(xs);
    CHECK(code_of(make(xs).error()) == ec::bad_request);
  }
  std::vector<bundle_delegate> most;
  for (int i = 0; i < 16; ++i)
    most.push_back(
      {"org" + std::to_string(i) + ".com", std::vector<std::string>(32, "jlr.com/x"), {}, {}, 1});
  auto x = make(most);
  REQUIRE_MESSAGE(x, describe(x.error()));
  auto again = parse_trust_bundle((*x)->text);
  REQUIRE(again);
  CHECK((*again)->delegates.size() == 16);
  CHECK((*again)->delegates[15].sources.size() == 32);
}

TEST_SUITE_END();
