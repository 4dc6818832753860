// SPDX-License-Identifier: MPL-2.0
//
// Provisioning over the air and the audit trail, as operators meet them: `rvi call` at the cloud
// changes the credentials of a running vehicle, `rvi audit` tells of it.

#include "messages/transaction_id.hpp"
#include "runtime/json/json.hpp"
#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

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

TEST_CASE_FIXTURE(fixture, "the vehicle's key pair is replaced from the cloud") {
  auto root = world.folder + "/root.key";
  REQUIRE_FALSE(crypto::save_private_key(root, world.provisioning.key));
  auto before = vehicle.path("credentials/node.jwt");
  auto renew = [&](const std::string& pair, const std::string& out) {
    return run_rvi("credential renew --root " + root + " --credential " + before + " --key-pair "
                   + pair + " --out " + out);
  };
  // Accepted under the key before, for a service that comes later.
  auto late
    = player.invoke("media_player", "rpc:jlr.com/cloud/media_server/late", "1", wall_ms() + 60'000);
  REQUIRE(late.code.empty());

  auto shown = call("replace_key_pair", "[]");
  REQUIRE_MESSAGE(shown.code == 0, shown.output << vehicle.log_tail());
  CHECK(call("replace_key_pair", "[]").code == 0);
  auto document = json::parse(shown.output);
  REQUIRE(document);
  auto pair = world.folder + "/pair.jws";
  write_file(pair, std::string{document->root()["key_pair"].as_string().value_or("")} + "\n");
  auto next_uid = std::string{document->root()["node_uid"].as_string().value_or("")};
  CHECK(next_uid != to_string(vehicle.key.public_part().uid()));
  auto made = renew(pair, world.folder + "/next.jwt");
  REQUIRE_MESSAGE(made.code == 0, made.output);
  CHECK(renew(before, world.folder + "/wrong.jwt").code == 1); // no key pair

  std::ifstream in{world.folder + "/next.jwt"};
  std::string text;
  REQUIRE(std::getline(in, text));
  auto replaced = call("replace_key_pair", R"([{"certificate":")" + text + R"("}])");
  REQUIRE_MESSAGE(replaced.code == 0, replaced.output << vehicle.log_tail());
  CHECK(holds(replaced.output, next_uid));

  // The node starts anew by itself; its services come back, and what it had accepted is delivered.
  auto status = [&] { return run_rvi("status --config " + vehicle.path("rvi.toml")).output; };
  auto until = wall_ms() + 20'000;
  while (!holds(status(), next_uid) && wall_ms() < until)
    std::this_thread::sleep_for(milliseconds{50});
  REQUIRE_MESSAGE(holds(status(), next_uid), vehicle.log_tail());
  player.disconnect();
  player.register_service("media_player");
  service_client media{cloud.socket()};
  media.register_service("media_server");
  CHECK(wait_for({&player, &media}, [&] { return media.invoked.size() == 2; }));
  auto fresh = player.invoke("media_player", "message:jlr.com/cloud/media_server/new", "2",
                             wall_ms() + 60'000);
  CHECK(fresh.code.empty());
  CHECK(wait_for({&player, &media}, [&] { return media.invoked.size() == 3; }));
  CHECK(holds(audit(vehicle).output, "key_pair_replaced"));
  auto list = call("get_certificates", "[]");
  CHECK_MESSAGE(list.code == 0, list.output << vehicle.log_tail());
  // And it is the same node after a restart by hand.
  CHECK(vehicle.terminate() == 0);
  vehicle.start();
  CHECK(holds(status(), next_uid));
}

TEST_CASE_FIXTURE(fixture, "a credential past half of its life is renewed by a service") {
  auto root = world.folder + "/root.key";
  REQUIRE_FALSE(crypto::save_private_key(root, world.provisioning.key));
  CHECK(vehicle.terminate() == 0);
  auto claims = world.provisioning.claims(
    vehicle.key.public_part(), {"jlr.com/vin/1234", "jlr.com/vin/1234/provisioning"},
    {"jlr.com/cloud/media_server", "jlr.com/cloud/provisioner"}, wall_ms() / 1'000);
  claims.not_before_s -= 20 * 86'400;
  claims.expires_s -= 20 * 86'400;
  vehicle.write_credential("node.jwt", world.provisioning.issue(claims));
  std::ifstream config{vehicle.path("rvi.toml")};
  std::string text{std::istreambuf_iterator<char>{config}, {}};
  text.insert(text.find("[trust]\n") + 8, "renewal = \"jlr.com/cloud/provisioner\"\n");
  write_file(vehicle.path("rvi.toml"), text);
  auto renewer = popen((rvi_program() + " serve provisioner --count 1 --config "
                        + cloud.path("rvi.toml") + " --exec '" + rvi_program()
                        + " credential renew --request --no-list --root " + root + "' 2>&1")
                         .c_str(),
                       "r");
  REQUIRE(renewer);
  vehicle.start();
  auto renewed = [&] {
    return holds(
      run_rvi("audit --event credential_added --config " + vehicle.path("rvi.toml")).output,
      "by=jlr.com/cloud/provisioner");
  };
  auto until = wall_ms() + 20'000;
  while (!renewed() && wall_ms() < until)
    std::this_thread::sleep_for(milliseconds{50});
  CHECK_MESSAGE(renewed(), vehicle.log_tail());
  CHECK(pclose(renewer) == 0);
}

TEST_SUITE_END();
