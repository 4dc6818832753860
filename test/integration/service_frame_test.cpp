// SPDX-License-Identifier: MPL-2.0
//
// Services that speak in frames, with the library that services in C++ use, on real sockets.

#include "integration/json_rpc_fixture.hpp"
#include "messages/wire/service_frame.hpp"
#include "tools/client/rvi/client.hpp"

#include <caf/send.hpp>
#include <doctest/doctest.h>

#include <algorithm>

using namespace rvi;
using namespace rvi::test;
using namespace std::literals;

namespace {

struct fixture : json_rpc_fixture {
  void begin(const std::function<void(json_rpc_config&)>& change = {}) {
    start([&](json_rpc_config& x) {
      x.unix_socket = socket();
      if (change)
        change(x);
    });
  }

  std::string socket() const { return folder + "/rvi.sock"; }

  rvi::client connected() {
    rvi::client result;
    auto why = result.connect({.socket_path = socket()}, patience);
    REQUIRE_MESSAGE(!why, why.code, ": ", why.message);
    return result;
  }

  /// Moves bytes until it holds.
  bool until(rvi::client& x, const std::function<bool()>& condition) {
    auto end = std::chrono::steady_clock::now() + patience;
    while (!condition() && std::chrono::steady_clock::now() < end)
      if (x.wait(20ms))
        break;
    return condition();
  }

  client_id service(rvi::client& x, const std::string& name) {
    bool registered = false;
    x.call("register_service", R"({"service":")" + name + "\"}",
           [&](const rvi::client::error& why, std::string_view result) {
             CHECK_FALSE(why);
             CHECK(result == R"({"status":"ok","service":")" + name + "\"}");
             registered = true;
           });
    REQUIRE(until(x, [&] { return registered; }));
    std::lock_guard guard{seen->mutex};
    return seen->messages.back().back().client;
  }

  std::vector<receipt> receipts() {
    std::lock_guard guard{seen->mutex};
    return seen->receipts;
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "calls in frames are answered in frames") {
  begin();
  auto node = connected();
  service(node, "app");
  std::vector<std::string> said;
  auto note = [&](const rvi::client::error& why) { said.push_back(why ? why.code : "done"); };
  node.invoke({.target = "accept", .arguments = "[1]"},
              [&](const rvi::client::error& why, const rvi::client::accepted& x) {
                note(why);
                CHECK(x.transaction_id == std::string(55, '0') + "9");
                CHECK_FALSE(x.repeated);
              });
  node.invoke_synch({.target = "rpc:a/b", .arguments = R"({"a": 1})"},
                    [&](const rvi::client::error& why, const rvi::client::outcome& x) {
                      note(why);
                      CHECK(x.status == "ok");
                      CHECK(x.arguments == R"({"a": 1})"); // as written
                    });
  node.invoke({.target = "busy"}, [&](const rvi::client::error& why, auto&) {
    note(why);
    CHECK(why.message == "full");
    CHECK(why.retry_after_ms == 70);
  });
  node.invoke({.target = "accept", .arguments = "{"},
              [&](const rvi::client::error& why, auto&) { note(why); });
  node.reply(std::string(56, '0'), "1", note);
  node.publish("app", "metric:a/b", "7", 0, false, note);
  node.call("nothing", "{}", [&](const rvi::client::error& why, auto) { note(why); });
  node.call("get_available_services", "{}",
            [&](const rvi::client::error& why, std::string_view result) {
              note(why);
              CHECK(result.find("uid:") != std::string::npos); // the peer's user
            });
  REQUIRE(until(node, [&] { return said.size() == 8; }));
  std::sort(said.begin(), said.end());
  CHECK(said
        == std::vector<std::string>{"bad_request", "busy", "done", "done", "done", "done", "done",
                                    "unknown_method"});
  CHECK(node.outstanding() == 0);
}

TEST_CASE_FIXTURE(fixture, "requests come in frames, and each is taken or refused") {
  begin();
  auto node = connected();
  auto client = service(node, "lock");
  std::vector<uint64_t> deliveries;
  node.on_request = [&](const rvi::client::request& x) {
    CHECK(x.target == "rpc:a.org/n2/services/lock");
    CHECK(x.requesting_service == "a.org/n1/services/caller");
    CHECK(x.arguments == R"({ "a" : 1.0 })");
    CHECK(x.timeout_ms == 1'700'000'000'000);
    deliveries.push_back(x.delivery);
  };
  invoke(client, 7, R"({ "a" : 1.0 })");
  invoke(client, 8, R"({ "a" : 1.0 })");
  REQUIRE(until(node, [&] { return deliveries.size() == 2; }));
  CHECK(receipts().empty());
  node.take(deliveries[0]);
  node.refuse(deliveries[1], R"({"code":9,"message":"no"})");
  node.take(deliveries[1]); // said once
  node.take(99);
  REQUIRE(until(node, [&] { return receipts().size() == 2; }));
  CHECK(receipts()[0].id.seq == 7);
  CHECK(receipts()[0].what == receipt::status::taken);
  CHECK(receipts()[1].what == receipt::status::refused);
  CHECK(receipts()[1].error == R"({"code":9,"message":"no"})");

  node.on_request = nullptr;
  invoke(client, 9, "1");
  REQUIRE(until(node, [&] { return receipts().size() == 3; }));
  CHECK(receipts()[2].what == receipt::status::refused);

  std::string status;
  node.on_outcome = [&](const rvi::client::outcome& x) { status = x.status; };
  outcome_delivery x{client, {}, {{}, "lock", "rpc:a.b/c/d", "timeout", "no", {}, {}}};
  caf::anon_send(server.actor, atom::outcome_v, std::vector<outcome_delivery>{x});
  REQUIRE(until(node, [&] { return receipts().size() == 4; }));
  CHECK(status == "timeout");
  CHECK(receipts()[3].outcome);
}

TEST_CASE_FIXTURE(fixture, "metrics and reports come to connections of frames as well") {
  begin();
  auto node = connected();
  auto client = service(node, "display");
  auto value = std::make_shared<metric_value>();
  value->topic = "metric:a/speed";
  value->value = "88";
  value->source = "a/gauge";
  std::string seen_value, seen_method;
  node.on_metric = [&](const rvi::client::metric& x) {
    CHECK(x.target == "metric:a/speed");
    CHECK(x.source == "a/gauge");
    seen_value = x.value;
  };
  node.on_notification = [&](std::string_view method, std::string_view) { seen_method = method; };
  caf::anon_send(server.actor, atom::publish_v, std::vector<metric_delivery>{{{client}, value}});
  availability_report report;
  report.client = client;
  report.available = true;
  caf::anon_send(server.actor, atom::available_v, std::vector<availability_report>{report});
  REQUIRE(until(node, [&] { return !seen_value.empty() && !seen_method.empty(); }));
  CHECK(seen_value == "88");
  CHECK(seen_method == "services_available");
}

TEST_CASE_FIXTURE(fixture,
                  "what a closed connection of frames leaves behind is lost or untouched") {
  begin();
  auto node = connected();
  auto client = service(node, "lock");
  invoke(client, 1, "1");
  bool came = false;
  node.on_request = [&](const rvi::client::request&) { came = true; };
  REQUIRE(until(node, [&] { return came; }));
  std::vector<std::string> ends;
  node.invoke({.target = "hold"},
              [&](const rvi::client::error& why, auto&) { ends.push_back(why.code); });
  node.close();
  CHECK(ends == std::vector<std::string>{"link_down"});
  CHECK(node.wait(1ms).code == "link_down");
  REQUIRE(seen->wait([&] { return !seen->closed.empty(); }));
  CHECK(receipts().size() == 1);
  CHECK(receipts()[0].what == receipt::status::lost);
  CHECK_FALSE(receipts()[0].untouched);
}

TEST_CASE_FIXTURE(fixture, "frames over TCP need the token first") {
  begin();
  rvi::client node;
  CHECK(node.connect({.port = server.port, .token = "wrong"}, patience).code == "unauthenticated");
  CHECK(node.connect({.port = server.port}, patience).code == "unauthenticated");
  auto why = node.connect({.port = server.port, .token = "secret"}, patience);
  REQUIRE_MESSAGE(!why, why.code, ": ", why.message);
  service(node, "app");

  auto rude = client_socket::tcp(server.port);
  std::string bytes{service_frame::preface};
  service_frame::append_json(bytes, call_text("1", "get_node_address", "{}"));
  rude.send(bytes);
  CHECK(rude.receive().find("unauthenticated") != std::string::npos);
  CHECK(rude.ends());
}

TEST_CASE_FIXTURE(fixture, "what is no frame ends the connection, with the reason, and no other") {
  begin();
  auto node = connected();
  auto sent = [&](std::string_view bytes) {
    auto rude = client_socket::local(socket());
    rude.send(bytes);
    std::string said;
    for (auto more = rude.receive(); !more.empty(); more = rude.receive())
      said += more;
    return said;
  };
  std::string preface{service_frame::preface};
  auto holds = [](const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
  };
  CHECK(holds(sent("\0RVISVC\2"sv), "protocol_mismatch"));
  CHECK(holds(sent(preface + "\x00\x00\x00\x01\xff"s), "malformed"));
  CHECK(holds(sent(preface + "\xff\xff\xff\xff"s), "limit_exceeded"));
  CHECK(holds(sent(preface + "\0\0\0\0"s), "limit_exceeded"));
  std::string hello = preface;
  service_frame::append_hello(hello, "late");
  CHECK(holds(sent(hello), "bad_request"));
  std::string text = preface;
  service_frame::append_json(text, "{"); // an error of that text, as on a WebSocket
  service_frame::append_json(text, call_text("1", "get_node_address", "{}"));
  auto spoken = client_socket::local(socket());
  spoken.send(text);
  std::string said;
  while (!holds(said, R"("id":1,"result")")) {
    auto more = spoken.receive();
    REQUIRE_FALSE(more.empty());
    said += more;
  }
  CHECK(holds(said, "-32700"));
  service(node, "app"); // goes on
}

TEST_CASE_FIXTURE(fixture, "who sends no whole preface is not waited for") {
  begin([](json_rpc_config& x) {
    x.handshake_timeout_ms = 50;
    x.tick_ms = 10;
  });
  auto slow = client_socket::local(socket());
  slow.send("\0RV"sv);
  CHECK(slow.ends());
}
