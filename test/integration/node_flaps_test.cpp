// SPDX-License-Identifier: MPL-2.0
//
// Two real nodes and a link between them that flaps thousands of times, then the same through a
// third node that carries for them: every request has exactly one outcome, none runs twice, and
// each channel keeps its order. FLAPS and REQUESTS set how many at least (10,000 and 100,000 unless
// they say otherwise; a tenth of it with the third node).

#include "test/integration/flaky_proxy.hpp"
#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <charconv>
#include <cstdlib>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr size_t outstanding_max = 64;
constexpr uint64_t channels = 8; // the last one means: none
constexpr uint64_t request_life_ms = 600'000;

uint64_t wanted(const char* variable, uint64_t otherwise) {
  auto text = std::getenv(variable);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// A number in the arguments, which are {"seq":N}.
uint64_t sequence_in(const std::string& arguments) {
  uint64_t result = 0;
  auto at = arguments.find(':');
  if (at != std::string::npos)
    std::from_chars(arguments.data() + at + 1, arguments.data() + arguments.size(), result);
  return result;
}

/// What became of each request, and what must not have.
struct bookkeeping {
  struct entry {
    bool rpc = false;
    uint32_t runs = 0;
    uint32_t outcomes = 0;
  };
  std::deque<entry> entries{1}; // by sequence number, from 1
  std::unordered_map<uint64_t, uint64_t> last_of_channel;
  uint64_t open = 0; // accepted or asked, and not ended
  uint64_t refused = 0;
  uint64_t doubled = 0;
  uint64_t overtaken = 0;
  uint64_t not_ok = 0;
  uint64_t ended = 0;

  static uint64_t channel_of(uint64_t sequence) { return sequence % channels; }
  static bool is_rpc(uint64_t sequence) { return channel_of(sequence) % 4 != 1; }

  void ran(uint64_t sequence) {
    if (sequence == 0 || sequence >= entries.size())
      return;
    auto& x = entries[sequence];
    if (++x.runs > 1) {
      ++doubled;
      return;
    }
    auto channel = channel_of(sequence);
    if (channel + 1 < channels && std::exchange(last_of_channel[channel], sequence) > sequence)
      ++overtaken;
    if (!x.rpc)
      end();
  }

  void outcome(uint64_t sequence, const std::string& status) {
    if (status != "ok" || sequence == 0 || sequence >= entries.size()) {
      ++not_ok;
      return;
    }
    if (++entries[sequence].outcomes > 1)
      ++doubled;
    else
      end();
  }

  void end() {
    --open;
    ++ended;
  }
};

void let_flap(node_process& x, const std::string& links = {}) {
  x.settings.backoff = "backoff_min = \"1ms\"\nbackoff_max = \"4ms\"\n";
  x.settings.links = "keepalive = \"300ms\"\nauthorize_timeout = \"1s\"\n" + links;
  x.write_config("[log]\nlevel = \"error\"\n");
}

/// A service of the vehicle asks one of the cloud, over links through proxies.
struct driven_nodes : two_nodes {
  driven_nodes() {
    service.on_invoke = [this](const handed_over& given) { serve(given); };
  }

  uint16_t put_proxy_before(uint16_t port) {
    proxies.push_back(std::make_unique<flaky_proxy>(port, proxies.size() + 1));
    return proxies.back()->port();
  }

  void start() {
    cloud.start();
    CHECK(service.register_service("media_server") == "jlr.com/cloud/media_server");
    vehicle.start();
    CHECK(driver.register_service("app") == "jlr.com/vin/1234/services/app");
  }

  void serve(const handed_over& given) {
    book.ran(sequence_in(given.arguments));
    if (given.target.starts_with("rpc:"))
      service.send_call("reply", R"({"transaction_id":")" + given.transaction_id
                                   + R"(","arguments":)" + given.arguments + "}");
  }

  void send_one() {
    auto sequence = book.entries.size();
    auto& x = book.entries.emplace_back();
    x.rpc = bookkeeping::is_rpc(sequence);
    auto channel = bookkeeping::channel_of(sequence);
    std::string params = R"({"requesting_service":"app","target":")";
    params
      += x.rpc ? "rpc:jlr.com/cloud/media_server/play" : "message:jlr.com/cloud/media_server/log";
    params += R"(","timeout":)" + std::to_string(wall_ms() + request_life_ms);
    params += R"(,"arguments":{"seq":)" + std::to_string(sequence) + "}";
    if (channel + 1 < channels)
      params += R"(,"channel":"c)" + std::to_string(channel) + "\"";
    asked.push_back(driver.send_call("invoke", params + "}"));
    ++book.open;
  }

  /// Counts what has come; nothing is kept that was counted.
  void take() {
    for (auto& x : driver.outcomes)
      book.outcome(sequence_in(x.arguments), x.status);
    driver.outcomes.clear();
    service.invoked.clear();
    while (!asked.empty()) {
      auto answer = driver.take_answer(asked.front());
      if (!answer)
        break;
      asked.pop_front();
      if (!answer->code.empty()) {
        ++book.refused;
        --book.open;
      }
    }
    for (uint64_t i = last_reply; auto answer = service.take_answer(i + 1); ++i)
      last_reply = i + 1;
  }

  /// Keeps requests outstanding until that holds; false if nothing has ended for a minute.
  bool drive(const std::function<bool()>& done, bool more) {
    auto ended = book.ended;
    auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes{1};
    while (!done()) {
      while (more && book.open < outstanding_max)
        send_one();
      wait_for(
        {&driver, &service}, [] { return false; }, milliseconds{2});
      take();
      if (book.ended != std::exchange(ended, book.ended))
        deadline = std::chrono::steady_clock::now() + std::chrono::minutes{1};
      if (std::chrono::steady_clock::now() > deadline)
        return false;
    }
    return true;
  }

  uint64_t flaps() const {
    uint64_t result = 0;
    for (auto& x : proxies)
      result += x->done().flaps();
    return result;
  }

  void drive_and_check(uint64_t flaps_min, uint64_t requests_min) {
    auto begun = wall_ms();
    REQUIRE_MESSAGE(drive([&] { return flaps() >= flaps_min && book.ended >= requests_min; }, true),
                    vehicle.log_tail() << cloud.log_tail());
    for (auto& x : proxies)
      x->heal();
    REQUIRE_MESSAGE(drive([&] { return book.open == 0; }, false), book.open << " open\n"
                                                                            << vehicle.log_tail()
                                                                            << cloud.log_tail());
    for (auto& proxy : proxies) {
      auto& done = proxy->done();
      MESSAGE(book.ended << " requests, " << done.connections.load() << " connections, flaps: cut "
                         << done.cut.load() << ", closed " << done.closed.load() << ", bytes lost "
                         << done.lost.load() << ", delayed " << done.delayed.load()
                         << ", half-open " << done.half_open.load() << "; "
                         << (wall_ms() - begun) / 1'000 << " s");
    }
    CHECK(book.doubled == 0);
    CHECK(book.overtaken == 0);
    CHECK(book.not_ok == 0);
    CHECK(book.refused == 0);
    for (size_t i = 1; i < book.entries.size(); ++i) {
      auto& x = book.entries[i];
      CHECK_MESSAGE((x.runs == 1 && x.outcomes == (x.rpc ? 1 : 0)),
                    "request " << i << ": " << x.runs << " runs, " << x.outcomes << " outcomes");
    }
  }

  std::vector<std::unique_ptr<flaky_proxy>> proxies;
  service_client driver{vehicle.socket()};
  service_client service{cloud.socket()};
  std::deque<uint64_t> asked; // calls not answered yet
  uint64_t last_reply = 1;    // answered; the first call registered the service
  bookkeeping book;
};

struct flapping_nodes : driven_nodes {
  flapping_nodes() {
    vehicle.settings.route_to = put_proxy_before(cloud_port);
    let_flap(cloud);
    let_flap(vehicle);
    start();
  }
};

/// The two never meet: a phone carries for both, and both of its links flap.
struct flapping_relay : driven_nodes {
  flapping_relay() {
    vehicle.settings.route_to = 0;
    vehicle.settings.tls_port = vehicle_port;
    let_flap(cloud);
    let_flap(vehicle);
    auto claims = world.provisioning.claims(phone.key.public_part(), {"jlr.com/phone/1"}, {},
                                            wall_ms() / 1'000);
    claims.relay = {"jlr.com/vin/1234", "jlr.com/cloud"};
    phone.write_credential("node.jwt", world.provisioning.issue(claims));
    auto dialled = [this](uint16_t port) {
      return "\"127.0.0.1:" + std::to_string(put_proxy_before(port)) + '"';
    };
    let_flap(phone, "connect = [" + dialled(cloud_port) + ", " + dialled(vehicle_port) + "]\n");
    start();
    phone.start();
  }

  static node_settings phone_settings() {
    node_settings x;
    x.name = "jlr.com/phone/1";
    x.role = "mobile";
    return x;
  }

  uint16_t vehicle_port = free_port();
  node_process phone{world, "phone", phone_settings()};
};

} // namespace

TEST_SUITE_BEGIN("flapping links" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(flapping_nodes, "nothing is lost, doubled or overtaken while the link flaps") {
  drive_and_check(wanted("FLAPS", 10'000), wanted("REQUESTS", 100'000));
}

TEST_CASE_FIXTURE(flapping_relay, "nor through a phone whose links flap") {
  drive_and_check(wanted("FLAPS", 10'000) / 10, wanted("REQUESTS", 100'000) / 10);
}

TEST_SUITE_END();
