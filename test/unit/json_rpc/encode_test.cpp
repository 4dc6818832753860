// SPDX-License-Identifier: MPL-2.0
//
// Texts going out, byte by byte: clients and services in the field depend on them.

#include "messages/wire/json_rpc.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace rvi;
using namespace std::literals;

namespace {

const std::string id_hex = "000102030405060708090a0b0c0d0e0f0000000700000000000000ff";

transaction_id some_id() {
  return *parse_transaction_id(id_hex);
}

std::string answer(const service_answer& x) {
  std::string out;
  json_rpc::append_answer(out, "7", x);
  return out;
}

std::string error(const caf::error& x, uint64_t retry_after_ms = 0) {
  std::string out;
  json_rpc::append_error(out, "\"a\"", x, retry_after_ms);
  return out;
}

envelope some_request(std::string arguments) {
  envelope x;
  x.header.id = some_id();
  x.header.source = "a.org/n1/services/caller";
  x.header.target = "rpc:a.org/n2/services/door/lock";
  x.header.expires_ms = 1'700'000'000'123;
  x.arguments = std::move(arguments);
  return x;
}

} // namespace

TEST_CASE("writes answers") {
  auto head = R"({"jsonrpc":"2.0","id":7,"result":)"s;
  CHECK(answer(done_result{}) == head + R"({"status":"ok"}})");
  CHECK(answer(registered_result{"rpc:a.b/c/d"})
        == head + R"({"status":"ok","service":"rpc:a.b/c/d"}})");
  CHECK(answer(registered_result{"a", 18'446'744'073'709'551'615U, R"({"kty":"OKP"})"})
        == head
             + R"({"status":"ok","service":"a","service_transaction_id":18446744073709551615,)"
               R"("service_edge_key":{"kty":"OKP"}}})");
  CHECK(answer(accepted_result{some_id()})
        == head + R"({"status":"accepted","transaction_id":")" + id_hex + "\"}}");
  CHECK(answer(accepted_result{some_id(), true})
        == head + R"({"status":"accepted","transaction_id":")" + id_hex + R"(","repeated":true}})");
  CHECK(answer(names_result{{"a\"b", "c"}})
        == head + R"({"status":"ok","services":["a\"b","c"]}})");
  CHECK(answer(names_result{}) == head + R"({"status":"ok","services":[]}})");
  CHECK(answer(json_result{"[ 1 ]"}) == head + "[ 1 ]}");
  CHECK(answer(json_result{}) == head + "null}");
}

TEST_CASE("writes outcomes of every kind") {
  auto head = R"({"jsonrpc":"2.0","id":7,"result":{"transaction_id":")" + id_hex + R"(","status":)";
  outcome_notice x{some_id(), "me", "rpc:a.b/c/d", "ok", "", "[ 1.0 ]", ""};
  CHECK(answer(x) == head + R"("ok","target":"rpc:a.b/c/d","arguments":[ 1.0 ]}})");
  x = {some_id(), "me", "t", "error", "", "", R"({"code":5,"message":"m"})"};
  CHECK(answer(x) == head + R"("error","target":"t","error":{"code":5,"message":"m"}}})");
  x = {some_id(), "me", "t", "timeout", "unknown", "", ""};
  CHECK(answer(x) == head + R"("timeout","target":"t","dispatched":"unknown"}})");
  x = {some_id(), "me", "t", "pending", "", "", ""};
  CHECK(answer(x) == head + R"("pending","target":"t"}})");
}

TEST_CASE("writes errors") {
  auto head = R"({"jsonrpc":"2.0","id":"a","error":)"s;
  CHECK(error(caf::make_error(ec::unauthorized, "no \"right\""))
        == head + R"({"code":-32005,"message":"no \"right\"","data":{"code":"unauthorized"}}})");
  CHECK(error(caf::make_error(ec::busy, "full"), 250)
        == head
             + R"({"code":-32015,"message":"full","data":{"code":"busy","retry_after_ms":250}}})");
  CHECK(error(ec::timeout)
        == head + R"({"code":-32013,"message":"timeout","data":{"code":"timeout"}}})");
  std::string out;
  json_rpc::append_error(
    out, {}, json_rpc::problem{json_rpc::parse_error, caf::make_error(ec::malformed, "x")});
  CHECK(out
        == R"({"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x",)"
           R"("data":{"code":"malformed"}}})");
}

TEST_CASE("numbers never change and are never shared") {
  CHECK(json_rpc::number_of(ec::bad_request) == -32602);
  CHECK(json_rpc::number_of(ec::unknown_method) == -32601);
  CHECK(json_rpc::number_of(ec::internal) == -32603);
  CHECK(json_rpc::number_of(ec::invalid_name) == -32001);
  CHECK(json_rpc::number_of(ec::unauthenticated) == -32004);
  CHECK(json_rpc::number_of(ec::timeout) == -32013);
  CHECK(json_rpc::number_of(ec::busy) == -32015);
  CHECK(json_rpc::number_of(ec::malformed) == -32017);
  CHECK(json_rpc::number_of(ec::link_down) == -32020);
  CHECK(json_rpc::number_of(ec::not_found) == -32028);
  std::set<int> seen;
  for (auto i = int(ec::bad_request); i <= int(ec::internal); ++i)
    CHECK(seen.insert(json_rpc::number_of(ec(i))).second);
}

TEST_CASE("writes requests as HLD figure 32 draws them") {
  std::string out = "kept ";
  REQUIRE(!json_rpc::append_invoke(out, 19, some_request(R"({ "a" : [1.50] })")));
  CHECK(out
        == R"(kept {"jsonrpc":"2.0","id":19,"method":"invoke","params":{"timeout":1700000000123,)"
           R"("transaction_id":")"
             + id_hex
             + R"(","target":"rpc:a.org/n2/services/door/lock",)"
               R"("requesting_service":"a.org/n1/services/caller","arguments":{ "a" : [1.50] }}})");
}

TEST_CASE("a service is told on whose behalf it is asked") {
  auto x = some_request("1");
  x.header.user = std::make_shared<const on_behalf_of>(
    on_behalf_of{std::string(16, '\xa5'), "own\"er", 1'700'000'000'001, "pin"});
  std::string out;
  REQUIRE(!json_rpc::append_invoke(out, 19, x));
  CHECK(
    out.ends_with(R"("requesting_service":"a.org/n1/services/caller",)"
                  R"("on_behalf_of":{"user":"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5","role":"own\"er",)"
                  R"("authenticated":1700000000001,"method":"pin"},"arguments":1}})"));
}

TEST_CASE("writes reports on availability, without an id") {
  availability_report x;
  x.pattern = "a.b/#";
  x.available = true;
  x.node = "a.b/c";
  x.state = "linked";
  x.kind = "tls";
  x.round_trip_us = 812;
  x.reason = "link_up";
  x.time_ms = 1'700'000'000'123;
  x.services = {"a.b/c/d", "a.b/c/\"e\""};
  std::string out;
  json_rpc::append_availability(out, x);
  CHECK(out
        == R"({"jsonrpc":"2.0","method":"services_available","params":{"pattern":"a.b/#",)"
           R"("services":["a.b/c/d","a.b/c/\"e\""],"node":"a.b/c","state":"linked","kind":"tls",)"
           R"("round_trip_us":812,"reason":"link_up","time_ms":1700000000123}})");
  availability_report y;
  y.pattern = "#";
  y.all = true;
  y.reason = "current";
  out.clear();
  json_rpc::append_availability(out, y);
  CHECK(out
        == R"({"jsonrpc":"2.0","method":"services_unavailable","params":{"pattern":"#",)"
           R"("services":[],"all":true,"reason":"current"}})");
}

TEST_CASE("writes replies") {
  std::string out;
  outcome_notice x{some_id(), "me", "rpc:a.b/c/d", "ok", "", "{}", ""};
  REQUIRE(!json_rpc::append_reply(out, 20, x));
  CHECK(out
        == R"({"jsonrpc":"2.0","id":20,"method":"reply","params":{"transaction_id":")" + id_hex
             + R"(","status":"ok","target":"rpc:a.b/c/d","arguments":{}}})");
}

// A peer that may call a service may not write other fields of the request.
TEST_CASE("writes metrics as notifications") {
  metric_value x;
  x.topic = "metric:a.org/n1/speed";
  x.source = "a.org/n1/services/sensor";
  x.published_ms = 1'700'000'000'123;
  x.value = R"({"kmh": 87.50})";
  std::string out;
  json_rpc::append_metric(out, x);
  CHECK(out
        == R"({"jsonrpc":"2.0","method":"metric","params":{"target":"metric:a.org/n1/speed",)"
           R"("value":{"kmh": 87.50},"published_ms":1700000000123,)"
           R"("source":"a.org/n1/services/sensor"}})");
}

TEST_CASE("takes no arguments from another node that are not one JSON value") {
  for (auto arguments : {"1,\"target\":\"x\"", "{}}, {", "", " ", "{\"a\":1", "\xff", "nul", "1 2",
                         "{\"a\":1,\"a\":2}"}) {
    std::string out = "kept";
    CHECK(code_of(json_rpc::append_invoke(out, 1, some_request(arguments))) == ec::malformed);
    CHECK(out == "kept");
    if (*arguments == 0)
      continue; // a reply without arguments is none
    outcome_notice x{some_id(), "me", "t", "ok", "", arguments, ""};
    CHECK(code_of(json_rpc::append_reply(out, 1, x)) == ec::malformed);
    CHECK(out == "kept");
    CHECK(answer(x).find(R"("data":{"code":"malformed"})") != std::string::npos);
  }
  auto binary = some_request("{}");
  binary.header.content_type = "application/cbor";
  std::string out;
  CHECK(code_of(json_rpc::append_invoke(out, 1, binary)) == ec::malformed);
}

TEST_CASE("wraps foreign errors that are no JSON") {
  std::string out;
  outcome_notice x{some_id(), "me", "t", "error", "", "", "kaputt\""};
  REQUIRE(!json_rpc::append_reply(out, 1, x));
  CHECK(out.find(R"("error":{"code":-32016,"message":"kaputt\"","data":{"code":"refused"}})")
        != std::string::npos);
}

TEST_CASE("judges HTTP answers of services") {
  CHECK(json_rpc::refusal_in(200, R"({"result":{"status":0}})").empty());
  CHECK(json_rpc::refusal_in(204, "").empty());
  CHECK(json_rpc::refusal_in(200, "<html>").empty());
  CHECK(json_rpc::refusal_in(200, R"({"error":null})").empty());
  CHECK(json_rpc::refusal_in(200, R"({"error":{"code":3}})") == R"({"code":3})");
  CHECK(json_rpc::refusal_in(500, R"({"error":{"code":3}})") == R"({"code":3})");
  CHECK(json_rpc::refusal_in(302, "")
        == R"({"code":-32016,"message":"the service answered HTTP status 302",)"
           R"("data":{"code":"refused"}})");
}

TEST_CASE("hands over signatures beside what they are of") {
  std::string out;
  REQUIRE(!json_rpc::append_invoke(out, 1, some_request("[1]"), "a.b.c"));
  CHECK(out.ends_with(R"(,"service_signature":"a.b.c","arguments":[1]}})"));
  out.clear();
  outcome_notice x{some_id(), "caller", "rpc:a.org/n2/x", "ok", {}, "1", {}};
  x.service_signature = "a.b.c";
  REQUIRE(!json_rpc::append_reply(out, 2, x));
  CHECK(out.ends_with(R"(,"arguments":1,"service_signature":"a.b.c"}})"));
  CHECK(json_rpc::foreign_error(R"({"code":1})") == R"({"code":1})");
  auto quoted = json_rpc::foreign_error("no JSON");
  CHECK(json_rpc::foreign_error(quoted) == quoted);
}
