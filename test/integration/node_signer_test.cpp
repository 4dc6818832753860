// SPDX-License-Identifier: MPL-2.0
//
// Real nodes whose keys are elsewhere: on a token, in a signer.

#include "actors/sockets/sockets.hpp"
#include "runtime/crypto/pkcs11.hpp"
#include "runtime/json/json.hpp"
#include "runtime/signer/client.hpp"
#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"
#include "test/support/soft_token.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

using namespace rvi;
using namespace rvi::test;

namespace {

namespace fs = std::filesystem;

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";
constexpr uint64_t minute_ms = 60'000;

std::string text_of(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

crypto::private_key on_token(const std::string& name, crypto::algorithm kind) {
  auto uri = soft_token::instance().uri(name);
  auto result = crypto::load_token_key(uri);
  if (!result)
    result = crypto::generate_token_key(uri, kind);
  REQUIRE_MESSAGE(result, describe(result.error()));
  return *result;
}

/// What a process has open, and what it has loaded.
std::string open_files_of(pid_t pid) {
  auto process = "/proc/" + std::to_string(pid);
  std::string result;
  for (auto& x : fs::directory_iterator{process + "/fd"}) {
    std::error_code ignored;
    result += fs::read_symlink(x.path(), ignored).string() + "\n";
  }
  return result + text_of(process + "/maps");
}

bool has_secret_key(const fs::path& folder) {
  for (auto& x : fs::recursive_directory_iterator{folder})
    if (x.is_regular_file() && text_of(x.path()).find("PRIVATE KEY") != std::string::npos)
      return true;
  return false;
}

/// A vehicle behind a signer, and a cloud.
struct fixture {
  /// With these, or with keys in files if they are null.
  explicit fixture(const std::string& signer_key_uri = {}, const std::string& cloud_key_uri = {}) {
    auto signer_key = signer_key_uri;
    node_settings of_vehicle;
    if (signer_key.empty()) {
      signer_key = world.folder + "/signer.key";
      of_vehicle.key = *crypto::private_key::generate(crypto::algorithm::es256);
      REQUIRE(!crypto::save_private_key(signer_key, of_vehicle.key));
    } else {
      of_vehicle.key = *crypto::load_token_key(signer_key);
    }
    signer = std::make_unique<signer_process>(signer_key, world.folder + "/signer.sock");
    of_vehicle.key_place = "signer = \"" + signer->socket() + "\"\n";
    of_vehicle.name = "jlr.com/vin/1234";
    of_vehicle.destinations = {"jlr.com/cloud/media_server"};
    of_vehicle.route_to = cloud_port;
    vehicle = std::make_unique<node_process>(world, "vehicle", of_vehicle);
    node_settings of_cloud;
    of_cloud.name = "jlr.com/cloud";
    of_cloud.role = "cloud";
    of_cloud.infix = "";
    of_cloud.destinations = {"jlr.com/vin/+/services"};
    of_cloud.tls_port = cloud_port;
    if (!cloud_key_uri.empty()) {
      of_cloud.key = *crypto::load_token_key(cloud_key_uri);
      of_cloud.key_place = "key = \"" + cloud_key_uri + "\"\n";
    }
    cloud = std::make_unique<node_process>(world, "cloud", of_cloud);
    media_player = std::make_unique<service_client>(vehicle->socket());
    media_server = std::make_unique<service_client>(cloud->socket());
    make_echo(*media_server);
  }

  void start_vehicle() {
    signer->start();
    vehicle->start();
    CHECK(media_player->register_service("media_player")
          == "jlr.com/vin/1234/services/media_player");
  }

  void start_cloud() {
    cloud->start();
    CHECK(media_server->register_service("media_server") == "jlr.com/cloud/media_server");
  }

  uint64_t send(const std::string& arguments, uint64_t expires_ms = wall_ms() + minute_ms) {
    return media_player->send_call("invoke",
                                   R"({"timeout":)" + std::to_string(expires_ms)
                                     + R"(,"requesting_service":"media_player","target":")"
                                     + stream_audio + R"(","arguments":)" + arguments + "}");
  }

  bool wait(const std::function<bool()>& holds) {
    return wait_for({media_player.get(), media_server.get()}, holds);
  }

  call_answer answer_to(uint64_t id) {
    std::optional<call_answer> result;
    REQUIRE_MESSAGE(wait([&] { return (result = media_player->take_answer(id)).has_value(); }),
                    vehicle->log_tail());
    return *result;
  }

  /// An rpc there and back.
  void exchange(const std::string& arguments) {
    auto accepted = answer_to(send(arguments));
    REQUIRE_MESSAGE(accepted.code.empty(), accepted.message << vehicle->log_tail());
    auto& id = accepted.transaction_id;
    REQUIRE_MESSAGE(wait([&] { return outcome_of(*media_player, id) != nullptr; }),
                    vehicle->log_tail() << cloud->log_tail());
    CHECK(outcome_of(*media_player, id)->status == "ok");
    CHECK(outcome_of(*media_player, id)->arguments == arguments);
  }

  node_world world;
  uint16_t cloud_port = free_port();
  std::unique_ptr<signer_process> signer;
  std::unique_ptr<node_process> vehicle;
  std::unique_ptr<node_process> cloud;
  std::unique_ptr<service_client> media_player;
  std::unique_ptr<service_client> media_server;
};

} // namespace

TEST_SUITE_BEGIN("real nodes" * doctest::skip(rvi_program().empty()));

TEST_CASE("two nodes without a key of their own serve each other"
          * doctest::skip(!has_soft_token())) {
  auto vehicle_key = soft_token::instance().uri("vehicle");
  auto cloud_key = soft_token::instance().uri("cloud");
  on_token("vehicle", crypto::algorithm::es256);
  on_token("cloud", crypto::algorithm::ed25519);
  fixture x{vehicle_key, cloud_key};
  x.start_cloud();
  x.start_vehicle();
  for (auto arguments : {"[1]", "[2]", "[3]"})
    x.exchange(arguments);
  auto seen = open_files_of(x.vehicle->pid());
  CHECK(seen.find(soft_token::instance().folder) == std::string::npos);
  CHECK(seen.find("softhsm") == std::string::npos);
  CHECK(open_files_of(x.cloud->pid()).find("softhsm") != std::string::npos);
  CHECK(!has_secret_key(x.world.folder));
  CHECK(x.vehicle->log().find(soft_token_pin) == std::string::npos);
  CHECK(x.signer->log().find(soft_token_pin) == std::string::npos);
  auto status = run_rvi("status --config " + x.cloud->path("rvi.toml") + " --format json");
  CHECK(status.output.find("pkcs11:object=cloud;token=one") != std::string::npos);
  CHECK(status.output.find(soft_token::instance().pin_file()) == std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "a router behind a signer has no key, and says where it is") {
  start_cloud();
  start_vehicle();
  exchange("[1]");
  CHECK(open_files_of(vehicle->pid()).find("signer.key") == std::string::npos);
  CHECK(!has_secret_key(vehicle->path("")));
  auto config = vehicle->path("rvi.toml");
  auto status = run_rvi("status --config " + config + " --format json");
  CHECK_MESSAGE(status.output.find("\"signer " + signer->socket() + "\"") != std::string::npos,
                status.output);
  auto dumped = run_rvi("node --dump-config --config " + config);
  CHECK(dumped.output.find(signer->socket()) != std::string::npos);
  CHECK(dumped.output.find("node.key") == std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "a signer has given up all it does not need") {
  start_vehicle();
  auto status = text_of("/proc/" + std::to_string(signer->pid()) + "/status");
  CHECK(status.find("\nNoNewPrivs:\t1\n") != std::string::npos);
  CHECK(status.find("\nSeccomp:\t2\n") != std::string::npos);
  CHECK(status.find("\nVmLck:\t       0 kB") == std::string::npos);
  auto limits = text_of("/proc/" + std::to_string(signer->pid()) + "/limits");
  CHECK(limits.find("Max core file size        0                    0") != std::string::npos);
  struct stat of_process {};
  REQUIRE(::stat(("/proc/" + std::to_string(signer->pid()) + "/mem").c_str(), &of_process) == 0);
  CHECK(of_process.st_uid == 0); // not dumpable: the kernel gives it to root
  struct stat of_socket {};
  REQUIRE(::stat(signer->socket().c_str(), &of_socket) == 0);
  CHECK((of_socket.st_mode & 0777) == 0600);
  CHECK(signer->terminate() == 0);
  CHECK(signer->log().find("batch_root=") != std::string::npos);
  CHECK(signer->log().find("stopped") != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "requests made while the signer is dead are accepted when it is back") {
  start_cloud();
  start_vehicle();
  exchange("[1]");
  signer->kill();
  std::vector<uint64_t> calls;
  for (int i = 0; i < 20; ++i)
    calls.push_back(send("[" + std::to_string(100 + i) + "]"));
  // Answered by the node meanwhile, so it is not stuck.
  CHECK(media_player->call("get_status", "{}").code != "no answer");
  for (auto x : calls)
    CHECK(!media_player->take_answer(x));
  signer->start();
  for (auto x : calls) {
    auto accepted = answer_to(x);
    CHECK_MESSAGE(accepted.code.empty(), accepted.message);
    auto& id = accepted.transaction_id;
    CHECK(wait([&] { return outcome_of(*media_player, id) != nullptr; }));
  }
  exchange("[2]");
  CHECK(media_server->invoked.size() == 22);
}

TEST_CASE_FIXTURE(fixture, "what was accepted is delivered once the signer is back") {
  start_vehicle();
  std::vector<std::string> ids;
  for (int i = 0; i < 10; ++i) {
    auto accepted = answer_to(send("[" + std::to_string(i) + "]"));
    REQUIRE(accepted.code.empty());
    ids.push_back(accepted.transaction_id);
  }
  signer->kill();
  start_cloud(); // no handshake without the key
  CHECK(
    wait([&] { return vehicle->log().find("signer " + signer->socket()) != std::string::npos; }));
  CHECK(media_server->invoked.empty());
  signer->start();
  for (auto& id : ids)
    REQUIRE_MESSAGE(wait([&] { return outcome_of(*media_player, id) != nullptr; }),
                    vehicle->log_tail());
  CHECK(media_server->invoked.size() == 10);
}

TEST_CASE_FIXTURE(fixture, "a request whose time is up before it can be signed is told so") {
  start_cloud();
  start_vehicle();
  signer->kill();
  auto answer = answer_to(send("[1]", wall_ms() + 1'000));
  CHECK(answer.code == "timeout");
  CHECK(answer.message.find(signer->socket()) != std::string::npos);
  signer->start();
  exchange("[2]");
  CHECK(media_server->invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a node that finds no signer does not start, and says why") {
  CHECK(vehicle->exit_code_of_start() == 1);
  CHECK_MESSAGE(vehicle->log().find("signer " + signer->socket()) != std::string::npos,
                vehicle->log());
}

TEST_CASE_FIXTURE(fixture, "a key and a signer exclude each other") {
  vehicle->settings.key_place += "key = \"node.key\"\n";
  vehicle->write_config();
  CHECK(vehicle->exit_code_of_start() == 1);
  CHECK(vehicle->log().find("signer") != std::string::npos);
}

TEST_CASE("a signer serves on the socket that systemd passes, and on no other kind") {
  node_world world;
  auto key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  REQUIRE(!crypto::save_private_key(world.folder + "/k", key));
  auto passed = listen_unix(world.folder + "/s.sock", unix_socket::packets_0600);
  REQUIRE(passed);
  signer_process signer{world.folder + "/k", world.folder + "/s.sock"};
  signer.passed_fd = (*passed)->fd.get();
  signer.start();
  auto router = signer::connect(signer.socket());
  REQUIRE_MESSAGE(router, signer.log());
  CHECK(router->self_signed_certificate("n", 1'700'000'000, 1));
  signer.kill();
  // The socket is still there, so who asks meanwhile waits for the next one.
  signer.start();
  CHECK(router->self_signed_certificate("n", 1'700'000'000, 1));
  CHECK(signer.terminate() == 0);
  auto stream = listen_unix(world.folder + "/t.sock");
  REQUIRE(stream);
  signer.passed_fd = (*stream)->fd.get();
  signer.start();
  CHECK(signer.wait_exit() == 1);
  CHECK(signer.log().find("ListenSequentialPacket") != std::string::npos);
}

TEST_CASE("a signer gives its socket to the user it serves, and serves no other"
          * doctest::skip(::geteuid() != 0)) {
  node_world world;
  auto key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  REQUIRE(!crypto::save_private_key(world.folder + "/k", key));
  signer_process signer{world.folder + "/k", world.folder + "/s.sock"};
  signer.user = "nobody";
  signer.start();
  auto refused = signer::connect(signer.socket());
  REQUIRE(!refused);
  CHECK(code_of(refused.error()) == ec::unauthenticated);
  struct stat of_socket {};
  REQUIRE(::stat(signer.socket().c_str(), &of_socket) == 0);
  CHECK(of_socket.st_uid == 65'534);
  CHECK((of_socket.st_mode & 0777) == 0600);
  CHECK(signer.terminate() == 0);
  CHECK(signer.log().find("another user") != std::string::npos);
  signer.user = "no-such-user";
  signer.start();
  CHECK(signer.wait_exit() == 1);
}

TEST_CASE("a signer does not start with a key that others can read") {
  node_world world;
  auto key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  REQUIRE(!crypto::save_private_key(world.folder + "/k", key));
  fs::permissions(world.folder + "/k", fs::perms::group_read, fs::perm_options::add);
  signer_process signer{world.folder + "/k", world.folder + "/s.sock"};
  signer.start();
  CHECK(signer.wait_exit() == 1);
  CHECK(signer.log().find("chmod 600") != std::string::npos);
  CHECK(!fs::exists(signer.socket()));
  CHECK(run_rvi("signer --key " + world.folder + "/k").code == 2);
}

TEST_CASE("rvi init takes keys from tokens and signers" * doctest::skip(!has_soft_token())) {
  node_world world;
  auto uri = soft_token::instance().uri("made-by-init");
  auto init = "init --role vehicle --name jlr.com/vin/7 --directory " + world.folder;
  auto made = run_rvi(init + "/a --algorithm es256 --generate --key '" + uri + "'");
  CHECK_MESSAGE(made.code == 0, made.output);
  CHECK(!fs::exists(world.folder + "/a/node.key"));
  auto dumped = run_rvi("node --dump-config --config " + world.folder + "/a/rvi.toml");
  CHECK(dumped.output.find("made-by-init") != std::string::npos);
  auto second = run_rvi(init + "/b --generate --key '" + uri + "'");
  CHECK(second.code == 1);
  CHECK(!fs::exists(world.folder + "/b/rvi.toml"));
  CHECK(run_rvi(init + "/b --key '" + uri + "'").code == 0);
  CHECK(text_of(world.folder + "/a/node.pub") == text_of(world.folder + "/b/node.pub"));
  signer_process signer{uri, world.folder + "/s.sock"};
  signer.start();
  auto behind = run_rvi(init + "/c --signer " + signer.socket());
  CHECK_MESSAGE(behind.code == 0, behind.output << signer.log());
  CHECK(text_of(world.folder + "/a/node.pub") == text_of(world.folder + "/c/node.pub"));
  CHECK(run_rvi(init + "/d --key file.key").code == 2);
  CHECK(run_rvi(init + "/d --generate").code == 2);
  CHECK(run_rvi(init + "/d --key '" + uri + "' --signer /s").code == 2);
}

TEST_CASE("an organization's root key on a token issues credentials"
          * doctest::skip(!has_soft_token())) {
  node_world world;
  auto uri = soft_token::instance().uri("root");
  auto root = run_rvi("credential root --organization jlr.com --algorithm es256 --generate --out "
                      + world.folder + "/root --key '" + uri + "'");
  REQUIRE_MESSAGE(root.code == 0, root.output);
  CHECK(!fs::exists(world.folder + "/root/root.key"));
  CHECK(run_rvi("init --role vehicle --name jlr.com/vin/7 --directory " + world.folder + "/n").code
        == 0);
  auto issued = run_rvi("credential issue --root '" + uri + "' --organization jlr.com --node "
                        + world.folder + "/n/node.pub --source jlr.com/vin/7 --destination jlr.com "
                        + "--out " + world.folder + "/n/credentials/7.jwt");
  CHECK_MESSAGE(issued.code == 0, issued.output);
  auto verified = run_rvi("credential verify --anchor " + world.folder + "/root/anchor.json "
                          + world.folder + "/n/credentials/7.jwt");
  CHECK_MESSAGE(verified.code == 0, verified.output);
}

TEST_SUITE_END();
