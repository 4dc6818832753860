// SPDX-License-Identifier: MPL-2.0
//
// What the server sends itself: nothing while it has no connection, one message for the next
// deadline otherwise. Real sockets, but time and the socket loop move only when the test says so.

#include "integration/json_rpc_fixture.hpp"
#include "runtime/observe/log.hpp"

#include <caf/scheduler/test_coordinator.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <doctest/doctest.h>

#include <chrono>

using namespace rvi;
using namespace rvi::test;
using namespace std::chrono_literals;

namespace {

struct stepped_config : caf::actor_system_config {
  stepped_config() {
    load<caf::io::middleman>();
    add_message_types<caf::id_block::rvi>();
    add_error_category(caf::atom("rvi"), ::rvi::render);
    set("scheduler.policy", caf::atom("testing"));
    set("middleman.manual-multiplexing", true);
    set("middleman.attach-utility-actors", true);
    set("logger.verbosity", caf::atom("quiet"));
  }
};

service_edge_actor::behavior_type deaf_edge(service_edge_actor::pointer) {
  return {
    [](atom::call, const std::vector<service_call>&) {},
    [](atom::receipt, const std::vector<receipt>&) {},
    [](atom::closed, client_id) {},
    [](atom::invoke, const batch&) {},
    [](atom::outcome, const std::vector<outcome_notice>&) {},
    [](atom::reply, const batch&) {},
    [](atom::attach, const json_rpc_actor&) {},
    [](atom::attach, const data_link_actor&) {},
    [](atom::attach, const std::string&, const node_service_actor&) { return atom::done_v; },
    [](atom::available, const availability_event&) {},
    [](atom::available, client_id) {},
    [](atom::credit, client_id) {},
    [](atom::tick) {},
  };
}

struct fixture {
  fixture() : sched(dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler())) {
    (void)log::configure(log::level::error, log::format::text);
    sched.advance_time(1h); // zero is special to the clock
    edge = system.spawn(deaf_edge);
    json_rpc_config x;
    x.port = 0;
    x.edge = edge;
    x.access.tokens = {{"test", crypto::sha256("secret"), false}};
    x.metrics = counts;
    auto started = start_json_rpc(system, x);
    REQUIRE(started);
    server = *started;
    run();
  }

  ~fixture() {
    caf::anon_send_exit(server.actor, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(edge, caf::exit_reason::user_shutdown);
    server.actor = nullptr;
    edge = nullptr;
    run();
  }

  /// What can be done now is done.
  void run() {
    do {
      sched.run();
    } while (system.middleman().backend().try_run_once() || sched.has_job());
  }

  void pass(std::chrono::milliseconds time) {
    sched.advance_time(time);
    run();
  }

  /// The kernel tells of a connection's begin and end when it likes.
  bool connections(double expected) {
    auto deadline = std::chrono::steady_clock::now() + patience;
    auto& open = counts->get_gauge("rvi_api_connections", {});
    do
      run();
    while (open.value() != expected && std::chrono::steady_clock::now() < deadline);
    return open.value() == expected;
  }

  /// Messages that actors have sent themselves for later.
  size_t waiting() { return sched.clock().schedule().size(); }

  stepped_config config;
  caf::actor_system system{config};
  caf::scheduler::test_coordinator& sched;
  std::shared_ptr<metrics::registry> counts = std::make_shared<metrics::registry>();
  service_edge_actor edge;
  json_rpc_server server;
};

} // namespace

TEST_CASE_FIXTURE(fixture, "a server without connections sends itself nothing") {
  CHECK(waiting() == 0);
  pass(24h);
  CHECK(waiting() == 0);
}

TEST_CASE_FIXTURE(fixture, "a server is woken for the next deadline of its connections, not more") {
  auto first = client_socket::tcp(server.port);
  REQUIRE(connections(1));
  CHECK(waiting() == 1);
  pass(4s);
  auto second = client_socket::tcp(server.port);
  auto third = client_socket::tcp(server.port);
  REQUIRE(connections(3));
  CHECK(waiting() == 1);
  pass(5'900ms);
  CHECK(connections(3));
  pass(1'100ms); // ten seconds, and the grain
  CHECK(first.ends());
  REQUIRE(connections(2));
  CHECK(waiting() == 1);
  second.close();
  third.close();
  REQUIRE(connections(0));
  pass(5s); // the one under way finds nothing
  CHECK(waiting() == 0);
}

TEST_CASE_FIXTURE(fixture, "a call that waits for its answer has no deadline, its end has") {
  auto on = client_socket::tcp(server.port);
  REQUIRE(connections(1));
  auto body = call_text("1", "get_available_services", "{}");
  on.send("POST / HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port)
          + "\r\nAuthorization: Bearer secret\r\nContent-Type: application/json\r\nContent-Length: "
          + std::to_string(body.size()) + "\r\n\r\n" + body);
  auto& calls = counts->get_counter("rvi_api_calls_total", {});
  auto deadline = std::chrono::steady_clock::now() + patience;
  while (calls.value() == 0 && std::chrono::steady_clock::now() < deadline)
    run();
  REQUIRE(calls.value() == 1);
  pass(24h);
  CHECK(connections(1));
  CHECK(waiting() == 0);
  on.close();
  CHECK(connections(0));
  CHECK(waiting() == 0);
}
