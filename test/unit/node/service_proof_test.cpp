// SPDX-License-Identifier: MPL-2.0
//
// HLD 12.1: a service signs what it asks with a key of its own; nobody else asks in its name.

#include "actors/edge/service_proof.hpp"
#include "messages/access_policy.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/jws.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/loopback_node.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr const char* stream = "rpc:jlr.com/cloud/media_server/stream";
constexpr const char* service = "jlr.com/vin/1234/services/player";

struct fixture : test::world {
  fixture() {
    (void)log::configure(log::level::off, log::format::text);
    cloud.infix = "";
    cloud.start();
    vehicle.routes = {{"+:jlr.com/cloud/#", {"loopback:cloud"}}};
    vehicle.start();
    cloud.register_service("media_server");
  }

  ec serve(const crypto::private_key* with, const char* name = "player") {
    register_service_call x;
    x.service = name;
    if (with)
      x.public_key = with->public_part().jwk();
    vehicle.call(std::move(x));
    return code();
  }

  invoke_call asked(uint64_t id) {
    invoke_call x;
    x.timeout_ms = now_ms() + 60'000;
    x.timeout_given = true;
    x.requesting_service = "player";
    x.target = stream;
    x.arguments = R"({ "a" : 1.50 })";
    x.service_transaction_id = id;
    return x;
  }

  static std::string
  signature(const invoke_call& x, const crypto::private_key& by,
            const char* type = service_proof_type, const std::string& from = service,
            const std::string& at = "jlr.com/vin/1234") {
    return *crypto::sign_jws(by, type, to_string(by.public_part().uid()),
                             service_proof_claims(x, from, at));
  }

  ec send(invoke_call x) {
    vehicle.call(std::move(x));
    return code();
  }

  ec code() const { return code_of(vehicle.services->answers.back().error); }

  static crypto::private_key new_key(crypto::algorithm kind = crypto::algorithm::ed25519) {
    return *crypto::private_key::generate(kind);
  }

  static void set_policy(test::loopback_node& at, const std::string& text) {
    auto rules = std::make_shared<access_policy>();
    REQUIRE_FALSE(rules->add(text));
    auto next = std::make_shared<rights>(*at.context->rights->load());
    next->policy = std::move(rules);
    at.context->rights->publish(next);
  }

  crypto::private_key key = new_key();
  test::loopback_node vehicle{*this, "jlr.com/vin/1234", "vehicle", {"jlr.com/cloud"}};
  test::loopback_node cloud{*this, "jlr.com/cloud", "cloud", {"jlr.com/vin"}};
};

} // namespace

TEST_CASE_FIXTURE(fixture, "what the service's key has signed is accepted, once") {
  SUBCASE("Ed25519") {}
  SUBCASE("ES256") {
    key = new_key(crypto::algorithm::es256);
  }
  REQUIRE(serve(&key) == ec::none);
  auto x = asked(1);
  x.user = named_user{"bob", "owner", now_ms() - 1'000, "pin"};
  set_policy(vehicle, R"({"principals":[{"match":{"uid":1000},"users":["owner"]}]})");
  x.service_signature = signature(x, key);
  CHECK(send(x) == ec::none);
  CHECK(send(x) == ec::none); // its first answer again
  pass(2'000);
  REQUIRE(cloud.services->invoked.size() == 1);
  CHECK(cloud.services->invoked[0].content->arguments == x.arguments);
}

TEST_CASE_FIXTURE(fixture, "nothing else is") {
  REQUIRE(serve(&key) == ec::none);
  auto x = asked(1);
  x.user = named_user{"bob", "owner", now_ms() - 1'000, "pin"};
  set_policy(vehicle, R"({"principals":[{"match":{"uid":1000},"users":["owner","guest"]}]})");
  ec expected = ec::signature_invalid;
  auto good = signature(x, key);
  x.service_signature = good;
  SUBCASE("no signature") {
    x.service_signature.clear();
  }
  SUBCASE("by another key") {
    x.service_signature = signature(x, new_key());
  }
  SUBCASE("by another key under the name of this one") {
    x.service_signature
      = *crypto::sign_jws(new_key(), service_proof_type, to_string(key.public_part().uid()),
                          service_proof_claims(x, service, "jlr.com/vin/1234"));
  }
  SUBCASE("of another purpose") {
    x.service_signature = signature(x, key, "rvi-service+jwt");
  }
  SUBCASE("of another service") {
    x.service_signature = signature(x, key, service_proof_type, "jlr.com/vin/1234/services/other");
  }
  SUBCASE("for another node") {
    x.service_signature = signature(x, key, service_proof_type, service, "jlr.com/vin/9");
  }
  SUBCASE("other arguments") {
    x.arguments = R"({"a":1.50})";
  }
  SUBCASE("another target") {
    x.target = "rpc:jlr.com/cloud/media_server/stop";
  }
  SUBCASE("another time") {
    x.timeout_ms += 1;
  }
  SUBCASE("another id") {
    x.service_transaction_id = 2;
  }
  SUBCASE("another user") {
    x.user->name = "eve";
  }
  SUBCASE("another role") {
    x.user->role = "guest";
  }
  SUBCASE("another proof of who it is") {
    x.user->method = "face";
  }
  SUBCASE("a later proof of who it is") {
    x.user->authenticated_ms += 1;
  }
  SUBCASE("for nobody") {
    x.user.reset();
  }
  SUBCASE("one claim more") {
    auto claims = service_proof_claims(x, service, "jlr.com/vin/1234");
    claims.insert(claims.size() - 1, R"(,"x":1)");
    x.service_signature
      = *crypto::sign_jws(key, service_proof_type, to_string(key.public_part().uid()), claims);
  }
  SUBCASE("a signature in pieces") {
    x.service_signature = good.substr(0, good.rfind('.'));
  }
  SUBCASE("without an id") {
    x.service_transaction_id.reset();
    x.service_signature = signature(x, key);
    expected = ec::bad_request;
  }
  SUBCASE("without a time of its own") {
    x.timeout_given = false;
    x.service_signature = signature(x, key);
    expected = ec::bad_request;
  }
  CHECK(send(x) == expected);
  pass(2'000);
  CHECK(cloud.services->invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "a key that is none is refused") {
  register_service_call x;
  x.service = "player";
  for (auto* text : {"{}", R"({"kty":"RSA","n":"AQAB","e":"AQAB"})", "[]"}) {
    x.public_key = text;
    vehicle.call(x);
    CHECK(code() == ec::bad_request);
  }
}

TEST_CASE_FIXTURE(fixture,
                  "the node's rules name the key, for those who come and those who are here") {
  auto rules = R"({"keys":[{"names":["jlr.com/vin/1234/services/player"],"public_key":)"
               + key.public_part().jwk() + "}]}";
  auto x = asked(1);
  REQUIRE(serve(nullptr) == ec::none);
  CHECK(send(x) == ec::none);
  set_policy(vehicle, rules);
  x.service_transaction_id = 2;
  CHECK(send(x) == ec::unauthorized); // registered before the rule
  auto other = new_key();
  CHECK(serve(nullptr) == ec::unauthorized);
  CHECK(serve(&other) == ec::unauthorized);
  CHECK(serve(nullptr, "radio") == ec::none); // no rule for it
  REQUIRE(serve(&key) == ec::none);
  CHECK(send(x) == ec::signature_invalid);
  x.service_signature = signature(x, key);
  CHECK(send(x) == ec::none);
}
