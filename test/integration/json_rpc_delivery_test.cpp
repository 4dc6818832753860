// SPDX-License-Identifier: MPL-2.0
//
// Requests and outcomes on their way to services at the end of a WebSocket: each ends in a receipt.

#include "integration/json_rpc_fixture.hpp"

#include <caf/send.hpp>
#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;
using namespace std::literals;

namespace {

receipt only_receipt(json_rpc_fixture& f) {
  REQUIRE(f.seen->wait([&f] { return !f.seen->receipts.empty(); }));
  std::lock_guard guard{f.seen->mutex};
  auto result = f.seen->receipts.front();
  f.seen->receipts.erase(f.seen->receipts.begin());
  return result;
}

std::string taken(int id) {
  return R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"result":null})";
}

} // namespace

TEST_CASE_FIXTURE(json_rpc_fixture, "hands requests to services and reports what they made of it") {
  start();
  auto ws = open_websocket();
  auto client = register_service(ws, "lock");
  invoke(client, 7, R"({ "a" : 1.0 })");
  CHECK(ws.read()
        == R"({"jsonrpc":"2.0","id":1,"method":"invoke","params":{"timeout":1700000000000,)"
           R"("transaction_id":"00000000000000000000000000000000000000000000000000000007",)"
           R"("target":"rpc:a.org/n2/services/lock",)"
           R"("requesting_service":"a.org/n1/services/caller","arguments":{ "a" : 1.0 }}})");
  ws.send(taken(1));
  auto first = only_receipt(*this);
  CHECK(first.id.seq == 7);
  CHECK(first.what == receipt::status::taken);
  CHECK(!first.outcome);

  invoke(client, 8, "{}");
  CHECK(!ws.read().empty());
  ws.send(R"({"jsonrpc":"2.0","id":2,"error":{ "code":9,"message":"no"}})");
  auto second = only_receipt(*this);
  CHECK(second.id.seq == 8);
  CHECK(second.what == receipt::status::refused);
  CHECK(second.error == R"({ "code":9,"message":"no"})");
}

TEST_CASE_FIXTURE(json_rpc_fixture, "hands over the node's signature with a request") {
  start();
  auto ws = open_websocket();
  auto client = register_service(ws, "lock");
  std::vector<invocation> list{{client, {}, make_request(7, "1"), "a.b.c"}};
  caf::anon_send(server.actor, atom::invoke_v, std::move(list));
  CHECK(ws.read().find(R"(,"service_signature":"a.b.c","arguments":1})") != std::string::npos);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "takes replies and answers in one batch") {
  start();
  auto ws = open_websocket();
  auto client = register_service(ws, "lock");
  invoke(client, 1, "1");
  invoke(client, 2, "2");
  ws.read();
  ws.read();
  auto reply
    = call_text("\"r\"", "reply",
                R"({"transaction_id":"00000000000000000000000000000000000000000000000000000001",)"
                R"("arguments":"done"})");
  ws.send("[" + taken(2) + "," + reply + "," + taken(1) + "," + taken(2) + "," + taken(99) + "]");
  CHECK(ws.read() == R"([{"jsonrpc":"2.0","id":"r","result":{"status":"ok"}}])");
  CHECK(only_receipt(*this).id.seq == 2);
  CHECK(only_receipt(*this).id.seq == 1);
  std::lock_guard guard{seen->mutex};
  auto& call = seen->messages.back().back();
  CHECK(call.client == client);
  CHECK(call.deliverable);
  CHECK(std::get<reply_call>(call.request).id.seq == 1);
  CHECK(std::get<reply_call>(call.request).arguments == "\"done\"");
  CHECK(seen->receipts.empty()); // answered twice and never asked count for nothing
}

TEST_CASE_FIXTURE(json_rpc_fixture, "hands outcomes to requesting services") {
  start();
  auto ws = open_websocket();
  auto client = register_service(ws, "caller");
  outcome_delivery x{client, {}, {{}, "caller", "rpc:a.b/c/d", "timeout", "no", {}, {}}};
  x.notice.id.seq = 5;
  caf::anon_send(server.actor, atom::outcome_v, std::vector<outcome_delivery>{x});
  CHECK(ws.read()
        == R"({"jsonrpc":"2.0","id":1,"method":"reply","params":{"transaction_id":)"
           R"("00000000000000000000000000000000000000000000000000000005","status":"timeout",)"
           R"("target":"rpc:a.b/c/d","dispatched":"no"}})");
  ws.send(taken(1));
  auto end = only_receipt(*this);
  CHECK(end.outcome);
  CHECK(end.what == receipt::status::taken);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "reports what a closed connection leaves behind") {
  start();
  auto ws = open_websocket();
  auto client = register_service(ws, "lock");
  invoke(client, 1, "{}");
  ws.read();
  ws.on.close();
  auto seen_by_service = only_receipt(*this);
  CHECK(seen_by_service.what == receipt::status::lost);
  CHECK(!seen_by_service.untouched);
  invoke(client, 2, "{}");
  auto too_late = only_receipt(*this);
  CHECK(too_late.what == receipt::status::lost);
  CHECK(too_late.untouched);
  invoke(client + 1'000, 3, "{}");
  CHECK(only_receipt(*this).untouched);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "hands over no arguments that are not JSON") {
  start();
  auto ws = open_websocket();
  auto client = register_service(ws, "lock");
  invoke(client, 1, R"(1,"requesting_service":"admin")");
  auto end = only_receipt(*this);
  CHECK(end.what == receipt::status::refused);
  CHECK(end.error.find("malformed") != std::string::npos);
  CHECK(!ws.on.readable(20ms));
}

TEST_CASE_FIXTURE(json_rpc_fixture, "bounds the requests a service has not answered") {
  start([](json_rpc_config& x) { x.connection.deliveries_max = 2; });
  auto ws = open_websocket();
  auto client = register_service(ws, "lock");
  for (uint64_t i = 1; i <= 3; ++i)
    invoke(client, i, "{}");
  auto over = only_receipt(*this);
  CHECK(over.id.seq == 3);
  CHECK(over.what == receipt::status::lost);
  CHECK(over.untouched);
  ws.send(taken(1));
  CHECK(only_receipt(*this).id.seq == 1);
  invoke(client, 4, "{}");
  ws.read();
  ws.read();
  CHECK(ws.read().find("\"id\":3") != std::string::npos);
  CHECK(seen->wait([&] { return seen->takes_again == std::vector{client}; })); // said once
}

TEST_CASE_FIXTURE(json_rpc_fixture, "closes a service that does not read") {
  start([](json_rpc_config& x) { x.output_bytes_max = size_t{1} << 20; });
  auto ws = open_websocket();
  auto client = register_service(ws, "lock");
  auto large = "\"" + std::string(200'000, 'x') + "\"";
  uint64_t sent = 0;
  while (seen->closed.empty() && sent < 1'000) {
    invoke(client, ++sent, large);
    seen->wait([&] { return seen->closed.size() > 1; }, 1ms);
  }
  REQUIRE(seen->wait([&] { return seen->closed == std::vector{client}; }));
  REQUIRE(seen->wait([&] { return seen->receipts.size() == sent; }));
  std::lock_guard guard{seen->mutex};
  CHECK(!seen->receipts.front().untouched); // it was on its way
  CHECK(seen->receipts.back().untouched);
  auto untouched = false;
  for (auto& x : seen->receipts) { // in order: first what was sent, then what was not
    CHECK(x.what == receipt::status::lost);
    CHECK(x.untouched >= untouched);
    untouched = x.untouched;
  }
}

TEST_CASE_FIXTURE(json_rpc_fixture, "leaves changes out for a service that does not read") {
  start([](json_rpc_config& x) { x.report_bytes_max = size_t{64} << 10; });
  auto slow = open_websocket();
  auto slow_client = register_service(slow, "slow");
  auto other = open_websocket();
  auto other_client = register_service(other, "other");
  auto tell = [this](client_id client, const std::string& node, size_t bytes, bool current) {
    availability_report x;
    x.client = client;
    x.pattern = "#";
    x.node = node;
    x.current = current;
    x.reason = std::string(bytes, 'x');
    caf::anon_send(server.actor, atom::available_v, std::vector{x});
  };
  // More than the sockets' buffers take by themselves, less than a client's largest message.
  tell(slow_client, "large", size_t{11} << 20, true);
  for (int i = 0; i < 50; ++i)
    tell(slow_client, "left/out", 10, false);
  tell(other_client, "not/held/back", 10, false);
  CHECK(other.read().find("not/held/back") != std::string::npos);
  CHECK(seen->rooms.empty());
  tell(slow_client, "the/state", 10, true); // always goes out
  CHECK(slow.read().find("\"large\"") != std::string::npos);
  CHECK(slow.read().find("the/state") != std::string::npos);
  CHECK(seen->wait([&] { return seen->rooms == std::vector{slow_client}; }));
  tell(slow_client, "news", 10, false);
  CHECK(slow.read().find("news") != std::string::npos);
}

TEST_CASE_FIXTURE(json_rpc_fixture, "tells the edge of all its connections when it ends") {
  start();
  auto ws = open_websocket();
  auto client = register_service(ws, "lock");
  invoke(client, 1, "{}");
  ws.read();
  caf::anon_send_exit(server.actor, caf::exit_reason::user_shutdown);
  CHECK(seen->wait([&] { return seen->closed == std::vector{client}; }));
  CHECK(only_receipt(*this).what == receipt::status::lost);
  CHECK(ws.on.ends());
}
