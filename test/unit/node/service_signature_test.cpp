// SPDX-License-Identifier: MPL-2.0
//
// HLD 8.19, figure 32: what a service is handed under its node's signature, checked with OpenSSL
// and not with our own code.

#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/distant_key.hpp"
#include "test/support/loopback_node.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <openssl/evp.h>
#include <openssl/sha.h>

using namespace rvi;

namespace {

constexpr const char* stream = "rpc:jlr.com/cloud/media_server/stream";

std::string decoded(std::string text) {
  std::replace(text.begin(), text.end(), '-', '+');
  std::replace(text.begin(), text.end(), '_', '/');
  auto padding = (4 - text.size() % 4) % 4;
  text.append(padding, '=');
  std::string out(text.size() / 4 * 3, '\0');
  auto n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                           reinterpret_cast<const unsigned char*>(text.data()),
                           static_cast<int>(text.size()));
  REQUIRE(n >= 0);
  out.resize(static_cast<size_t>(n) - padding);
  return out;
}

std::string sha256_hex(const std::string& x) {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(x.data()), x.size(), hash);
  std::string result;
  for (auto byte : hash) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", byte);
    result += two;
  }
  return result;
}

std::string text(json::value x) {
  return std::string{x.as_string().value_or("")};
}

/// An Ed25519 key from its JWK.
std::shared_ptr<EVP_PKEY> key_of(const std::string& jwk) {
  auto document = json::parse(jwk);
  REQUIRE(document);
  REQUIRE(text(document->root()["kty"]) == "OKP");
  auto x = decoded(text(document->root()["x"]));
  return {EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr,
                                      reinterpret_cast<const unsigned char*>(x.data()), x.size()),
          EVP_PKEY_free};
}

bool verifies(const std::string& jws, const std::string& jwk) {
  auto end = jws.rfind('.');
  auto input = jws.substr(0, end);
  auto signature = decoded(jws.substr(end + 1));
  std::shared_ptr<EVP_MD_CTX> context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
  auto key = key_of(jwk);
  REQUIRE(EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  return EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                          signature.size(), reinterpret_cast<const unsigned char*>(input.data()),
                          input.size())
         == 1;
}

json::document part(const std::string& jws, int index) {
  size_t begin = 0;
  for (; index > 0; --index)
    begin = jws.find('.', begin) + 1;
  auto result = json::parse(decoded(jws.substr(begin, jws.find('.', begin) - begin)));
  REQUIRE(result);
  return std::move(*result);
}

/// A signer of a version that knows nothing of services.
struct old_signer final : crypto::external_key {
  explicit old_signer(crypto::private_key x) : key(std::move(x)) {}
  expected<std::string> sign(std::string_view message) const override {
    if (message.starts_with("ey"))
      return caf::make_error(ec::bad_request, std::string{"it has no form that a node signs"});
    return key.sign(message);
  }
  std::string location() const override { return "elsewhere"; }
  crypto::private_key key;
};

struct fixture : test::world {
  fixture() {
    (void)log::configure(log::level::off, log::format::text);
    cloud.infix = "";
    cloud.start();
    vehicle.routes = {{"+:jlr.com/cloud/#", {"loopback:cloud"}}};
    vehicle.start();
  }

  /// The key that the node tells the service.
  std::string serve(const std::string& name, test::loopback_node& at, bool signature_wanted) {
    register_service_call x;
    x.service = name;
    x.signature_wanted = signature_wanted;
    at.call(std::move(x));
    auto* result = std::get_if<registered_result>(&at.services->answers.back().answer);
    REQUIRE(result);
    return result->edge_key;
  }

  void ask(const std::string& arguments, const std::string& target = stream) {
    vehicle.invoke("player", target, arguments, 30'001);
    REQUIRE(!vehicle.services->answers.back().error);
    pass(2'000);
  }

  test::loopback_node vehicle{*this, "jlr.com/vin/1234", "vehicle", {"jlr.com/cloud"}};
  test::loopback_node cloud{*this, "jlr.com/cloud", "cloud", {"jlr.com/vin"}};
};

} // namespace

TEST_CASE_FIXTURE(fixture, "a request is handed over with what the node says of it") {
  auto key = serve("media_server", cloud, true);
  CHECK(key == cloud.key.public_part().jwk());
  CHECK(serve("player", vehicle, false).empty());
  ask(R"({ "a" : [1.50] })");
  REQUIRE(cloud.services->invoked.size() == 1);
  auto& got = cloud.services->invoked[0];
  auto& header = got.content->header;
  auto jws = got.service_signature;
  REQUIRE(verifies(jws, key));
  CHECK(!verifies(jws, vehicle.key.public_part().jwk()));
  auto head = part(jws, 0);
  CHECK(text(head.root()["alg"]) == "EdDSA");
  CHECK(text(head.root()["typ"]) == "rvi-service+jwt");
  auto claims = part(jws, 1);
  auto said = claims.root();
  CHECK(text(said["iss"]) == "jlr.com/cloud");
  CHECK(text(said["aud"]) == "jlr.com/cloud/media_server");
  CHECK(text(said["method"]) == "invoke");
  CHECK(text(said["transaction_id"]) == to_string(header.id));
  CHECK(text(said["target"]) == stream);
  CHECK(text(said["source"]) == "jlr.com/vin/1234/services/player");
  CHECK(text(said["node"]) == to_string(vehicle.key.public_part().uid()));
  CHECK(text(said["arguments_sha256"]) == sha256_hex(R"({ "a" : [1.50] })"));
  CHECK(said["timeout"].as_uint() == header.expires_ms);
  CHECK(said["exp"].as_uint() == header.expires_ms / 1'000 + 1);
  CHECK(said["iat"].as_uint().value_or(0) <= now_s());
  CHECK(!said["role"]);
  // Not a bit of it may change.
  for (size_t i = 0; i + 1 < jws.size(); i += 7) { // the last digit has bits that mean nothing
    auto other = jws;
    other[i] = other[i] == 'A' ? 'B' : 'A';
    if (other.rfind('.') == jws.rfind('.') && other != jws)
      CHECK(!verifies(other, key));
  }
}

TEST_CASE_FIXTURE(fixture, "who wants no signature gets none, and the order of all holds") {
  serve("media_server", cloud, true);
  serve("door", cloud, false);
  serve("player", vehicle, false);
  ask("0", "rpc:jlr.com/cloud/door/open");
  REQUIRE(cloud.services->invoked.size() == 1);
  CHECK(cloud.services->invoked[0].service_signature.empty());
  for (int i = 0; i < 50; ++i) {
    invoke_call x;
    x.timeout_ms = now_ms() + 30'000;
    x.requesting_service = "player";
    x.target = stream;
    x.arguments = std::to_string(i);
    x.channel = "c";
    vehicle.call(std::move(x));
  }
  pass(5'000);
  auto& invoked = cloud.services->invoked;
  REQUIRE(invoked.size() == 51);
  for (int i = 0; i < 50; ++i) {
    CHECK(invoked[size_t(i) + 1].content->arguments == std::to_string(i));
    CHECK(text(part(invoked[size_t(i) + 1].service_signature, 1).root()["arguments_sha256"])
          == sha256_hex(std::to_string(i)));
  }
}

TEST_CASE_FIXTURE(fixture,
                  "an outcome comes to the requesting service under its node's signature") {
  serve("media_server", cloud, false);
  auto key = serve("player", vehicle, true);
  bool synch = false;
  SUBCASE("as a reply") {}
  SUBCASE("as the answer") {
    synch = true;
  }
  vehicle.invoke("player", stream, "1", 30'000, synch);
  pass(2'000);
  REQUIRE(cloud.services->invoked.size() == 1);
  cloud.reply(cloud.services->invoked[0].content->header.id, R"({"ok": true})");
  pass(2'000);
  outcome_notice got;
  if (synch) {
    auto* answer = std::get_if<outcome_notice>(&vehicle.services->answers.back().answer);
    REQUIRE(answer);
    got = *answer;
  } else {
    REQUIRE(vehicle.services->outcomes.size() == 1);
    got = vehicle.services->outcomes[0].notice;
  }
  REQUIRE(verifies(got.service_signature, key));
  auto claims = part(got.service_signature, 1);
  CHECK(text(claims.root()["method"]) == "reply");
  CHECK(text(claims.root()["status"]) == "ok");
  CHECK(text(claims.root()["aud"]) == "jlr.com/vin/1234/services/player");
  CHECK(text(claims.root()["transaction_id"]) == to_string(got.id));
  CHECK(text(claims.root()["arguments_sha256"]) == sha256_hex(R"({"ok": true})"));
}

TEST_CASE_FIXTURE(fixture, "a timeout is signed, too") {
  auto key = serve("player", vehicle, true);
  serve("media_server", cloud, false);
  cloud.call(unregister_service_call{"media_server"});
  ask("1");
  pass(31'000);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  auto& got = vehicle.services->outcomes[0].notice;
  CHECK(got.status == "timeout");
  REQUIRE(verifies(got.service_signature, key));
  auto claims = part(got.service_signature, 1);
  CHECK(text(claims.root()["status"]) == "timeout");
  CHECK(text(claims.root()["dispatched"]) == got.dispatched);
  CHECK(!claims.root()["arguments_sha256"]);
}

TEST_CASE_FIXTURE(fixture, "power cut after a signed hand-over: it does not come again") {
  serve("media_server", cloud, true);
  serve("player", vehicle, false);
  cloud.services->takes_receipts = false;
  ask("1");
  REQUIRE(cloud.services->invoked.size() == 1);
  cloud.kill();
  cloud.start();
  serve("media_server", cloud, true);
  pass(35'000);
  CHECK(cloud.services->invoked.size() == 1); // never a second time
  REQUIRE(vehicle.services->outcomes.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a key that is away lets the service wait, and no other") {
  auto distant = std::make_shared<test::distant_key>(cloud.key);
  cloud.kill();
  cloud.key = test::key_at(distant);
  cloud.start();
  serve("media_server", cloud, true);
  serve("door", cloud, false);
  serve("player", vehicle, false);
  ask("0", "rpc:jlr.com/cloud/door/open");
  REQUIRE(cloud.services->invoked.size() == 1);
  distant->refusal = ec::busy;
  ask("1");
  ask("2", "rpc:jlr.com/cloud/door/open");
  pass(8'000); // longer than the signer waits before it says so
  REQUIRE(cloud.services->invoked.size() == 2);
  CHECK(cloud.services->invoked[1].content->arguments == "2");
  distant->refusal = ec::none;
  pass(5'000);
  REQUIRE(cloud.services->invoked.size() == 3);
  CHECK(cloud.services->invoked[2].content->arguments == "1");
  CHECK(!cloud.services->invoked[2].service_signature.empty());
}

TEST_CASE_FIXTURE(fixture, "without a signature a request is refused, and an outcome told") {
  cloud.kill();
  vehicle.kill();
  bool at_cloud = true;
  SUBCASE("of a request") {}
  SUBCASE("of an outcome") {
    at_cloud = false;
  }
  auto& node = at_cloud ? cloud : vehicle;
  auto key = std::make_shared<old_signer>(node.key);
  node.key = crypto::private_key::from_external(key->key.public_part(), key);
  cloud.start();
  vehicle.start();
  serve("media_server", cloud, at_cloud);
  serve("player", vehicle, !at_cloud);
  ask("0");
  CHECK(cloud.services->invoked.size() == (at_cloud ? 0 : 1));
  if (!at_cloud)
    cloud.reply(cloud.services->invoked[0].content->header.id, "1");
  pass(2'000);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  auto& got = vehicle.services->outcomes[0].notice;
  CHECK(got.status == (at_cloud ? "error" : "ok"));
  CHECK((got.error.find("bad_request") != std::string::npos) == at_cloud);
  CHECK(got.service_signature.empty());
}
