// SPDX-License-Identifier: MPL-2.0
//
// What the services of real nodes learn of each other (HLD 4.6, 7.3, 10.2) while connections close,
// nodes are killed, and a node starts again that has met others before.

#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";
constexpr uint64_t minute_ms = 60'000;

struct fixture : two_nodes {
  fixture() { make_echo(media_server); }

  bool wait(const std::function<bool()>& condition) {
    return wait_for({&media_player, &media_server}, condition);
  }

  /// The position behind the next report from `from` on that holds all parts; fails without one.
  size_t heard(size_t from, std::initializer_list<const char*> parts) {
    size_t found = 0;
    auto holds = [&] {
      auto& texts = media_player.texts;
      for (auto i = from; i < texts.size() && found == 0; ++i)
        if (std::all_of(parts.begin(), parts.end(),
                        [&](auto part) { return texts[i].find(part) != std::string::npos; }))
          found = i + 1;
      return found != 0;
    };
    CHECK_MESSAGE(wait(holds), *(parts.end() - 1) << "\n" << vehicle.log_tail());
    return found == 0 ? media_player.texts.size() : found;
  }

  /// One rpc of the vehicle's service and how it ended.
  std::string outcome() {
    auto before = media_player.outcomes.size();
    auto answer = media_player.invoke("media_player", stream_audio, "1", wall_ms() + minute_ms);
    if (!answer.code.empty())
      return answer.code;
    if (!wait([&] { return media_player.outcomes.size() > before; }))
      return "none";
    return media_player.outcomes.back().status;
  }

  service_client media_player{vehicle.socket()};
  service_client media_server{cloud.socket()};
};

} // namespace

TEST_SUITE_BEGIN("awareness" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "reports follow what comes and goes; a restart remembers it") {
  vehicle.settings.links = "connect = [\"127.0.0.1:" + std::to_string(cloud_port) + "\"]\n";
  vehicle.settings.route_to = 0;
  vehicle.write_config();
  vehicle.start();
  media_player.register_service("media_player");
  auto subscribed = media_player.call("subscribe_availability", R"({"pattern":"jlr.com/cloud/#"})");
  REQUIRE_MESSAGE(subscribed.code.empty(), subscribed.message);
  CHECK(media_player.texts.empty());

  cloud.start();
  media_server.register_service("media_server");
  auto at = heard(0, {"\"services_available\"", "jlr.com/cloud/media_server", R"("kind":"tls")"});
  at = heard(0, {R"("reason":"measured")", "round_trip_us"});
  auto channels = media_player.call("get_data_channels", "{}").result;
  CHECK_MESSAGE(channels.find(R"("node":"jlr.com/cloud","kind":"tls","up":true)") != channels.npos,
                channels);
  at = media_player.texts.size();
  media_server.disconnect();
  at = heard(at, {"\"services_unavailable\"", "media_server", R"("state":"gone")"});
  media_server.register_service("media_server");
  at = heard(at, {"\"services_available\"", "media_server", R"("reason":"announced")"});
  cloud.kill();
  at = heard(at, {"\"services_unavailable\"", "media_server", R"("state":"away")"});

  // From here on nothing in the configuration says where the cloud is.
  cloud.start();
  media_server.register_service("media_server");
  heard(at, {"\"services_available\"", "media_server"});
  CHECK(outcome() == "ok");
  vehicle.kill();
  vehicle.settings.links.clear();
  vehicle.write_config();
  vehicle.start();
  media_player.disconnect();
  media_player.texts.clear();
  media_player.register_service("media_player");
  media_player.call("subscribe_availability", R"({"pattern":"jlr.com/cloud/#"})");
  at = heard(0, {"\"services_unavailable\"", "media_server", R"("state":"away")", "last_seen_ms"});
  CHECK(media_player.call("get_nodes", "{}").result.find(std::to_string(cloud_port))
        != std::string::npos);
  CHECK_MESSAGE(outcome() == "ok", vehicle.log_tail());
  heard(at, {"\"services_available\"", "media_server", R"("reason":"link_up")"});
}

TEST_SUITE_END();
