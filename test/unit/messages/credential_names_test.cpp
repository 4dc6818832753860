// SPDX-License-Identifier: MPL-2.0
//
// The claims of a credential under the names that the HLD's certificate (7.2) and rvi_core have for
// them, and what of theirs is refused.

#include "messages/credential.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/jws.hpp"
#include "test/support/authority.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr uint64_t now_s = 1'795'000'001;

struct fixture {
  fixture() {
    auto x = root.claims(vehicle.public_part(), {"jlr.com/vin/1234"}, {"jlr.com/cloud"}, now_s);
    x.id = "one";
    plain = root.issue(x);
    REQUIRE(plain);
    payload = crypto::parse_jws(plain->text)->payload;
  }

  /// The claims with this text in place of that.
  std::string with(std::string_view from, std::string_view to) const {
    auto result = payload;
    auto at = result.find(from);
    REQUIRE_MESSAGE(at != result.npos, from);
    return result.replace(at, from.size(), to);
  }

  expected<credential_ptr> read(const std::string& claims) const {
    return parse_credential(
      *crypto::sign_jws(root.key, "rvi-cred+jwt", to_string(root.key.public_part().uid()), claims));
  }

  bool refused(const std::string& claims, std::string_view why) const {
    auto x = read(claims);
    return !x && code_of(x.error()) == ec::credential_invalid
           && detail_of(x.error()).find(why) != std::string::npos;
  }

  std::string member(const char* name, uint64_t number) const {
    return "\"" + std::string{name} + "\":" + std::to_string(number);
  }

  test::authority root;
  crypto::private_key vehicle = *crypto::private_key::generate(crypto::algorithm::ed25519);
  credential_ptr plain;
  std::string payload;
};

} // namespace

TEST_SUITE_BEGIN("claim names");

TEST_CASE_FIXTURE(fixture, "sources and destinations under each of their names") {
  for (auto* name : {"sources", "right_to_receive", "right_to_register", "register"}) {
    auto x = read(with("\"sources\"", "\"" + std::string{name} + "\""));
    REQUIRE_MESSAGE(x, name);
    CHECK((*x)->sources == plain->sources);
  }
  for (auto* name : {"destinations", "right_to_invoke", "invoke"}) {
    auto x = read(with("\"destinations\"", "\"" + std::string{name} + "\""));
    REQUIRE_MESSAGE(x, name);
    CHECK((*x)->destinations == plain->destinations);
  }
}

TEST_CASE_FIXTURE(fixture, "the certificate of the HLD: id, validity, create_timestamp") {
  auto x = read(with("\"jti\"", "\"id\""));
  REQUIRE(x);
  CHECK((*x)->id == "one");
  CHECK((*x)->revocation == plain->revocation);
  x = read(with("\"iat\"", "\"create_timestamp\""));
  REQUIRE(x);
  CHECK((*x)->issued_s == plain->issued_s);
  auto times = member("nbf", plain->not_before_s) + "," + member("exp", plain->expires_s);
  x = read(with(times, "\"validity\":{" + member("start", plain->not_before_s) + ","
                         + member("stop", plain->expires_s) + "}"));
  REQUIRE(x);
  CHECK((*x)->not_before_s == plain->not_before_s);
  CHECK((*x)->expires_s == plain->expires_s);
  // One of either is a whole, too.
  x = read(with(times, member("nbf", plain->not_before_s) + ",\"validity\":{"
                         + member("stop", plain->expires_s) + "}"));
  REQUIRE(x);
  CHECK((*x)->expires_s == plain->expires_s);
}

TEST_CASE_FIXTURE(fixture, "what is issued has our names") {
  for (auto* name : {"right_to", "register", "invoke", "\"id\"", "validity", "create_timestamp"})
    CHECK(payload.find(name) == payload.npos);
}

TEST_CASE_FIXTURE(fixture, "a claim under two names is refused, also if both say the same") {
  auto both = [this](const std::string& more) { return with("{\"ver\"", "{" + more + ",\"ver\""); };
  for (auto* name : {"right_to_receive", "right_to_register", "register"})
    CHECK(refused(both("\"" + std::string{name} + R"(":["jlr.com/vin/1234"])"), "given twice"));
  for (auto* name : {"right_to_invoke", "invoke"})
    CHECK(refused(both("\"" + std::string{name} + R"(":["jlr.com/cloud"])"), "given twice"));
  CHECK(refused(both(R"("id":"one")"), "given twice"));
  CHECK(refused(both(R"("id":null)"), "given twice"));
  CHECK(refused(both(member("create_timestamp", plain->issued_s)), "given twice"));
  CHECK(refused(both("\"validity\":{" + member("start", 1) + "}"), "given twice"));
  CHECK(refused(both("\"validity\":{" + member("stop", 1) + "}"), "given twice"));
  // Two of the others'.
  auto x = with("\"sources\"", R"("register":["jlr.com/vin/1"],"right_to_receive")");
  CHECK(refused(x, "given twice"));
}

TEST_CASE_FIXTURE(fixture, "their claims are held to the same rules") {
  CHECK(refused(with(R"("sources":["jlr.com/vin/1234"])", R"("right_to_receive":"jlr.com")"),
                "sources must be a list"));
  CHECK(refused(with(R"("sources":["jlr.com/vin/1234"])", R"("register":["a//b"])"), "sources"));
  CHECK(refused(with("\"jti\":\"one\"", "\"id\":\"\""), "required"));
  CHECK(
    refused(with(member("exp", plain->expires_s), R"("validity":{"stop":"never"})"), "required"));
  CHECK(refused(with(member("exp", plain->expires_s), R"("validity":1402000000)"), "required"));
}

TEST_CASE_FIXTURE(fixture, "keys in the forms of others are refused, beside ours too") {
  auto both = [this](const std::string& more) { return with("{\"ver\"", "{" + more + ",\"ver\""); };
  CHECK(refused(both(R"("device_cert":"MIIB")"), "device_cert"));
  CHECK(refused(both(R"("public_key":{"algorithm":"RSA","key":"MIIB"})"), "public_key"));
  CHECK(refused(R"({"iss":"jlr.com","id":"x","right_to_receive":["jlr.com/"],)"
                R"("right_to_invoke":["jlr.com/"],"create_timestamp":1439925416,)"
                R"("device_cert":"MIIB","validity":{"start":1420099200,"stop":1425020799}})",
                "device_cert"));
  auto input = crypto::base64url(R"({"alg":"RS256","typ":"JWT"})") + "." + crypto::base64url("{}");
  auto x = parse_credential(input + "." + crypto::base64url(std::string(64, 's')));
  REQUIRE_FALSE(x);
  CHECK(detail_of(x.error()).find("RS256") != std::string::npos);
}

TEST_SUITE_END();
