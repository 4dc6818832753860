// SPDX-License-Identifier: MPL-2.0
//
// Requests outside rights, on both sides; requests in the name of others; requests out of their
// time. All are signed well: the attacker is a node of the same organization.

#include "messages/wire/header.hpp"
#include "rvi.pb.h"
#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr uint64_t minute_ms = 60'000;

struct fixture : session_attack {
  /// Sends it beside a good one, which is taken all the same.
  void refuses_request(const request_header& x, const std::string& code) {
    auto good = attacker.header(echo_target);
    auto batch = attacker.sign({good, x}, {"\"honest\"", "\"attack\""});
    sends(batch);
    refuses_item(peer, x.id, code);
    CHECK(wait_for({&at.media_server}, [&] { return at.media_server.invoked.size() == 1; }));
  }

  request_header header = attacker.header(echo_target);
};

/// A credential for users with certain roles only.
struct users_fixture : attack {
  users_fixture() {
    take_credential([](auto& x) { x.users = std::vector<std::string>{"mechanic"}; });
    peer.come_up(attacker);
  }

  void asks_as(const std::string& role, const std::string& code) {
    auto header = attacker.header(echo_target);
    std::string arguments = code.empty() ? "\"honest\"" : "\"attack\"";
    header.arguments_length = arguments.size();
    header.arguments_sha256 = crypto::view(crypto::sha256(arguments));
    ::rvi::wire::RequestHeader text;
    REQUIRE(text.ParseFromString(::rvi::wire::encode_header(header)));
    if (!role.empty()) {
      text.mutable_on_behalf_of()->set_user(std::string(16, 'u'));
      text.mutable_on_behalf_of()->set_role(role);
    }
    ++signatures_max;
    peer.send(signed_frame(attacker, text.SerializeAsString(), arguments));
    if (code.empty())
      CHECK(peer.custody_of(header.id) == "accepted");
    else
      refuses_item(peer, header.id, code);
  }

  hostile_peer peer{at.cloud_port};
};

} // namespace

TEST_SUITE_BEGIN("attacks: requests" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "invoke outside the sender's destinations") {
  header.target = "rpc:jlr.com/cloud/billing/charge";
  refuses_request(header, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "invoke a name that only begins like a destination") {
  header.target = "rpc:jlr.com/cloud/media_server2/echo";
  refuses_request(header, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "invoke a service of another node through this one") {
  header.target = "rpc:jlr.com/vin/1234/services/media_player/echo";
  refuses_request(header, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "invoke a reserved level without the claim for it") {
  header.target = "rpc:jlr.com/cloud/media_server/admin/stop";
  refuses_request(header, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "provision the attacked node") {
  header.target = "rpc:jlr.com/cloud/provisioning/add_certificate";
  refuses_request(header, "unauthorized");
}

TEST_CASE_FIXTURE(attack, "provision with a destination that covers all, but no claim for it") {
  take_credential([](auto& x) {
    x.destinations = {"jlr.com/cloud", "jlr.com/cloud/provisioning"};
  });
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  ++signatures_max;
  auto request = attacker.requests({"rpc:jlr.com/cloud/provisioning/add_certificate"},
                                   {R"([{"certificate":")" + attacker.credential->text + R"("}])"});
  peer.send(request);
  refuses_item(peer, request.front()->header.id, "unauthorized");
}

TEST_CASE_FIXTURE(attack, "an administrator's request for what the receiver has no right to") {
  take_credential([](auto& x) {
    x.destinations = {"jlr.com/cloud/provisioning"};
    x.administrator = true;
  });
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  ++signatures_max;
  auto request = attacker.requests({"rpc:jlr.com/cloud/provisioning/get_certificates"}, {"[]"});
  peer.send(request);
  // No credential of the cloud names the reserved level: nobody provisions it.
  refuses_item(peer, request.front()->header.id, "unknown_target");
}

TEST_CASE_FIXTURE(attack, "invoke outside the receiver's own rights") {
  take_credential([](auto& x) { x.destinations = {"jlr.com"}; });
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  ++signatures_max;
  auto request
    = attacker.requests({"rpc:jlr.com/vin/1234/services/media_player/echo"}, {"\"attack\""});
  peer.send(request);
  refuses_item(peer, request.front()->header.id, "unknown_target");
}

TEST_CASE_FIXTURE(attack, "a service of the vehicle invokes outside its node's rights") {
  signatures_max = 0; // it never leaves
  auto answer = at.media_player.invoke("media_player", "rpc:jlr.com/cloud/billing/charge",
                                       "\"attack\"", wall_ms() + minute_ms);
  CHECK(answer.code == "unauthorized");
  check_refusal_recorded(at.vehicle, "unauthorized", "rpc:jlr.com/cloud/billing/charge");
}

TEST_CASE_FIXTURE(attack, "a service of the vehicle asks its own node for provisioning") {
  signatures_max = 0;
  auto answer
    = at.media_player.invoke("media_player", "rpc:jlr.com/vin/1234/provisioning/get_certificates",
                             "[]", wall_ms() + minute_ms);
  CHECK(answer.code == "unauthorized");
  check_refusal_recorded(at.vehicle, "unauthorized", "provisioning/get_certificates");
}

TEST_CASE_FIXTURE(fixture, "a request in the name of another node's service") {
  header.source = "jlr.com/vin/1234/services/media_player";
  refuses_request(header, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "a request in the name of a service of the attacked node") {
  header.source = "jlr.com/cloud/media_server";
  refuses_request(header, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "a request under an id of another node") {
  header.id.origin = at.vehicle.key.public_part().uid();
  refuses_request(header, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "a request meant for another key at this address") {
  header.target_uid = std::string(16, 't');
  refuses_request(header, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "an expired request") {
  header.created_ms = wall_ms() - 2'000;
  header.expires_ms = wall_ms() - 1'000;
  refuses_request(header, "timeout");
}

TEST_CASE_FIXTURE(fixture, "a request from the future, to be kept for later") {
  header.created_ms = wall_ms() + 60 * minute_ms;
  header.expires_ms = header.created_ms + minute_ms;
  refuses_request(header, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "a request that lives for years") {
  header.expires_ms = header.created_ms + 3ULL * 365 * 24 * 60 * minute_ms;
  refuses_request(header, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "an old request signed anew, to give it more time") {
  header.created_ms = wall_ms() - 30 * minute_ms;
  refuses_request(header, "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "a reply to a request that nobody made") {
  auto reply = attacker.header("jlr.com/cloud/media_server");
  reply.kind = request_kind::reply;
  reply.source = attacker.address + "/services/attacker";
  reply.request_hash = std::string(32, 'h');
  sends(attacker.sign({reply}, {"\"attack\""}));
  refuses_item(peer, reply.id, "unauthorized", true);
}

TEST_CASE_FIXTURE(fixture, "a reply to an honest request, under the attacker's own name") {
  // To a name nobody has, so that it stays open.
  auto asked = at.media_server.invoke("media_server", "rpc:jlr.com/vin/77/services/lock/open",
                                      "\"honest\"", wall_ms() + minute_ms);
  REQUIRE_MESSAGE(asked.code.empty(), asked.message);
  auto reply = attacker.header("jlr.com/cloud/media_server");
  reply.kind = request_kind::reply;
  reply.id = *parse_transaction_id(asked.transaction_id);
  reply.source = attacker.address + "/services/lock/open";
  reply.request_hash = std::string(32, 'h');
  sends(attacker.sign({reply}, {"\"attack\""}));
  refuses_item(peer, reply.id, "unauthorized", true);
}

TEST_CASE_FIXTURE(fixture, "a reply to an honest request, under the asked one's name") {
  auto asked = at.media_server.invoke("media_server", "rpc:jlr.com/vin/77/services/lock/open",
                                      "\"honest\"", wall_ms() + minute_ms);
  REQUIRE_MESSAGE(asked.code.empty(), asked.message);
  auto reply = attacker.header("jlr.com/cloud/media_server");
  reply.kind = request_kind::reply;
  reply.id = *parse_transaction_id(asked.transaction_id);
  reply.source = "jlr.com/vin/77/services/lock/open";
  reply.request_hash = std::string(32, 'h');
  sends(attacker.sign({reply}, {"\"attack\""}));
  refuses_item(peer, reply.id, "unauthorized", true);
}

TEST_CASE_FIXTURE(fixture, "an error that is to end an honest request") {
  auto asked = at.media_server.invoke("media_server", "rpc:jlr.com/vin/77/services/lock/open",
                                      "\"honest\"", wall_ms() + minute_ms);
  REQUIRE_MESSAGE(asked.code.empty(), asked.message);
  auto error = attacker.header("jlr.com/cloud/media_server");
  error.kind = request_kind::error;
  error.id = *parse_transaction_id(asked.transaction_id);
  error.source = attacker.address + "/services/lock/open";
  error.request_hash = std::string(32, 'h');
  sends(attacker.sign({error}, {R"({"code":"refused","message":"attack"})"}));
  refuses_item(peer, error.id, "unauthorized", true);
  auto outcome
    = at.media_server.call("get_outcome", R"({"transaction_id":")" + asked.transaction_id + "\"}");
  CHECK(outcome.result.find("pending") != std::string::npos);
}

TEST_CASE_FIXTURE(users_fixture, "the right user, so that the refusals below mean something") {
  asks_as("mechanic", "");
  CHECK(wait_for({&at.media_server}, [&] { return at.media_server.invoked.size() == 1; }));
}

TEST_CASE_FIXTURE(users_fixture, "no user, under a credential for users only") {
  asks_as("", "unauthorized");
}

TEST_CASE_FIXTURE(users_fixture, "a user with another role") {
  asks_as("owner", "unauthorized");
}

TEST_CASE_FIXTURE(users_fixture, "a role that only begins like the right one") {
  asks_as("mechanic2", "unauthorized");
}

TEST_SUITE_END();
