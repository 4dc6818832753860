// SPDX-License-Identifier: MPL-2.0
//
// The user level (HLD 3.2.6): what rules say, and which rules are none.

#include "messages/access_policy.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr uint64_t now_ms = 1'795'000'000'000;
constexpr auto door = "rpc:jlr.com/vin/1234/body/door/unlock";

struct fixture {
  void add(const char* text) {
    auto err = policy.add(text);
    REQUIRE_MESSAGE(!err, describe(err));
  }

  /// What the door says to a user like this.
  bool opens(const char* role, uint64_t authenticated_ms, const char* method = "pin") {
    header.user = std::make_shared<const on_behalf_of>(
      on_behalf_of{std::string(16, 'u'), role, authenticated_ms, method});
    auto err = policy.check_user(header, now_ms);
    CHECK((!err || code_of(err) == ec::unauthorized));
    return !err;
  }

  fixture() {
    header.target = door;
    header.created_ms = now_ms;
  }

  access_policy policy;
  request_header header;
  principal app{"uid:1000", false, "gid:100"};
  principal hmi{"token:hmi", false};
  principal root{"uid:0", true, "gid:0"};
};

} // namespace

TEST_CASE_FIXTURE(fixture, "without rules for principals all may do all, but speak for nobody") {
  add(R"({"services":[{"names":["jlr.com/x"],"roles":["owner"]}]})");
  CHECK(policy.may_register(app, "jlr.com/vin/1234/services/x"));
  CHECK(policy.may_invoke(app, door));
  CHECK(policy.may_subscribe(app, "metric:#"));
  auto nobody = policy.speaks_for(app, std::nullopt, now_ms);
  REQUIRE(nobody);
  CHECK(!*nobody);
  CHECK(code_of(policy.speaks_for(root, named_user{"bob", "owner", 0, {}}, now_ms).error())
        == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "with one rule all others are denied, administrators excepted") {
  add(R"({"principals":[{"match":{"uid":1000},"register":["jlr.com/vin/1234/services/media"],
                         "invoke":["rpc:jlr.com/cloud","metric:jlr.com/cloud/#"]}]})");
  CHECK(policy.may_register(app, "jlr.com/vin/1234/services/media"));
  CHECK(policy.may_register(app, "jlr.com/vin/1234/services/media/tuner"));
  CHECK(!policy.may_register(app, "jlr.com/vin/1234/services/media2"));
  CHECK(policy.may_invoke(app, "rpc:jlr.com/cloud/x"));
  CHECK(!policy.may_invoke(app, "message:jlr.com/cloud/x"));
  CHECK(policy.may_subscribe(app, "metric:jlr.com/cloud/+/speed"));
  CHECK(!policy.may_subscribe(app, "metric:jlr.com/#"));
  CHECK(!policy.may_subscribe(app, "metric:jlr.com/+/x"));
  CHECK(!policy.may_register(hmi, "jlr.com/vin/1234/services/media"));
  CHECK(!policy.may_invoke(hmi, "rpc:jlr.com/cloud/x"));
  CHECK(policy.may_register(root, "jlr.com/vin/1234/services/y"));
  CHECK(policy.may_invoke(root, door));
}

TEST_CASE_FIXTURE(fixture, "rules of a program, of its group and of its token add up") {
  add(R"({"principals":[{"match":{"gid":100},"invoke":["jlr.com/a"]},
                        {"match":{"uid":1000},"invoke":["jlr.com/b"]},
                        {"match":{"token":"hmi"},"invoke":["jlr.com/c"]}]})");
  CHECK(policy.may_invoke(app, "rpc:jlr.com/a/x"));
  CHECK(policy.may_invoke(app, "rpc:jlr.com/b/x"));
  CHECK(!policy.may_invoke(app, "rpc:jlr.com/c/x"));
  CHECK(policy.may_invoke(hmi, "rpc:jlr.com/c/x"));
  // A token of the name of a user is not the user.
  CHECK(!policy.may_invoke({"token:uid:1000", false, {}}, "rpc:jlr.com/b/x"));
  // Whoever has no group is in none.
  CHECK(!policy.may_invoke({"uid:7", false, {}}, "rpc:jlr.com/a/x"));
}

TEST_CASE_FIXTURE(fixture,
                  "a program speaks for itself as its rule says, or for users it may name") {
  add(R"({"principals":[{"match":{"uid":1000},"as":"media"},
                        {"match":{"token":"hmi"},"as":"hmi","users":["owner","driver"]}]})");
  auto itself = policy.speaks_for(app, std::nullopt, now_ms);
  REQUIRE(itself);
  REQUIRE(*itself);
  CHECK((*itself)->name == "uid:1000");
  CHECK((*itself)->role == "media");
  CHECK((*itself)->authenticated_ms == 0); // a process is no user who proved anything
  CHECK((*itself)->method == "uid");
  named_user bob{"bob", "owner", now_ms - 5, "pin"};
  auto named = policy.speaks_for(hmi, bob, now_ms);
  REQUIRE(named);
  REQUIRE(*named);
  CHECK((*named)->name == "bob");
  CHECK((*named)->authenticated_ms == now_ms - 5);
  CHECK(code_of(policy.speaks_for(app, bob, now_ms).error()) == ec::unauthorized);
  bob.role = "mechanic";
  CHECK(code_of(policy.speaks_for(hmi, bob, now_ms).error()) == ec::unauthorized);
  bob.role = "media"; // of another program's rule
  CHECK(code_of(policy.speaks_for(hmi, bob, now_ms).error()) == ec::unauthorized);
  bob.role = "";
  CHECK(code_of(policy.speaks_for(hmi, bob, now_ms).error()) == ec::unauthorized);
  bob = {"bob", "owner", now_ms + 1, "pin"};
  CHECK(code_of(policy.speaks_for(hmi, bob, now_ms).error()) == ec::bad_request);
}

TEST_CASE_FIXTURE(fixture, "a door opens for who has the role and proved it lately") {
  add(R"({"services":[{"names":["jlr.com/vin/1234/body/door"],"roles":["owner","driver"],
                       "authenticated_within_s":300,"methods":["pin"]}]})");
  CHECK(policy.check_user(header, now_ms)); // nobody is named
  CHECK(opens("owner", now_ms - 300'000));
  CHECK(opens("driver", now_ms));
  CHECK(!opens("owner", now_ms - 300'001));
  CHECK(!opens("owner", 0));
  CHECK(!opens("valet", now_ms));
  CHECK(!opens("", now_ms));
  CHECK(!opens("Owner", now_ms));
  CHECK(!opens("owner", now_ms, "face"));
  CHECK(!opens("owner", now_ms, ""));
  CHECK(!opens("owner", now_ms + 1)); // after the request was made
  CHECK(!opens("owner", UINT64_MAX));
  header.target = "rpc:jlr.com/vin/1234/body/seat/heat";
  CHECK(opens("valet", 0));
}

TEST_CASE_FIXTURE(fixture, "each of several rules for a service must hold") {
  add(R"({"services":[{"names":["jlr.com/vin/1234"],"roles":["owner","valet"]},
                      {"names":["rpc:jlr.com/vin/1234/body/door"],"roles":["owner"]}]})");
  CHECK(opens("owner", 0));
  CHECK(!opens("valet", 0));
  header.target = "message:jlr.com/vin/1234/body/door/unlock";
  CHECK(opens("valet", 0));
}

TEST_CASE_FIXTURE(fixture, "what is no rule is refused, and nothing of its file is taken") {
  for (auto text :
       {"",
        "[]",
        "7",
        R"({"principal":[]})",
        R"({"principals":{}})",
        R"({"principals":[7]})",
        R"({"principals":[{}]})",
        R"({"principals":[{"match":{}}]})",
        R"({"principals":[{"match":{"uid":1,"gid":1}}]})",
        R"({"principals":[{"match":{"uid":-1}}]})",
        R"({"principals":[{"match":{"uid":"1"}}]})",
        R"({"principals":[{"match":{"uid":4294967295}}]})",
        R"({"principals":[{"match":{"name":"x"}}]})",
        R"({"principals":[{"match":{"token":""}}]})",
        R"({"principals":[{"match":{"uid":1},"invokes":[]}]})",
        R"({"principals":[{"match":{"uid":1},"invoke":"#"}]})",
        R"({"principals":[{"match":{"uid":1},"invoke":["a//b"]}]})",
        R"({"principals":[{"match":{"uid":1},"invoke":[7]}]})",
        R"({"principals":[{"match":{"uid":1},"as":""}]})",
        R"({"principals":[{"match":{"uid":1},"users":[7]}]})",
        R"({"principals":[{"match":{"uid":1},"match":{"uid":2}}]})",
        R"({"services":[{"roles":["x"]}]})",
        R"({"services":[{"names":[],"roles":["x"]}]})",
        R"({"services":[{"names":["jlr.com"]}]})",
        R"({"services":[{"names":["jlr.com"],"roles":[]}]})",
        R"({"services":[{"names":["jlr.com"],"authenticated_within_s":0}]})",
        R"({"services":[{"names":["jlr.com"],"authenticated_within_s":-1}]})",
        R"({"services":[{"names":["jlr.com"],"authenticated_within_s":99999999999999}]})",
        R"({"services":[{"names":["jlr.com"],"role":["x"]}]})",
        R"({"keys":[{"names":["jlr.com"]}]})",
        R"({"keys":[{"names":["jlr.com"],"public_key":"x"}]})",
        R"({"keys":[{"names":["jlr.com"],"public_key":{"kty":"OKP","crv":"Ed25519","x":""}}]})",
        R"({"keys":[{"public_key":{"kty":"OKP","crv":"Ed25519",)"
        R"("x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}]})",
        R"({"principals":[{"match":{"uid":1}}],"services":[{"names":["jlr.com"]}]})"}) {
    CAPTURE(text);
    CHECK(policy.add(text));
    CHECK(policy.may_invoke(app, door)); // still no rule
    CHECK(!policy.check_user(header, now_ms));
  }
}

TEST_CASE_FIXTURE(fixture, "rules may name the keys of services") {
  auto rule = [](const char* names, const crypto::public_key& key) {
    return R"({"keys":[{"names":[")" + std::string{names} + R"("],"public_key":)" + key.jwk()
           + "}]}";
  };
  auto first = crypto::private_key::generate(crypto::algorithm::ed25519)->public_part();
  auto second = crypto::private_key::generate(crypto::algorithm::es256)->public_part();
  REQUIRE_FALSE(policy.add(rule("jlr.com/vin/1234/body", first)));
  REQUIRE_FALSE(policy.add(rule("jlr.com/vin/1234/body/door", second)));
  auto check = [&](const char* service, const crypto::public_key* key) {
    return code_of(policy.check_key(service, key));
  };
  CHECK(check("jlr.com/vin/1234/radio", nullptr) == ec::none);
  CHECK(check("jlr.com/vin/1234/radio", &second) == ec::none);
  CHECK(check("jlr.com/vin/1234/body", nullptr) == ec::unauthorized);
  CHECK(check("jlr.com/vin/1234/body", &second) == ec::unauthorized);
  CHECK(check("jlr.com/vin/1234/body", &first) == ec::none);
  CHECK(check("jlr.com/vin/1234/body/door", &first) == ec::none);
  CHECK(check("jlr.com/vin/1234/body/door", &second) == ec::none);
  CHECK(policy.may_invoke(app, door)); // they say nothing of programs
}
