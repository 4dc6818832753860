// SPDX-License-Identifier: MPL-2.0
//
// One service, or one peer, that stops among a hundred: the others must not feel it. Rounds without
// and with the stalled one alternate, so that whatever else the machine does meets both.

#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <poll.h>
#include <unordered_map>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr size_t members = 100;
constexpr size_t stalled = 41;
constexpr size_t outstanding_max = 16;
constexpr size_t round_requests = 1'000;
constexpr size_t rounds_min = 3; // of each kind
constexpr size_t rounds_max = 15;
constexpr double slower_max = 1.2; // p99 with the stalled one to p99 without
constexpr uint64_t minute_ms = 60'000;

uint64_t now_us() {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return uint64_t(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

uint64_t median(std::vector<uint64_t> xs) {
  std::sort(xs.begin(), xs.end());
  return xs[xs.size() / 2];
}

/// One driver, a hundred targets, rpcs to all in turn and how long each took.
class rounds {
public:
  rounds(service_client& driver, std::vector<service_client*> all, std::vector<std::string> targets)
    : driver_(driver),
      all_(std::move(all)),
      targets_(std::move(targets)) {
    all_.push_back(&driver_);
  }

  /// p99 of one round, microseconds; what goes to the stalled one is sent but not waited for.
  uint64_t p99(bool with_stalled) {
    std::vector<uint64_t> latencies;
    std::unordered_map<std::string, uint64_t> open; // by arguments
    size_t sent = 0;
    auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes{2};
    while (sent < round_requests || !open.empty()) {
      while (open.size() < outstanding_max && sent < round_requests)
        send(sent++, with_stalled, open);
      pump();
      take(open, latencies);
      REQUIRE_MESSAGE(std::chrono::steady_clock::now() < deadline, open.size() << " open");
    }
    std::sort(latencies.begin(), latencies.end());
    return latencies[latencies.size() * 99 / 100];
  }

private:
  void pump() {
    std::vector<pollfd> fds;
    for (auto* x : all_)
      fds.push_back({x->fd(), POLLIN, 0}); // a closed one has -1, which poll passes over
    ::poll(fds.data(), fds.size(), 10);
    for (size_t i = 0; i < fds.size(); ++i)
      if (fds[i].revents != 0)
        all_[i]->pump(milliseconds{0});
  }

  void send(size_t i, bool with_stalled, std::unordered_map<std::string, uint64_t>& open) {
    auto member = i % members;
    if (member == stalled && !with_stalled)
      return;
    auto arguments = "[" + std::to_string(next_++) + "]";
    driver_.send_call("invoke", R"({"requesting_service":"app","timeout":)"
                                  + std::to_string(wall_ms() + 10 * minute_ms) + R"(,"target":")"
                                  + targets_[member] + R"(","arguments":)" + arguments + "}");
    if (member != stalled)
      open.emplace(arguments, now_us());
  }

  void take(std::unordered_map<std::string, uint64_t>& open, std::vector<uint64_t>& latencies) {
    for (auto& x : driver_.outcomes) {
      auto i = open.find(x.arguments);
      if (i == open.end())
        continue; // the stalled one's, after it went on
      CHECK(x.status == "ok");
      latencies.push_back(now_us() - i->second);
      open.erase(i);
    }
    driver_.outcomes.clear();
    for (auto* x : all_)
      x->invoked.clear();
  }

  service_client& driver_;
  std::vector<service_client*> all_;
  std::vector<std::string> targets_;
  uint64_t next_ = 1;
};

/// Alternates rounds until the medians tell, or as often as it may.
void check_others(rounds& x, const std::function<void(bool)>& stall) {
  x.p99(false); // links come up, caches fill
  std::vector<uint64_t> without;
  std::vector<uint64_t> with;
  auto ratio = [&] { return double(median(with)) / double(median(without)); };
  do {
    without.push_back(x.p99(false));
    stall(true);
    with.push_back(x.p99(true));
    stall(false);
  } while (with.size() < rounds_min || (ratio() > slower_max && with.size() < rounds_max));
  MESSAGE("p99 of the others " << median(without) << " us, with one of " << members << " stalled "
                               << median(with) << " us, " << with.size() << " rounds each");
  CHECK(ratio() <= slower_max);
}

} // namespace

TEST_SUITE_BEGIN("stalled" * doctest::skip(rvi_program().empty()));

TEST_CASE("one stalled service among a hundred does not slow the others") {
  two_nodes nodes;
  nodes.vehicle.settings.destinations = {"jlr.com/cloud"};
  auto& root = nodes.world.provisioning;
  auto claims = root.claims(nodes.vehicle.key.public_part(), {nodes.vehicle.settings.name},
                            {"jlr.com/cloud"}, wall_ms() / 1'000);
  nodes.vehicle.write_credential("node.jwt", root.issue(claims));
  nodes.cloud.start();
  nodes.vehicle.start();
  std::deque<service_client> services;
  std::vector<service_client*> all;
  std::vector<std::string> targets;
  for (size_t i = 0; i < members; ++i) {
    auto& x = services.emplace_back(nodes.cloud.socket());
    targets.push_back("rpc:" + x.register_service("s" + std::to_string(i)) + "/echo");
    make_echo(x);
    all.push_back(&x);
  }
  service_client driver{nodes.vehicle.socket()};
  driver.register_service("app");
  rounds x{driver, all, targets};
  check_others(x, [&](bool on) {
    // It takes what comes and says nothing, not even that it has it.
    services[stalled].gives_receipts = !on;
    services[stalled].on_invoke = nullptr;
    if (!on)
      services[stalled].disconnect(); // what it had is lost to it; it comes again
    if (!on)
      services[stalled].register_service("s" + std::to_string(stalled));
  });
}

TEST_CASE("one stopped vehicle among a hundred does not slow the others") {
  node_world world;
  node_settings cloud_settings;
  cloud_settings.name = "jlr.com/cloud";
  cloud_settings.role = "cloud";
  cloud_settings.infix = "";
  cloud_settings.destinations = {"jlr.com/vin"};
  cloud_settings.tls_port = free_port();
  node_process cloud{world, "cloud", cloud_settings};
  cloud.start();
  std::deque<node_process> vehicles;
  std::deque<service_client> services;
  std::vector<service_client*> all;
  std::vector<std::string> targets;
  for (size_t i = 0; i < members; ++i) {
    node_settings x;
    x.name = "jlr.com/vin/" + std::to_string(i);
    x.destinations = {"jlr.com/cloud"};
    x.links = "connect = [\"127.0.0.1:" + std::to_string(cloud_settings.tls_port) + "\"]\n";
    auto& node = vehicles.emplace_back(world, "vin" + std::to_string(i), x);
    node.start();
    auto& service = services.emplace_back(node.socket());
    targets.push_back("rpc:" + service.register_service("echo") + "/echo");
    make_echo(service);
    all.push_back(&service);
  }
  service_client driver{cloud.socket()};
  driver.register_service("app");
  rounds x{driver, all, targets};
  check_others(x, [&](bool on) { vehicles[stalled].signal(on ? SIGSTOP : SIGCONT); });
}

TEST_SUITE_END();
