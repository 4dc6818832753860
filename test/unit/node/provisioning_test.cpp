// SPDX-License-Identifier: MPL-2.0
//
// Authorization as a service of its node (HLD 9): a provisioning server at the cloud adds, deletes
// and revokes credentials of a vehicle, and who may not.

#include "test/support/provisioned_vehicle.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

using fixture = test::provisioned_vehicle;
using answer = fixture::answer;

} // namespace

TEST_SUITE_BEGIN("provisioning");

TEST_CASE_FIXTURE(fixture, "an added credential is used at once, after a restart, until it goes") {
  start();
  CHECK(charging() == ec::unauthorized);
  auto more = for_vehicle({"jlr.com/cloud/billing"});
  CHECK(add(more) == answer{"ok", R"({"status":"ok","certificate_id":[")" + more->id + R"("]})"});
  CHECK(charging() == ec::none);
  CHECK(cloud.services->invoked.size() == 1);
  restart_vehicle();
  CHECK(charging() == ec::none);
  CHECK(cloud.services->invoked.size() == 2);
  CHECK(remove(more->id).first == "ok");
  CHECK(charging() == ec::revoked);
  restart_vehicle();
  CHECK(charging() == ec::revoked);
  CHECK(cloud.services->invoked.size() == 2);
  CHECK(add(more).first == "ok");
  CHECK(charging() == ec::none);
  CHECK(cloud.services->invoked.size() == 3);
}

TEST_CASE_FIXTURE(fixture, "a deleted credential sends nothing any more, also not what waits") {
  bool deleted = false;
  SUBCASE("deleted") {
    deleted = true;
  }
  SUBCASE("kept") {}
  start();
  auto more = for_vehicle({"jlr.com/other"});
  REQUIRE(add(more).first == "ok");
  vehicle.invoke("media_player", "rpc:jlr.com/other/services/late", "{}", 3'600'000);
  REQUIRE_FALSE(vehicle.services->answers.back().error);
  if (deleted)
    CHECK(remove(more->id).first == "ok");
  auto other = test::loopback_node{*this, "jlr.com/other", "other", {}};
  other.start();
  other.register_service("late", 1);
  connect(vehicle, other);
  pass(20'000);
  CHECK(other.services->invoked.size() == (deleted ? 0 : 1));
}

TEST_CASE_FIXTURE(fixture, "the credential in the node's files can be deleted, not the last one") {
  start();
  auto first = vehicle.credential->id;
  CHECK(remove(first) == answer{"error", "refused"});
  CHECK(add(for_vehicle({"jlr.com/cloud/media_server"}, false)).first == "ok");
  CHECK(remove(first) == answer{"error", "refused"}); // the other has no source to answer from
  auto next = for_vehicle({"jlr.com/cloud/media_server"});
  CHECK(add(next).first == "ok");
  CHECK(remove(first).first == "ok");
  CHECK(remove(first).first == "ok"); // it may run again
  CHECK(remove("another") == answer{"error", "not_found"});
  restart_vehicle();
  auto list = ask("get_certificates", "[]");
  CHECK(list.first == "ok");
  CHECK(list.second.find(first) == std::string::npos);
  CHECK(list.second.find(next->text) != std::string::npos);
  CHECK(remove(next->id) == answer{"error", "refused"});
}

TEST_CASE_FIXTURE(fixture, "a credential in COSE is added, listed and deleted as text") {
  start();
  auto claims = *for_vehicle({"jlr.com/cloud/billing"});
  auto cose = provisioning.issue(claims, credential_format::cose);
  REQUIRE(cose);
  CHECK(add(cose).first == "ok");
  CHECK(charging() == ec::none);
  restart_vehicle();
  CHECK(charging() == ec::none);
  auto list = ask("get_certificates", "[]");
  CHECK(list.first == "ok");
  CHECK(list.second.find("\"cose:" + crypto::base64url(cose->text) + "\"") != std::string::npos);
  for (auto& text : {"cose:" + crypto::base64url("no COSE"), std::string{"cose:"},
                     "COSE:" + crypto::base64url(cose->text)})
    CHECK(ask("add_certificate", R"([{"certificate":")" + text + R"("}])")
          == answer{"error", "credential_invalid"});
  CHECK(remove(cose->id).first == "ok");
  CHECK(charging() == ec::revoked);
}

TEST_CASE_FIXTURE(fixture, "what is deleted is an id: the twin goes with it, and comes back") {
  start();
  auto jws = for_vehicle({"jlr.com/cloud/billing"});
  auto cose = provisioning.issue(*jws, credential_format::cose);
  CHECK(add(jws).first == "ok");
  CHECK(add(cose) == answer{"ok", R"({"status":"ok","certificate_id":[")" + jws->id + R"("]})"});
  CHECK(remove(jws->id)
        == answer{"ok", R"({"status":"ok","certificate_id":[")" + jws->id + R"("]})"});
  CHECK(charging() == ec::revoked);
  CHECK(ask("get_certificates", "[]").second.find(jws->id) == std::string::npos);
  CHECK(add(cose).first == "ok");
  CHECK(charging() == ec::none);
  restart_vehicle();
  CHECK(charging() == ec::none);
}

TEST_CASE_FIXTURE(fixture, "a twin is no other credential to be provisioned with") {
  start();
  auto first = vehicle.credential;
  CHECK(add(provisioning.issue(*first, credential_format::cose)).first == "ok");
  CHECK(remove(first->id) == answer{"error", "refused"});
}

TEST_CASE_FIXTURE(fixture, "a credential in COSE is added, listed and deleted as text") {
  start();
  auto claims = *for_vehicle({"jlr.com/cloud/billing"});
  auto cose = provisioning.issue(claims, credential_format::cose);
  REQUIRE(cose);
  CHECK(add(cose).first == "ok");
  CHECK(charging() == ec::none);
  restart_vehicle();
  CHECK(charging() == ec::none);
  auto list = ask("get_certificates", "[]");
  CHECK(list.first == "ok");
  CHECK(list.second.find("\"cose:" + crypto::base64url(cose->text) + "\"") != std::string::npos);
  for (auto& text : {"cose:" + crypto::base64url("no COSE"), std::string{"cose:"},
                     "COSE:" + crypto::base64url(cose->text)})
    CHECK(ask("add_certificate", R"([{"certificate":")" + text + R"("}])")
          == answer{"error", "credential_invalid"});
  CHECK(remove(cose->id).first == "ok");
  CHECK(charging() == ec::revoked);
}

TEST_CASE_FIXTURE(fixture, "what is deleted is an id: the twin goes with it, and comes back") {
  start();
  auto jws = for_vehicle({"jlr.com/cloud/billing"});
  auto cose = provisioning.issue(*jws, credential_format::cose);
  CHECK(add(jws).first == "ok");
  CHECK(add(cose) == answer{"ok", R"({"status":"ok","certificate_id":[")" + jws->id + R"("]})"});
  CHECK(remove(jws->id)
        == answer{"ok", R"({"status":"ok","certificate_id":[")" + jws->id + R"("]})"});
  CHECK(charging() == ec::revoked);
  CHECK(ask("get_certificates", "[]").second.find(jws->id) == std::string::npos);
  CHECK(add(cose).first == "ok");
  CHECK(charging() == ec::none);
  restart_vehicle();
  CHECK(charging() == ec::none);
}

TEST_CASE_FIXTURE(fixture, "a twin is no other credential to be provisioned with") {
  start();
  auto first = vehicle.credential;
  CHECK(add(provisioning.issue(*first, credential_format::cose)).first == "ok");
  CHECK(remove(first->id) == answer{"error", "refused"});
}

TEST_CASE_FIXTURE(fixture, "a revoked credential is not recognised here any more") {
  start();
  auto phone = test::loopback_node{*this, "jlr.com/mobile/5", "phone", {"jlr.com/vin/+/services"}};
  phone.start();
  phone.register_service("app", 1);
  vehicle.register_service("door", 2);
  auto unlock = [&] {
    connect(phone, vehicle);
    phone.invoke("app", "rpc:jlr.com/vin/1234/services/door/unlock", "{}", 5'000);
    pass(10'000);
    return vehicle.services->invoked.size();
  };
  auto before = unlock();
  CHECK(before == 1);
  auto revoke = [&](const std::string& id) {
    return ask("revoke_certificate", R"({"certificate_id":")" + id + R"("})");
  };
  CHECK(revoke(phone.credential->id).first == "ok");
  CHECK(unlock() == before);
  restart_vehicle();
  vehicle.register_service("door", 2);
  CHECK(unlock() == before);
}

TEST_CASE_FIXTURE(fixture, "a revocation list may come as a request") {
  start();
  auto list = provisioning.revocation_list(
    1, {revocation_entry_of(*for_vehicle({"jlr.com/cloud/billing"}))}, now_s());
  auto ask_with = [&](const std::string& text) {
    return ask("revoke_certificate", R"([{"revocation_list":[")" + text + R"("]}])");
  };
  CHECK(ask_with(list->text).first == "ok");
  CHECK(vehicle.context->rights->load()->revocations->at("jlr.com")->version.serial == 1);
  CHECK(ask_with(list->text) == answer{"error", "replay"});
  CHECK(ask_with("nonsense") == answer{"error", "malformed"});
}

TEST_CASE_FIXTURE(fixture, "what is not for this node, not signed or over is not added") {
  start();
  auto stranger = *crypto::private_key::generate(crypto::algorithm::ed25519);
  auto another = provisioning.issue(provisioning.claims(
    stranger.public_part(), {"jlr.com/vin/1234"}, {"jlr.com/cloud/billing"}, now_s()));
  CHECK(add(another) == answer{"error", "bad_request"});
  test::authority false_one; // the same organization's name, another key
  auto forged = false_one.issue(false_one.claims(vehicle.key.public_part(), {"jlr.com/vin/1234"},
                                                 {"jlr.com/cloud/billing"}, now_s()));
  CHECK(add(forged) == answer{"error", "unknown_issuer"});
  auto claims = provisioning.claims(vehicle.key.public_part(), {"jlr.com/vin/1234"},
                                    {"jlr.com/cloud/billing"}, now_s());
  claims.expires_s = now_s() - 1;
  CHECK(add(provisioning.issue(claims)) == answer{"error", "credential_expired"});
  auto over = for_vehicle({"jlr.com/cloud/billing"});
  REQUIRE(revoked_by_list(over));
  CHECK(add(over) == answer{"error", "revoked"});
  for (auto* arguments : {"[]", "[{}]", R"([{"certificate":7}])", R"([{"certificate":[]}])", "7"})
    CHECK(ask("add_certificate", arguments) == answer{"error", "bad_request"});
  CHECK(ask("make_coffee", "[]") == answer{"error", "unknown_method"});
  CHECK(charging() == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "only who has the claim adm is heard, and only where it is allowed") {
  cloud.credential = provisioner(false);
  start();
  auto more = for_vehicle({"jlr.com/cloud/billing"});
  CHECK(add(more) == answer{"none", "unauthorized"}); // its own node does not sign it
  cloud.kill();
  cloud.credential = provisioner(true);
  vehicle.kill();
  vehicle.credential = for_vehicle({"jlr.com/cloud/media_server"}, false);
  start();
  CHECK(add(more).first != "ok"); // the vehicle does not take provisioning
  CHECK(charging() == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "a service of the node cannot be registered or answered by others") {
  start();
  vehicle.call(register_service_call{"jlr.com/vin/1234/provisioning", {}, {}, false, {}});
  CHECK(code_of(vehicle.services->answers.back().error) == ec::unauthorized);
  vehicle.call(unregister_service_call{"jlr.com/vin/1234/provisioning"});
  CHECK(code_of(vehicle.services->answers.back().error) == ec::unauthorized);
  CHECK(add(for_vehicle({"jlr.com/cloud/billing"})).first == "ok");
}

TEST_SUITE_END();
