// SPDX-License-Identifier: MPL-2.0
//
// Provisioning over the air and the audit trail, as operators meet them: `rvi call` at the cloud
// changes the credentials of a running vehicle, `rvi audit` tells of it.

#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <filesystem>

using namespace rvi;
using namespace rvi::test;

namespace {

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

struct fixture : two_nodes {
  fixture() {
    auto now_s = wall_ms() / 1'000;
    auto claims = world.provisioning.claims(cloud.key.public_part(), {"jlr.com/cloud"},
                                            {"jlr.com/vin/+/provisioning"}, now_s);
    claims.administrator = true;
    cloud.write_credential("node.jwt", world.provisioning.issue(claims));
    first = for_vehicle("jlr.com/cloud/media_server");
    vehicle.write_credential("node.jwt", first);
    cloud.start();
    vehicle.start();
    REQUIRE(service.register_service("billing") == "jlr.com/cloud/billing");
    REQUIRE(player.register_service("media_player") != "");
    // The cloud has no route to the vehicle: it waits for it.
    REQUIRE(
      player
        .invoke("media_player", "message:jlr.com/cloud/media_server/hello", "1", wall_ms() + 60'000)
        .code.empty());
  }

  credential_ptr for_vehicle(const std::string& destination) {
    return world.provisioning.issue(world.provisioning.claims(
      vehicle.key.public_part(), {"jlr.com/vin/1234", "jlr.com/vin/1234/provisioning"},
      {destination}, wall_ms() / 1'000));
  }

  ran call(const std::string& method, const std::string& arguments) {
    return run_rvi("call --config " + cloud.path("rvi.toml") + " rpc:jlr.com/vin/1234/provisioning/"
                   + method + " '" + arguments + "'");
  }

  ran audit(const node_process& x, const std::string& more = {}) {
    return run_rvi("audit --config " + x.path("rvi.toml") + " " + more);
  }

  std::string charging() {
    return player
      .invoke("media_player", "message:jlr.com/cloud/billing/charge", "1", wall_ms() + 60'000)
      .code;
  }

  service_client player{vehicle.socket()};
  service_client service{cloud.socket()};
  credential_ptr first;
};

} // namespace

TEST_SUITE_BEGIN("provisioning by its operators" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a credential is added, listed and deleted from the cloud") {
  CHECK(charging() == "unauthorized");
  auto more = for_vehicle("jlr.com/cloud/billing");
  auto added = call("add_certificate", R"([{"certificate":")" + more->text + R"("}])");
  REQUIRE_MESSAGE(added.code == 0, added.output << vehicle.log_tail());
  CHECK(holds(added.output, more->id));
  CHECK(charging() == "");
  CHECK(wait_for({&player, &service}, [&] { return service.invoked.size() == 1; }));
  CHECK(vehicle.terminate() == 0);
  vehicle.start();
  player.disconnect();
  player.register_service("media_player");
  CHECK(charging() == "");
  auto list = call("get_certificates", "[]");
  CHECK_MESSAGE(holds(list.output, more->text), list.output);
  auto removed = call("delete_certificate", R"([{"certificate_id":[")" + more->id + R"("]}])");
  REQUIRE_MESSAGE(removed.code == 0, removed.output << vehicle.log_tail());
  CHECK(charging() == "revoked");
  auto last = call("delete_certificate", R"([{"certificate_id":[")" + first->id + R"("]}])");
  CHECK(last.code == 1);
  CHECK_MESSAGE(holds(last.output, "refused"), last.output);

  auto trail = audit(vehicle);
  CHECK_MESSAGE(trail.code == 0, trail.output);
  for (auto* event : {"credential_added", "credential_deleted", "key_used", "opened", "stopped"})
    CHECK_MESSAGE(holds(trail.output, event), event << " in " << trail.output);
  CHECK(holds(trail.output, "by=jlr.com/cloud/"));
  CHECK(holds(trail.output, "The chain holds: records 1 to "));
  auto refusals = audit(vehicle, "--event refused");
  CHECK(holds(refusals.output, "target=message:jlr.com/cloud/billing/charge"));
  CHECK(holds(refusals.output, "what=provisioning"));
  CHECK_FALSE(holds(refusals.output, "key_used"));
  auto api = vehicle.path("audit.log");
  CHECK_FALSE(holds(trail.output, "eyJ")); // no credential, no token
  // Whoever takes a line out is found out.
  CHECK(vehicle.terminate() == 0);
  auto lines = audit(vehicle, "--format json").output;
  auto second = lines.find('\n') + 1;
  write_file(api, lines.substr(0, second) + lines.substr(lines.find('\n', second) + 1));
  auto broken = audit(vehicle, "--last 1");
  CHECK(broken.code == 1);
  CHECK_MESSAGE(holds(broken.output, "line 2: the record before it was changed, or records are "
                                     "missing"),
                broken.output);
}

TEST_CASE_FIXTURE(fixture, "who may not provision is refused, and the trail says so") {
  auto theft = run_rvi("call --config " + vehicle.path("rvi.toml")
                       + " rpc:jlr.com/vin/1234/provisioning/get_certificates '[]'");
  CHECK(theft.code == 1); // not even on the vehicle itself
  CHECK_MESSAGE(holds(theft.output, "unauthorized"), theft.output);
  auto stranger = ::test::authority{};
  auto forged = stranger.issue(stranger.claims(vehicle.key.public_part(), {"jlr.com/vin/1234"},
                                               {"jlr.com/cloud/billing"}, wall_ms() / 1'000));
  auto added = call("add_certificate", R"([{"certificate":")" + forged->text + R"("}])");
  CHECK(added.code == 1);
  CHECK_MESSAGE(holds(added.output, "unknown_issuer"), added.output);
  CHECK(charging() == "unauthorized");
  CHECK(holds(audit(vehicle, "--event refused").output, "code=unknown_issuer"));
  CHECK(run_rvi("audit --file " + vehicle.path("nothing.log")).code == 1);
  CHECK(run_rvi("audit --since yesterday --config " + vehicle.path("rvi.toml")).code == 2);
}

TEST_SUITE_END();
