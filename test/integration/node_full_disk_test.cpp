// SPDX-License-Identifier: MPL-2.0
//
// A store without room: new requests are refused, accepted ones stay, and the node goes on. The
// disk is a small tmpfs where the test may mount one.

#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <set>
#include <sys/mount.h>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";

/// A file system of its own, gone with this.
class small_disk {
public:
  small_disk(std::string path, const char* size) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
    auto options = "size=" + std::string{size};
    mounted_ = ::mount("tmpfs", path_.c_str(), "tmpfs", 0, options.c_str()) == 0;
  }
  ~small_disk() {
    if (mounted_)
      ::umount2(path_.c_str(), MNT_DETACH);
  }
  small_disk(const small_disk&) = delete;
  small_disk& operator=(const small_disk&) = delete;

  bool mounted() const { return mounted_; }
  void resize(const char* size) {
    auto options = "size=" + std::string{size};
    REQUIRE(::mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT, options.c_str()) == 0);
  }

private:
  std::string path_;
  bool mounted_ = false;
};

struct fixture : two_nodes {
  fixture() {
    media_server.on_invoke = [this](const handed_over& given) {
      media_server.send_call("reply", R"({"transaction_id":")" + given.transaction_id
                                        + R"(","arguments":1})");
    };
  }

  void start_vehicle(const std::string& store) {
    vehicle.settings.store = store;
    vehicle.write_config();
    vehicle.start();
    media_player.register_service("media_player");
  }

  call_answer ask(size_t bytes) {
    return media_player.invoke("media_player", stream_audio, "\"" + std::string(bytes, 'x') + "\"",
                               wall_ms() + 300'000);
  }

  /// Requests until one is refused for want of room.
  void fill(size_t bytes) {
    constexpr int requests_max = 2'000;
    for (int i = 0; i < requests_max; ++i) {
      auto answer = ask(bytes);
      if (answer.code.empty()) {
        ids.insert(answer.transaction_id);
        continue;
      }
      CHECK_MESSAGE((answer.code == "store_full" || answer.code == "busy"),
                    answer.code << ": " << answer.message);
      MESSAGE(ids.size() << " accepted, then " << answer.code << ": " << answer.message);
      return;
    }
    FAIL("the store was never full");
  }

  void check_still_answers() {
    REQUIRE_MESSAGE(vehicle.running(), vehicle.log_tail());
    CHECK(media_player.call("get_node_address", "{}").code.empty());
    size_t kept = 0;
    for (auto& id : ids) {
      auto answer = media_player.call("get_outcome", R"({"transaction_id":")" + id + "\"}");
      kept += answer.result.find("pending") != std::string::npos ? 1 : 0;
    }
    CHECK(kept == ids.size());
  }

  void check_delivered() {
    cloud.start();
    media_server.register_service("media_server");
    auto all_ended = [&] {
      std::set<std::string> seen;
      for (auto& x : media_player.outcomes)
        seen.insert(x.transaction_id);
      return seen.size() >= ids.size();
    };
    CHECK_MESSAGE(wait_for({&media_player, &media_server}, all_ended, milliseconds{40'000}),
                  vehicle.log_tail());
    size_t ok = 0;
    for (auto& id : ids) {
      auto outcome = outcome_of(media_player, id);
      ok += outcome && outcome->status == "ok" ? 1 : 0;
    }
    CHECK(ok == ids.size());
    CHECK(media_server.invoked.size() == ids.size());
  }

  std::set<std::string> ids;
  service_client media_player{vehicle.socket()};
  service_client media_server{cloud.socket()};
};

} // namespace

TEST_SUITE_BEGIN("full disks" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a store at its size_max refuses, keeps what it has and drains") {
  start_vehicle("size_max = \"2MiB\"\n");
  fill(8'000);
  CHECK(ids.size() > 20);
  check_still_answers();
  check_delivered();
  auto after = ask(8'000); // there is room again
  CHECK_MESSAGE(after.code.empty(), after.message);
}

TEST_CASE_FIXTURE(fixture, "a store at its size_max is opened again after a crash and drains") {
  start_vehicle("size_max = \"2MiB\"\n");
  fill(8'000);
  vehicle.kill();
  vehicle.start();
  media_player.register_service("media_player");
  check_still_answers();
  check_delivered();
}

TEST_CASE_FIXTURE(fixture, "a store at its size_max drains, replies as large as requests or not") {
  make_echo(media_server);
  start_vehicle("size_max = \"2MiB\"\n");
  fill(8'000);
  check_delivered();
}

TEST_CASE_FIXTURE(fixture, "a full disk refuses, keeps what it has and goes on with more room") {
  small_disk disk{vehicle.path("store"), "12m"};
  if (!disk.mounted()) {
    MESSAGE("skipped: no file system can be mounted here");
    return;
  }
  start_vehicle("size_max = \"64MiB\"\n");
  fill(60'000);
  CHECK(ids.size() > 20);
  check_still_answers();
  disk.resize("64m");
  auto accepted_again = [&] {
    auto answer = ask(1'000);
    if (answer.code.empty())
      ids.insert(answer.transaction_id);
    return answer.code.empty();
  };
  CHECK_MESSAGE(wait_for({&media_player}, accepted_again), vehicle.log_tail());
  check_delivered();
  vehicle.kill(); // before its disk goes
}

TEST_CASE_FIXTURE(fixture, "a node starts on a full disk and drains it") {
  small_disk disk{vehicle.path("store"), "12m"};
  if (!disk.mounted())
    return;
  start_vehicle("size_max = \"64MiB\"\n");
  fill(60'000);
  vehicle.kill();
  vehicle.start();
  auto registered = [&] {
    return (media_player.connected() || media_player.connect())
           && media_player.call("register_service", R"({"service":"media_player"})").code.empty();
  };
  CHECK_MESSAGE(wait_for({&media_player}, registered, milliseconds{5'000}), vehicle.log_tail());
  check_still_answers();
  CHECK_MESSAGE(vehicle.log().find(" supervisor ") == std::string::npos, vehicle.log_tail());
  check_delivered();
  vehicle.kill();
}

TEST_CASE_FIXTURE(fixture, "a full queue answers busy and keeps what it has") {
  vehicle.settings.limits = "queue_items = 10\n";
  start_vehicle({});
  fill(10);
  CHECK(ids.size() == 10);
  check_still_answers();
  check_delivered();
}

TEST_SUITE_END();
