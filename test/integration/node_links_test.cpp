// SPDX-License-Identifier: MPL-2.0
//
// Links of real nodes: nodes that find each other by multicast, a peer that stops without a word,
// an administrator's disconnect, a ping that is dialled back.

#include "actors/links/beacon.hpp"
#include "actors/sockets/datagrams.hpp"
#include "runtime/json/json.hpp"
#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <csignal>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr const char* cloud_name = "jlr.com/cloud";

socket_fd listen_anywhere(uint16_t& port) {
  auto opened = listen_tcp("127.0.0.1", 0);
  REQUIRE(opened);
  port = (*opened)->port;
  return std::move((*opened)->fd);
}

/// Connects to the port and says nothing.
void ping(uint16_t port) {
  socket_fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
}

bool readable(int fd, milliseconds time) {
  pollfd x{fd, POLLIN, 0};
  return ::poll(&x, 1, static_cast<int>(time.count())) == 1;
}

/// Whether multicast works over this machine's loopback interface.
bool multicast_works(uint16_t port) {
  auto lo = if_nametoindex("lo");
  auto socket = open_multicast(beacon_group_v4, port);
  if (lo == 0 || !socket || join_group(**socket, beacon_group_v4, lo)
      || send_to_group(**socket, beacon_group_v4, port, lo, "probe"))
    return false;
  return readable((*socket)->get(), milliseconds{1'000});
}

/// The state of the link to this node; empty: there is none.
std::string state_of(service_client& client, const std::string& node) {
  auto answer = client.call("get_links", "{}");
  auto parsed = json::parse(answer.result);
  if (!parsed)
    return {};
  std::string result;
  for (auto x : parsed->root().items())
    if (x["node"].as_string() == node && result != "up")
      result = std::string{x["state"].as_string().value_or("")};
  return result;
}

bool becomes(service_client& client, const std::string& node, const std::string& state,
             milliseconds time = node_patience) {
  auto until = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < until) {
    if (state_of(client, node) == state)
      return true;
    std::this_thread::sleep_for(milliseconds{50});
  }
  return false;
}

struct fixture : two_nodes {
  service_client at_vehicle{vehicle.socket()};
  service_client at_cloud{cloud.socket()};

  void start_linked(const std::string& links = {}) {
    vehicle.settings.links
      = "connect = [\"127.0.0.1:" + std::to_string(cloud_port) + "\"]\n" + links;
    vehicle.write_config();
    cloud.start();
    vehicle.start();
    at_vehicle.register_service("probe");
    at_cloud.register_service("probe");
    REQUIRE_MESSAGE(becomes(at_vehicle, cloud_name, "up"), vehicle.log_tail());
  }
};

} // namespace

TEST_SUITE_BEGIN("links of real nodes" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "nodes of one network find each other, also under a flood") {
  auto udp_port = free_port();
  if (!multicast_works(udp_port)) {
    MESSAGE("no multicast over loopback on this machine: skipped");
    return;
  }
  auto discovery = "[discovery]\nenabled = true\nloopback = true\ndial_unknown = true\nport = "
                   + std::to_string(udp_port) + "\n";
  vehicle.settings.route_to = 0; // it does not know where the cloud is
  vehicle.settings.links = discovery;
  cloud.settings.links = discovery;
  vehicle.write_config();
  cloud.write_config();
  cloud.start();
  auto sender = open_multicast(beacon_group_v4, udp_port);
  REQUIRE(sender);
  for (uint16_t i = 1; i <= 5'000; ++i) {
    beacon x;
    x.tcp_port = i;
    x.instance.fill(static_cast<uint8_t>(i));
    (void)send_to_group(**sender, beacon_group_v4, udp_port, if_nametoindex("lo"),
                        encode_beacon(x));
  }
  vehicle.start();
  at_vehicle.register_service("probe");
  // All of the flood came from the one address of this machine: that one is asked again in 30 s.
  CHECK_MESSAGE(becomes(at_vehicle, cloud_name, "up", milliseconds{45'000}), vehicle.log_tail());
  CHECK(cloud.running());
}

TEST_CASE_FIXTURE(fixture, "a peer that stops without a word is noticed by its silence") {
  start_linked("keepalive = \"300ms\"\n");
  auto before = wall_ms();
  cloud.signal(SIGSTOP);
  CHECK(becomes(at_vehicle, cloud_name, "up", milliseconds{1})); // nobody has said anything
  bool noticed = false;
  for (int i = 0; i < 400 && !noticed; ++i) {
    noticed = state_of(at_vehicle, cloud_name) != "up";
    std::this_thread::sleep_for(milliseconds{10});
  }
  auto took = wall_ms() - before;
  cloud.signal(SIGCONT);
  CHECK(noticed);
  CHECK(took >= 600); // three periods, the first of which may have begun before
  CHECK_MESSAGE(becomes(at_vehicle, cloud_name, "up"), vehicle.log_tail());
}

TEST_CASE_FIXTURE(fixture, "an administrator disconnects a node and connects it again") {
  start_linked();
  auto answer = at_vehicle.call("disconnect", R"({"node":"jlr.com/cloud"})");
  CHECK(answer.result.find(R"("links":1)") != std::string::npos);
  CHECK(becomes(at_vehicle, cloud_name, "disconnected"));
  std::this_thread::sleep_for(milliseconds{1'500}); // three times its longest backoff
  CHECK(state_of(at_vehicle, cloud_name) == "disconnected");
  CHECK(state_of(at_cloud, "jlr.com/vin/1234") != "up");
  CHECK(at_vehicle.call("connect", R"({"node":"jlr.com/cloud"})").code.empty());
  CHECK_MESSAGE(becomes(at_vehicle, cloud_name, "up"), vehicle.log_tail());
  CHECK(at_vehicle.call("connect", R"({"node":"jlr.com/nobody"})").code == "not_found");
}

TEST_CASE_FIXTURE(fixture, "a silent connection from a trusted network is dialled back") {
  uint16_t port = 0;
  auto listening = listen_anywhere(port);
  bool trusted = false;
  SUBCASE("trusted") {
    trusted = true;
  }
  SUBCASE("not trusted") {}
  cloud.settings.links = std::string{"dial_back = [\""} + (trusted ? "127.0.0.0/8" : "10.0.0.0/8")
                         + "\"]\n[discovery]\ndial_back_port = " + std::to_string(port) + "\n";
  cloud.write_config();
  cloud.start();
  ping(cloud_port);
  CHECK(readable(listening.get(), trusted ? node_patience : milliseconds{3'000}) == trusted);
}

TEST_SUITE_END();
