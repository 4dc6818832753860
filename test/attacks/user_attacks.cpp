// SPDX-License-Identifier: MPL-2.0
//
// The user level (HLD 3.2.6). A node of the same organization may reach the cloud's door, and says
// what it likes of its users; a program beside the cloud has a token, and rules that hold it back.

#include "actors/edge/service_proof.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/jws.hpp"
#include "test/attacks/api_stranger.hpp"
#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;
using namespace std::literals;

namespace {

struct door_fixture : session_attack {
  request_header asked(on_behalf_of user) {
    auto result = attacker.header("rpc:jlr.com/cloud/media_server/door/open");
    result.user = std::make_shared<const on_behalf_of>(std::move(user));
    return result;
  }

  void stays_shut(const request_header& x) {
    sends(attacker.sign({x}, {"\"attack\""}));
    refuses_item(peer, x.id, "unauthorized");
  }

  on_behalf_of owner{std::string(16, 'u'), "owner", wall_ms() - 1'000, "pin"};
};

struct program_fixture : attack {
  program_fixture() { signatures_max = 0; }

  void unauthorized(const std::string& method, const std::string& params) {
    CHECK(call(method, params) == "unauthorized");
    check_refusal_recorded(at.cloud, "unauthorized", R"("principal":"token:app")");
  }
  std::string call(const std::string& method, const std::string& params) {
    return api_stranger{at.api_port}.code_of_call(app_token, method, params);
  }
  std::string invoke(const std::string& target, const std::string& user = {}) const {
    return R"({"timeout":)" + std::to_string(wall_ms() + 60'000)
           + R"(,"requesting_service":"app","target":")" + target + R"(","arguments":"honest")"
           + (user.empty() ? "" : R"(,"on_behalf_of":)" + user) + "}";
  }
};

constexpr auto for_app = "rpc:jlr.com/vin/1234/services/media_player/app/list";

} // namespace

TEST_SUITE_BEGIN("attacks: users" * doctest::skip(rvi_program().empty()));

// -- at the door of another node ----------------------------------------------------------------

TEST_CASE_FIXTURE(door_fixture, "the owner gets in, so that the refusals below mean something") {
  auto x = asked(owner);
  sends(attacker.sign({x}, {"\"honest\""}));
  CHECK(peer.custody_of(x.id) == "accepted");
  CHECK(wait_for({&at.media_server}, [&] { return at.media_server.invoked.size() == 1; }));
}

TEST_CASE_FIXTURE(door_fixture, "nobody asks") {
  auto x = asked(owner);
  x.user = nullptr;
  stays_shut(x);
}

TEST_CASE_FIXTURE(door_fixture, "a guest asks") {
  owner.role = "guest";
  stays_shut(asked(owner));
}

TEST_CASE_FIXTURE(door_fixture, "a user without a role asks") {
  owner.role = "";
  stays_shut(asked(owner));
}

TEST_CASE_FIXTURE(door_fixture, "a role that only looks like the owner's") {
  for (auto role : {"Owner", "owner ", "owner,guest", "own"}) {
    CAPTURE(role);
    owner.role = role;
    stays_shut(asked(owner));
  }
}

TEST_CASE_FIXTURE(door_fixture, "an owner who proved it too long ago") {
  owner.authenticated_ms = wall_ms() - 61'000;
  stays_shut(asked(owner));
}

TEST_CASE_FIXTURE(door_fixture, "an owner who never proved it") {
  owner.authenticated_ms = 0;
  stays_shut(asked(owner));
}

TEST_CASE_FIXTURE(door_fixture, "an owner who will prove it later, to stay in for long") {
  owner.authenticated_ms = wall_ms() + 60'000;
  stays_shut(asked(owner));
  owner.authenticated_ms = UINT64_MAX;
  stays_shut(asked(owner));
}

TEST_CASE_FIXTURE(door_fixture, "an owner known by a way that is not good enough") {
  owner.method = "gesture";
  stays_shut(asked(owner));
}

TEST_CASE_FIXTURE(door_fixture, "beside a good request of one batch, which is taken") {
  auto good = asked(owner);
  owner.role = "guest";
  auto bad = asked(owner);
  sends(attacker.sign({good, bad}, {"\"honest\"", "\"attack\""}));
  refuses_item(peer, bad.id, "unauthorized");
  CHECK(wait_for({&at.media_server}, [&] { return at.media_server.invoked.size() == 1; }));
}

TEST_CASE_FIXTURE(attack, "a credential for guests, and a request that says owner") {
  take_credential([](auto& x) { x.users = std::vector<std::string>{"guest"}; });
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  ++signatures_max;
  auto x = attacker.header("rpc:jlr.com/cloud/media_server/door/open");
  x.user = std::make_shared<const on_behalf_of>(
    on_behalf_of{std::string(16, 'u'), "owner", wall_ms() - 1'000, "pin"});
  peer.send(attacker.sign({x}, {"\"attack\""}));
  refuses_item(peer, x.id, "unauthorized");
}

// -- a program with a token of its own ----------------------------------------------------------

TEST_CASE_FIXTURE(program_fixture, "the program may do what its rule says") {
  signatures_max = 4;
  CHECK(call("register_service", R"({"service":"app"})") == "");
  CHECK(call("invoke", invoke(for_app)) == "");
  CHECK(call("invoke", invoke(for_app, R"({"user":"bob","role":"guest"})")) == "");
  CHECK(wait_for({&at.media_player}, [&] { return at.media_player.invoked.size() == 2; }));
}

TEST_CASE_FIXTURE(program_fixture, "what the program asked under an id is played back") {
  signatures_max = 4;
  REQUIRE(call("register_service", R"({"service":"app"})") == "");
  auto until = wall_ms() + 60'000;
  auto asked = [&](uint64_t id, const std::string& arguments = "1", uint64_t more_ms = 0) {
    return R"({"service_transaction_id":)" + std::to_string(id) + R"(,"timeout":)"
           + std::to_string(until + more_ms) + R"(,"requesting_service":"app","target":")" + for_app
           + R"(","arguments":"honest )" + arguments + "\"}";
  };
  REQUIRE(call("invoke", asked(5)) == "");
  CHECK(wait_for({&at.media_player}, [&] { return at.media_player.invoked.size() == 1; }));
  auto replay = [&](const std::string& params) {
    CHECK(call("invoke", params) == "replay");
    check_refusal_recorded(at.cloud, "replay", R"("principal":"token:app")");
  };
  CHECK(call("invoke", asked(5)) == ""); // as its author would: the first answer again
  replay(asked(5, "2"));
  replay(asked(5, "1", 1));
  replay(asked(4));
  // The name let go and taken again opens nothing.
  REQUIRE(call("unregister_service", R"({"service":"app"})") == "");
  REQUIRE(call("register_service", R"({"service":"app"})") == "");
  replay(asked(4));
  REQUIRE(call("invoke", asked(6)) == "");
  CHECK(wait_for({&at.media_player}, [&] { return at.media_player.invoked.size() == 2; }));
  CHECK(at.media_player.invoked[1].arguments == R"("honest 1")");
}

TEST_CASE_FIXTURE(program_fixture, "who has the program's token, and not the key of its service") {
  signatures_max = 4;
  auto thief = *crypto::private_key::generate(crypto::algorithm::ed25519);
  auto registering = [](const crypto::public_key& key) {
    return R"({"service":"app/safe","public_key":)" + key.jwk() + "}";
  };
  unauthorized("register_service", R"({"service":"app/safe"})");
  unauthorized("register_service", registering(thief.public_part()));
  REQUIRE(call("register_service", registering(at.app_key.public_part())) == ""); // known to all
  invoke_call asked;
  asked.service_transaction_id = 1;
  asked.target = for_app;
  asked.timeout_ms = wall_ms() + 60'000;
  asked.arguments = "\"honest\"";
  auto signed_by = [&](const crypto::private_key& key) {
    return *crypto::sign_jws(
      key, service_proof_type, to_string(key.public_part().uid()),
      service_proof_claims(asked, "jlr.com/cloud/app/safe", "jlr.com/cloud"));
  };
  auto sent = [&](const std::string& signature, const std::string& arguments, uint64_t id = 1) {
    return call("invoke",
                R"({"requesting_service":"app/safe","target":")" + asked.target + R"(","timeout":)"
                  + std::to_string(asked.timeout_ms) + R"(,"service_transaction_id":)"
                  + std::to_string(id) + R"(,"arguments":)" + arguments
                  + (signature.empty() ? "" : R"(,"service_signature":")" + signature + "\"")
                  + "}");
  };
  auto refused = [&](const std::string& code) {
    CHECK(code == "signature_invalid");
    check_refusal_recorded(at.cloud, "signature_invalid", R"("principal":"token:app")");
  };
  refused(sent("", asked.arguments));
  refused(sent(signed_by(thief), asked.arguments));
  auto captured = signed_by(at.app_key);
  REQUIRE(sent(captured, asked.arguments) == "");
  CHECK(wait_for({&at.media_player}, [&] { return at.media_player.invoked.size() == 1; }));
  refused(sent(captured, "\"attack\""));
  refused(sent(captured, asked.arguments, 2));
  CHECK(sent(captured, asked.arguments) == ""); // the first answer, and no second request
  refused(sent(captured.substr(0, captured.size() - 1), asked.arguments));
  unauthorized("invoke", R"({"requesting_service":"app/other","target":")" + asked.target + "\"}");
  REQUIRE(call("unregister_service", R"({"service":"app/safe"})") == "");
}

TEST_CASE_FIXTURE(program_fixture, "the program registers another name") {
  unauthorized("register_service", R"({"service":"billing"})");
  unauthorized("register_service", R"({"service":"app2"})");
  unauthorized("register_service", R"({"service":"media_server"})");
}

TEST_CASE_FIXTURE(program_fixture, "the program invokes what its rule does not name") {
  unauthorized("invoke", invoke("rpc:jlr.com/cloud/media_server/echo"));
  unauthorized("invoke", invoke("rpc:jlr.com/vin/1234/services/media_player/echo"));
  unauthorized("invoke", invoke("message:jlr.com/vin/1234/services/media_player/app/list"));
  unauthorized("invoke", invoke("rpc:jlr.com/cloud/media_server/door/open",
                                R"({"user":"bob","role":"owner"})"));
}

TEST_CASE_FIXTURE(program_fixture, "the program speaks for users that are not its own") {
  unauthorized("invoke", invoke(for_app, R"({"user":"bob","role":"owner"})"));
  unauthorized("invoke", invoke(for_app, R"({"user":"bob"})"));
  unauthorized("invoke", invoke(for_app, R"({"user":"bob","role":"app"})"));
}

TEST_CASE_FIXTURE(program_fixture, "odd users") {
  CHECK(call("invoke", invoke(for_app, R"({"user":"bob","role":"guest","authenticated":)"
                                         + std::to_string(wall_ms() + 60'000) + "}"))
        == "bad_request");
  for (auto odd :
       {"7", "[]", "\"bob\"", "{}", R"({"role":"guest"})", R"({"user":7,"role":"guest"})",
        R"({"user":"bob","role":"guest","authenticated":-1})",
        R"({"user":"bob","role":"guest","admin":true})"}) {
    CAPTURE(odd);
    CHECK(call("invoke", invoke(for_app, odd)) == "bad_request");
  }
  CHECK(call("invoke", invoke(for_app, R"({"user":"bob","role":")" + std::string(129, 'r') + "\"}"))
        == "bad_request");
}

TEST_CASE_FIXTURE(program_fixture, "the program asks for what administrators may") {
  for (auto method : {"get_status", "get_queue", "get_grants"}) {
    CAPTURE(method);
    unauthorized(method, "{}");
  }
}

TEST_CASE_FIXTURE(program_fixture, "the hash of a token, as a file may hold it, is no token") {
  api_stranger x{at.api_port};
  auto text = "sha256:" + crypto::hex(crypto::view(crypto::sha256(app_token)));
  CHECK(x.call(text, "get_node_address", "{}").status == 401);
  check_refusal_recorded(at.cloud, "401", "connection of a service");
}

TEST_SUITE_END();
