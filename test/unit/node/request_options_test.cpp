// SPDX-License-Identifier: MPL-2.0
//
// Options of a request from service to service over two whole nodes: durability none, reports,
// and what becomes of both when the power goes.

#include "runtime/observe/log.hpp"
#include "test/support/loopback_node.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr const char* stream = "rpc:jlr.com/cloud/media_server/stream";
constexpr const char* inbox = "message:jlr.com/cloud/media_server/inbox";

struct options_fixture : test::world {
  options_fixture() {
    (void)log::configure(log::level::error, log::format::text);
    vehicle.routes = {{"+:jlr.com/cloud/#", {"loopback:cloud"}}};
    cloud.infix = "";
  }

  void start(durability min) {
    start_cloud(min);
    vehicle.start();
    vehicle.register_service("media_player");
  }

  void start_cloud(durability min) {
    cloud.start();
    register_service_call x;
    x.service = "media_server";
    x.durability_min = min;
    cloud.call(std::move(x));
  }

  void invoke(const char* target, durability kept, bool report) {
    invoke_call x;
    x.timeout_ms = now_ms() + 30'000;
    x.requesting_service = "media_player";
    x.target = target;
    x.arguments = "1";
    x.durability = kept;
    x.delivery_report = report;
    vehicle.call(std::move(x));
  }

  std::string outcome() {
    auto& all = vehicle.services->outcomes;
    return all.size() == 1 ? all[0].notice.status : std::to_string(all.size()) + " outcomes";
  }

  test::loopback_node vehicle{*this, "jlr.com/vin/1234", "vehicle", {"jlr.com/cloud"}};
  test::loopback_node cloud{*this, "jlr.com/cloud", "cloud", {"jlr.com/vin"}};
};

} // namespace

TEST_CASE_FIXTURE(options_fixture, "an rpc in memory brings its reply back without a commit") {
  start(durability::none);
  invoke(stream, durability::none, false); // the link comes up, which both nodes write down
  pass(1'000);
  REQUIRE(cloud.services->invoked.size() == 1);
  auto commits = vehicle.disk->commits() + cloud.disk->commits();
  cloud.reply(cloud.services->invoked[0].content->header.id, "42");
  pass(1'000);
  CHECK(outcome() == "ok");
  invoke(stream, durability::none, false);
  pass(1'000);
  REQUIRE(cloud.services->invoked.size() == 2);
  CHECK(vehicle.disk->commits() + cloud.disk->commits() == commits);
}

TEST_CASE_FIXTURE(options_fixture, "a service that wants durable requests refuses one in memory") {
  start(durability::full);
  invoke(stream, durability::none, false);
  pass(1'000);
  CHECK(outcome() == "refused");
  CHECK(cloud.services->invoked.empty());
}

TEST_CASE_FIXTURE(options_fixture,
                  "a message that asks for it is reported, in memory and on disk") {
  start(durability::none);
  SUBCASE("on disk") {
    invoke(inbox, durability::full, true);
  }
  SUBCASE("in memory") {
    invoke(inbox, durability::none, true);
  }
  pass(1'000);
  CHECK(cloud.services->invoked.size() == 1);
  CHECK(outcome() == "ok");
  CHECK(vehicle.services->outcomes[0].notice.target == inbox);
}

TEST_CASE_FIXTURE(options_fixture, "power cut at the target: a report says that nobody knows") {
  start(durability::full);
  cloud.services->takes_receipts = false;
  invoke(inbox, durability::full, true);
  pass(1'000);
  REQUIRE(cloud.services->invoked.size() == 1);
  cloud.kill();
  pass(1'000);
  start_cloud(durability::full);
  pass(20'000);
  CHECK(cloud.services->invoked.size() == 1);
  CHECK(outcome() == "outcome_unknown");
}

TEST_CASE_FIXTURE(options_fixture, "power cut at the target: what was in memory times out, once") {
  start(durability::none);
  invoke(stream, durability::none, false);
  pass(1'000);
  REQUIRE(cloud.services->invoked.size() == 1);
  cloud.kill();
  pass(1'000);
  start_cloud(durability::none);
  pass(40'000);
  CHECK(cloud.services->invoked.size() == 1);
  CHECK(outcome() == "timeout");
}

TEST_CASE_FIXTURE(options_fixture, "what is asked before the edge knows its server is answered") {
  vehicle.start();
  service_edge_config x;
  x.node = vehicle.context;
  x.store = vehicle.store;
  x.authorization = vehicle.authorization;
  x.service_discovery = vehicle.discovery;
  x.store_and_forward = vehicle.store_and_forward;
  x.metric_hub = vehicle.metric_hub;
  auto edge = sys.spawn(service_edge, std::move(x));
  service_call early;
  early.client = 1;
  early.token = 7;
  early.deliverable = true;
  early.principal = {"uid:1000", true};
  early.request = register_service_call{"early", {}, {}, false};
  self->send(edge, atom::call_v, std::vector<service_call>{early});
  pass(1'000);
  auto tokens = std::make_shared<std::vector<uint64_t>>();
  // An argument although a capture would do: CAF 0.17.6 binds a reference to the null tuple of a
  // spawn without any, which UBSan refuses.
  auto server = sys.spawn(
    [](json_rpc_actor::pointer,
       std::shared_ptr<std::vector<uint64_t>> seen) -> json_rpc_actor::behavior_type {
      return {
        [seen](atom::respond, const std::vector<call_result>& xs) {
          for (auto& answer : xs)
            seen->push_back(answer.token);
        },
        [](atom::invoke, const std::vector<invocation>&) {},
        [](atom::outcome, const std::vector<outcome_delivery>&) {},
        [](atom::available, const std::vector<availability_report>&) {},
        [](atom::publish, const std::vector<metric_delivery>&) {},
      };
    },
    tokens);
  self->send(edge, atom::attach_v, server);
  pass(1'000);
  CHECK(*tokens == std::vector<uint64_t>{7});
  caf::anon_send_exit(edge, caf::exit_reason::kill);
  caf::anon_send_exit(server, caf::exit_reason::kill);
  settle();
}
