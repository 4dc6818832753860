// SPDX-License-Identifier: MPL-2.0
//
// `rvi node` refuses to start on anything that is wrong, says what and where, and exits with 1.

#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

using namespace rvi;
using namespace rvi::test;

namespace {

struct fixture : two_nodes {
  fixture() {
    vehicle.settings.route_to = 0;
    vehicle.write_config();
  }

  /// It does not start, and says all of these.
  void refused(node_process& node, const std::vector<std::string>& said) {
    auto code = node.exit_code_of_start();
    auto log = node.log();
    CHECK_MESSAGE(code == 1, log);
    for (auto& text : said)
      CHECK_MESSAGE(log.find(text) != std::string::npos, "not said: " << text << "\n" << log);
    // One line for people, no backtrace.
    CHECK_MESSAGE(log.find("rvi node: ") != std::string::npos, log);
  }

  /// Appends to the configuration; "rvi.toml:LINE" of the last line.
  std::string with(const std::string& more) {
    vehicle.write_config(more);
    std::ifstream in{vehicle.path("rvi.toml")};
    auto lines = std::count(std::istreambuf_iterator<char>{in}, {}, '\n');
    return "rvi.toml:" + std::to_string(lines) + ":";
  }
};

} // namespace

TEST_SUITE_BEGIN("bad starts" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture,
                  "a good configuration starts, so that the refusals below mean something") {
  vehicle.start();
  CHECK(vehicle.terminate() == 0);
}

TEST_CASE_FIXTURE(fixture, "an unknown key is named with file and line") {
  refused(vehicle, {with("[log]\ncolour = \"red\"\n"), "log.colour", "unknown key"});
}

TEST_CASE_FIXTURE(fixture, "an unknown table is named with file and line") {
  refused(vehicle, {with("[nodes]\n").substr(0, 8), "nodes"});
}

TEST_CASE_FIXTURE(fixture, "a value of the wrong type is named with file, line and key") {
  refused(vehicle, {with("[log]\nlevel = 3\n"), "log.level"});
}

TEST_CASE_FIXTURE(fixture, "a value out of range is named with file, line and key") {
  refused(vehicle, {with("[limits]\nsessions = 0\n"), "limits.sessions"});
}

TEST_CASE_FIXTURE(fixture, "text that is no TOML is named with file and line") {
  refused(vehicle, {with("[log]\nlevel = \n").substr(0, 8)});
}

TEST_CASE_FIXTURE(fixture, "a missing name is named") {
  write_file(vehicle.path("rvi.toml"), "[node]\nrole = \"vehicle\"\n");
  refused(vehicle, {"rvi.toml", "node.name"});
}

TEST_CASE_FIXTURE(fixture, "a name that is none is refused") {
  vehicle.settings.name = "jlr.com/vin/+";
  vehicle.write_config();
  refused(vehicle, {"rvi.toml:2:", "node.name"});
}

TEST_CASE_FIXTURE(fixture, "a missing configuration is named") {
  ::unlink(vehicle.path("rvi.toml").c_str());
  refused(vehicle, {vehicle.path("rvi.toml")});
}

TEST_CASE_FIXTURE(fixture, "a key that others may read is refused with the cure") {
  REQUIRE(::chmod(vehicle.path("node.key").c_str(), 0644) == 0);
  refused(vehicle, {vehicle.path("node.key"), "chmod 600"});
}

TEST_CASE_FIXTURE(fixture, "a missing key is named") {
  ::unlink(vehicle.path("node.key").c_str());
  refused(vehicle, {vehicle.path("node.key")});
}

TEST_CASE_FIXTURE(fixture, "a key that is none is named") {
  ::unlink(vehicle.path("node.key").c_str());
  REQUIRE(!crypto::save_secret_file(vehicle.path("node.key"), "no key at all"));
  refused(vehicle, {vehicle.path("node.key")});
}

TEST_CASE_FIXTURE(fixture, "a credential of another key is refused") {
  vehicle.write_credential("node.jwt", cloud.credential);
  refused(vehicle, {vehicle.path("credentials/node.jwt"), "another key"});
}

TEST_CASE_FIXTURE(fixture, "a credential of an untrusted issuer is refused") {
  ::test::authority stranger{"jlr.com"};
  vehicle.write_credential(
    "node.jwt", stranger.issue(stranger.claims(vehicle.key.public_part(), {"jlr.com/vin/1234"}, {},
                                               wall_ms() / 1'000)));
  refused(vehicle, {vehicle.path("credentials/node.jwt"), "unknown_issuer"});
}

TEST_CASE_FIXTURE(fixture, "a credential that is none is refused") {
  write_file(vehicle.path("credentials/node.jwt"), "no credential\n");
  refused(vehicle, {vehicle.path("credentials/node.jwt")});
}

TEST_CASE_FIXTURE(fixture, "a missing anchor is named") {
  ::unlink((world.folder + "/anchor.json").c_str());
  refused(vehicle, {world.folder + "/anchor.json"});
}

TEST_CASE_FIXTURE(fixture, "an anchor that is none is named") {
  write_file(world.folder + "/anchor.json", "{}");
  refused(vehicle, {world.folder + "/anchor.json"});
}

TEST_CASE_FIXTURE(fixture, "a TLS port in use is named") {
  cloud.start();
  auto settings = cloud_settings();
  settings.name = "jlr.com/cloud2";
  node_process second{world, "second", settings};
  refused(second, {std::to_string(cloud_port)});
}

TEST_CASE_FIXTURE(fixture, "an API port in use is named") {
  auto port = free_port();
  vehicle.settings.api = "port = " + std::to_string(port) + "\n";
  vehicle.write_config();
  vehicle.start();
  auto settings = cloud_settings();
  settings.api = vehicle.settings.api;
  node_process second{world, "second", settings};
  refused(second, {std::to_string(port)});
}

TEST_CASE_FIXTURE(fixture, "a second node on the same store is refused and harms nothing") {
  vehicle.start();
  service_client player{vehicle.socket()};
  player.register_service("media_player");
  std::vector<std::string> ids;
  auto ask = [&] {
    auto answer
      = player.invoke("media_player", "rpc:jlr.com/cloud/media_server/x", "{}", wall_ms() + 60'000);
    REQUIRE_MESSAGE(answer.code.empty(), answer.message);
    ids.push_back(answer.transaction_id);
  };
  ask();
  node_process second{world, "second", vehicle_settings()};
  second.settings.store = "directory = \"" + vehicle.path("store") + "\"\n";
  second.write_config();
  // The live store changes while the second one looks at it.
  for (int i = 0; i < 5; ++i) {
    second.launch();
    std::optional<int> code;
    auto deadline = wall_ms() + 20'000;
    while (!(code = second.wait_exit(milliseconds{0})) && wall_ms() < deadline)
      ask();
    CHECK(code == 1);
  }
  CHECK_MESSAGE(second.log().find("in use by another process") != std::string::npos, second.log());
  CHECK_MESSAGE(second.log().find("damaged") == std::string::npos, second.log());
  CHECK_MESSAGE(second.log().find("salvaged") == std::string::npos, second.log());
  vehicle.kill();
  vehicle.start();
  player.register_service("media_player");
  for (auto& id : ids)
    CHECK(player.call("get_outcome", R"({"transaction_id":")" + id + "\"}").result.find("pending")
          != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "a second node on the same socket is refused") {
  vehicle.start();
  node_process second{world, "second", vehicle_settings()};
  second.settings.api += "socket = \"" + vehicle.socket() + "\"\n";
  second.write_config();
  refused(second, {vehicle.socket()});
  service_client still{vehicle.socket()};
  CHECK(still.connect());
}

TEST_CASE_FIXTURE(fixture, "a token file that others may read is refused with the cure") {
  vehicle.settings.api = "port = 0\n";
  vehicle.write_config();
  REQUIRE(::chmod(vehicle.path("token").c_str(), 0640) == 0);
  refused(vehicle, {vehicle.path("token"), "chmod 600"});
}

TEST_CASE_FIXTURE(fixture, "a missing token file is named") {
  vehicle.settings.api = "port = 0\n";
  vehicle.write_config();
  ::unlink(vehicle.path("token").c_str());
  refused(vehicle, {vehicle.path("token")});
}

TEST_CASE_FIXTURE(fixture, "a token that can be guessed is refused") {
  vehicle.settings.api = "port = 0\n[[api.tokens]]\nname = \"hmi\"\nfile = \"hmi.token\"\n";
  vehicle.write_config();
  write_file(vehicle.path("hmi.token"), "secret\n");
  REQUIRE(::chmod(vehicle.path("hmi.token").c_str(), 0600) == 0);
  refused(vehicle, {vehicle.path("hmi.token"), "can be guessed"});
  write_file(vehicle.path("hmi.token"), "sha256:0123\n");
  refused(vehicle, {vehicle.path("hmi.token"), "64 hex digits"});
}

TEST_CASE_FIXTURE(fixture, "a token that takes the name of the administrator's is refused") {
  vehicle.settings.api = "[[api.tokens]]\nname = \"default\"\nfile = \"hmi.token\"\n";
  vehicle.write_config();
  refused(vehicle, {"api.tokens", "default"});
}

TEST_CASE_FIXTURE(fixture, "rules that are none are named with their file") {
  REQUIRE(::mkdir(vehicle.path("access.d").c_str(), 0755) == 0);
  auto file = vehicle.path("access.d/hmi.json");
  write_file(file, R"({"principals": [{"match": {"uid": 1000}, "invokes": ["jlr.com"]}]})");
  REQUIRE(::chmod(file.c_str(), 0644) == 0);
  refused(vehicle, {file, "unknown member \"invokes\""});
}

TEST_CASE_FIXTURE(fixture, "rules that others may write are refused with the cure") {
  REQUIRE(::mkdir(vehicle.path("access.d").c_str(), 0755) == 0);
  auto file = vehicle.path("access.d/hmi.json");
  write_file(file, R"({"principals": [{"match": {"uid": 1000}}]})");
  REQUIRE(::chmod(file.c_str(), 0664) == 0);
  refused(vehicle, {file, "chmod go-w"});
  REQUIRE(::chmod(file.c_str(), 0644) == 0);
  REQUIRE(::chmod(vehicle.path("access.d").c_str(), 0777) == 0);
  refused(vehicle, {vehicle.path("access.d"), "chmod go-w"});
}

TEST_CASE_FIXTURE(fixture, "a store that is a file is named") {
  write_file(vehicle.path("store"), "a file");
  refused(vehicle, {vehicle.path("store")});
}

TEST_CASE_FIXTURE(fixture, "a node without credentials starts, warns and refuses requests") {
  ::unlink(vehicle.path("credentials/node.jwt").c_str());
  vehicle.start();
  CHECK_MESSAGE(vehicle.log().find("no credential") != std::string::npos, vehicle.log());
  service_client client{vehicle.socket()};
  REQUIRE(client.connect());
  CHECK(client.call("register_service", R"({"service":"media_player"})").code == "unauthorized");
  CHECK(client.call("get_node_address", "{}").code.empty());
}

TEST_SUITE_END();
