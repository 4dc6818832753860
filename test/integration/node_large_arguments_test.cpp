// SPDX-License-Identifier: MPL-2.0
//
// Large arguments between real nodes: 32 MiB there and back, with the cloud killed on the way.

#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";
constexpr size_t mebibyte = size_t{1} << 20;
constexpr milliseconds patience{180'000};

/// A JSON text of this size that has no repeating pieces.
std::string text_of(size_t bytes) {
  std::string result(bytes, '"');
  uint64_t x = 7;
  for (size_t i = 1; i + 1 < bytes; ++i) {
    x = x * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
    result[i] = static_cast<char>('a' + (x >> 33) % 26);
  }
  return result;
}

struct fixture : two_nodes {
  fixture() {
    vehicle.settings.limits = cloud.settings.limits = "request_bytes = \"64MiB\"\n";
    vehicle.settings.backoff = cloud.settings.backoff
      = "backoff_min = \"200ms\"\nbackoff_max = \"1s\"\n";
    vehicle.write_config();
    cloud.write_config();
    make_echo(media_server);
  }

  bool wait(const std::function<bool()>& holds) {
    return wait_for(
      {&media_player, &media_server},
      [&] {
        most = std::max({most, vehicle.anonymous_bytes(), cloud.anonymous_bytes()});
        return holds();
      },
      patience);
  }

  /// A number of the node's status.
  static uint64_t status(service_client& of, const std::string& name) {
    auto text = of.call("get_status", "{}").result;
    auto at = text.find('"' + name + "\":");
    return at == text.npos ? 0 : std::strtoull(text.c_str() + at + name.size() + 3, nullptr, 10);
  }

  void start_cloud() {
    cloud.start();
    REQUIRE_FALSE(media_server.register_service("media_server").empty());
  }

  /// SIGKILL once that much of something large is durable there.
  void kill_cloud_at(uint64_t bytes) {
    uint64_t received = 0;
    REQUIRE_MESSAGE(wait([&] {
                      received = status(media_server, "received_bytes");
                      return received >= bytes || !media_server.invoked.empty();
                    }),
                    cloud.log_tail());
    CHECK_MESSAGE(received >= bytes, "it went by unseen");
    cloud.kill();
    media_server.disconnect();
    start_cloud();
  }

  service_client media_player{vehicle.socket()};
  service_client media_server{cloud.socket()};
  uint64_t most = 0; // anonymous memory of either
};

} // namespace

TEST_SUITE_BEGIN("real nodes with large arguments" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "32 MiB come back byte for byte though the cloud is killed twice") {
  vehicle.start();
  start_cloud();
  media_player.register_service("media_player");
  auto song = text_of(32 * mebibyte);
  auto answer = media_player.invoke("media_player", stream_audio, song, wall_ms() + 600'000);
  REQUIRE_MESSAGE(answer.code.empty(), answer.code << ": " << answer.message);
  kill_cloud_at(6 * mebibyte);
  kill_cloud_at(16 * mebibyte);
  const handed_over* outcome = nullptr;
  REQUIRE_MESSAGE(wait([&] {
                    outcome = outcome_of(media_player, answer.transaction_id);
                    return outcome != nullptr;
                  }),
                  vehicle.log_tail() << cloud.log_tail());
  CHECK(outcome->status == "ok");
  CHECK(outcome->arguments == song);
  REQUIRE(media_server.invoked.size() == 1);
  CHECK(media_server.invoked[0].arguments == song);
  CHECK(status(media_player, "resumed") == 2);
  MESSAGE("anonymous memory of a node at most " << (most >> 20) << " MiB");
  CHECK(most < 400 * mebibyte);
}

TEST_CASE_FIXTURE(fixture, "what is over the limit is told the limit") {
  vehicle.start();
  media_player.register_service("media_player");
  auto answer = media_player.invoke("media_player", stream_audio, text_of(64 * mebibyte + 1),
                                    wall_ms() + 60'000);
  CHECK(answer.code == "too_large");
  CHECK(answer.message.find("request_bytes") != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "what the other node does not take is refused with its limit") {
  cloud.settings.limits = "request_bytes = \"1MiB\"\n";
  cloud.write_config();
  vehicle.start();
  start_cloud();
  media_player.register_service("media_player");
  auto answer
    = media_player.invoke("media_player", stream_audio, text_of(2 * mebibyte), wall_ms() + 60'000);
  REQUIRE(answer.code.empty());
  const handed_over* outcome = nullptr;
  REQUIRE(wait([&] {
    outcome = outcome_of(media_player, answer.transaction_id);
    return outcome != nullptr;
  }));
  CHECK(outcome->status == "refused");
  CHECK(outcome->error.find("too_large") != std::string::npos);
  CHECK(outcome->error.find("1048576") != std::string::npos);
}
