// SPDX-License-Identifier: MPL-2.0
//
// Texts coming in: every method, every name it goes by, and every way to be wrong.

#include "messages/revocation.hpp"
#include "messages/wire/json_rpc.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace rvi;
using namespace std::literals;

namespace {

constexpr uint64_t now_ms = 1'700'000'000'000;
const std::string id_hex = "000102030405060708090a0b0c0d0e0f0000000700000000000000ff";

json_rpc::call only_call(std::string_view text, const json_rpc::limits& bounds = {}) {
  auto result = json_rpc::decode(text, now_ms, bounds);
  REQUIRE(result.elements.size() == 1);
  auto x = std::get_if<json_rpc::call>(&result.elements[0]);
  REQUIRE(x != nullptr);
  return std::move(*x);
}

template <class T>
T request(std::string_view text) {
  auto x = only_call(text);
  auto problem = std::get_if<json_rpc::problem>(&x.content);
  INFO((problem ? describe(problem->reason) : "no problem"s));
  REQUIRE(problem == nullptr);
  auto result = std::get_if<T>(&std::get<service_request>(x.content));
  REQUIRE(result != nullptr);
  return std::move(*result);
}

/// Of a call with these params.
template <class T>
T with_params(std::string_view method, std::string_view params) {
  return request<T>(R"({"jsonrpc":"2.0","id":1,"method":")" + std::string(method) + R"(","params":)"
                    + std::string(params) + "}");
}

struct refused {
  std::string id;
  int number;
  ec code;
  std::string detail;
};

refused problem(std::string_view text, const json_rpc::limits& bounds = {}) {
  auto x = only_call(text, bounds);
  auto p = std::get_if<json_rpc::problem>(&x.content);
  REQUIRE(p != nullptr);
  return {x.id, p->number, code_of(p->reason), detail_of(p->reason)};
}

std::string bad_params(std::string_view method, std::string_view params) {
  auto x = problem(R"({"jsonrpc":"2.0","id":1,"method":")" + std::string(method) + R"(","params":)"
                   + std::string(params) + "}");
  CHECK(x.number == -32602);
  CHECK(x.code == ec::bad_request);
  return x.detail;
}

} // namespace

TEST_CASE("reads an invocation as HLD figure 14 draws it") {
  auto x = request<invoke_call>(
    R"({"jsonrpc":"2.0","id":1,"method":"invoke","params":{"timeout":1402091332,)"
    R"("requesting_service":"media_player","target":"rpc:jlr.com/cloud/media_server/stream_audio",)"
    R"("arguments":[{"file":"xyzzy.mp3"},{"start":0},{"quality":10}]}})");
  CHECK(x.timeout_ms == 1'402'091'332'000);
  CHECK(x.requesting_service == "media_player");
  CHECK(x.target == "rpc:jlr.com/cloud/media_server/stream_audio");
  CHECK(x.arguments == R"([{"file":"xyzzy.mp3"},{"start":0},{"quality":10}])");
  CHECK(!x.synch);
  CHECK(x.priority == 4);
  CHECK(x.channel.empty());
  CHECK(!x.untyped_allowed);
}

TEST_CASE("reads all fields of invoke") {
  auto x
    = with_params<invoke_call>("invoke", R"({"target":"rpc:a.b/c/d","synch":true,"priority":0,)"
                                         R"("channel":"seats","timeout":1700000001500})");
  CHECK(x.synch);
  CHECK(x.priority == 0);
  CHECK(x.channel == "seats");
  CHECK(x.timeout_ms == 1'700'000'001'500);
}

TEST_CASE("carries arguments byte by byte") {
  for (auto raw : {R"( { "a" : 1.50 , "b":[ ] } )", R"("A\u00e9 \" x")", "-0.0e+10", "null", "true",
                   "123456789012345678901234567890", "[[[]]]"}) {
    auto x = with_params<invoke_call>("invoke",
                                      R"({"target":"x","arguments":)" + std::string(raw) + "}");
    auto expected = std::string(raw);
    while (expected.front() == ' ')
      expected.erase(0, 1);
    while (expected.back() == ' ')
      expected.pop_back();
    CHECK(x.arguments == expected);
  }
  CHECK(with_params<invoke_call>("invoke", R"({"target":"x"})").arguments == "{}");
}

TEST_CASE("reads timeouts in seconds and milliseconds, whole and fractional") {
  auto timeout = [](const char* x) {
    return with_params<invoke_call>("invoke", R"({"target":"x","timeout":)" + std::string(x) + "}")
      .timeout_ms;
  };
  CHECK(timeout("0") == 0);
  CHECK(timeout("1700000000") == 1'700'000'000'000);
  CHECK(timeout("1700000000.5") == 1'700'000'000'500);
  CHECK(timeout("99999999999") == 99'999'999'999'000);
  CHECK(timeout("100000000000") == 100'000'000'000);
  CHECK(timeout("1.7e12") == 1'700'000'000'000);
  CHECK(with_params<invoke_call>("invoke", R"({"target":"x"})").timeout_ms == now_ms + 60'000);
  for (auto wrong : {"-1", "\"1700000000\"", "1e300", "null", "[1]", "99999999999999999999"})
    CHECK(bad_params("invoke", R"({"target":"x","timeout":)" + std::string(wrong) + "}")
          == "timeout must be a number: Unix time in seconds or milliseconds");
}

TEST_CASE("understands rvi_core's message") {
  auto x = with_params<invoke_call>(
    "message",
    R"([{"service_name":"a.org/n/door/lock","timeout":1402091332,"parameters":{"a":"1"}}])");
  CHECK(x.target == "a.org/n/door/lock");
  CHECK(x.arguments == R"({"a":"1"})");
  CHECK(x.untyped_allowed);
  CHECK(bad_params("message", R"({"service_name":"a","target":"b"})")
        == "target is given twice, under two names");
  CHECK(bad_params("invoke", R"({"service_name":"a"})") == "missing field target");
}

TEST_CASE("reads registrations in all three shapes") {
  auto plain = with_params<register_service_call>(
    "register_service",
    R"({"service":"media_player","network_address":"http://127.0.0.1:20001","methods":["rpc:play"],)"
    R"("idempotent":true})");
  CHECK(plain.service == "media_player");
  CHECK(plain.network_address == "http://127.0.0.1:20001");
  CHECK(plain.methods == std::vector{"rpc:play"s});
  CHECK(plain.idempotent);

  auto core
    = with_params<register_service_call>("register_service", R"([{"service_name":"/door/lock"}])");
  CHECK(core.service == "/door/lock");

  auto figure = R"("service":{"name":"media_server","methods":[{"type":"rpc",)"
                R"("name":"transfer_audio"},{"type":"rpc","name":"get_playlist"}],)"
                R"("address":"https://media_server.jlrinternal.com"})"s;
  for (auto& text : {R"({"id":1,"method":"register_service",)" + figure + "}",
                     R"({"id":1,"method":"register_service","params":{)" + figure + "}}"}) {
    auto x = request<register_service_call>(text);
    CHECK(x.service == "media_server");
    CHECK(x.network_address == "https://media_server.jlrinternal.com");
    CHECK(x.methods == std::vector{"rpc:transfer_audio"s, "rpc:get_playlist"s});
  }
}

TEST_CASE("refuses wrong registrations") {
  auto detail = [](const char* params) { return bad_params("register_service", params); };
  CHECK(detail("{}") == "missing field service");
  CHECK(detail(R"({"service":7})") == "service must be a string");
  CHECK(detail(R"({"service":"a","service_name":"b"})")
        == "service_name is given twice, under two names");
  CHECK(detail(R"({"service":"a","methods":"rpc:x"})") == "methods must be an array");
  CHECK(detail(R"({"service":"a","methods":[1]})") == "methods must be a string");
  CHECK(detail(R"({"service":"a","methods":[{"type":"rpc"}]})")
        == "methods must hold strings or objects of type and name");
  CHECK(detail(R"({"service":"a","idempotent":1})") == "idempotent must be true or false");
  CHECK(detail(R"({"service":"a","adress":"x"})") == "unknown field adress");
  CHECK(detail(R"({"service":{"name":"a","port":1}})") == "unknown field port");
  CHECK(detail(R"({"service":{"name":"a"},"x":1})") == "unknown field x");
  CHECK(detail(("{\"service\":\"" + std::string(2'049, 'x') + "\"}").c_str())
        == "service is longer than 2048 bytes");
}

TEST_CASE("reads the other methods") {
  CHECK(
    with_params<unregister_service_call>("unregister_service", R"({"service_name":"a"})").service
    == "a");
  auto reply = with_params<reply_call>("reply", R"({"transaction_id":")" + id_hex
                                                  + R"(","arguments":[ 1 ]})");
  CHECK(to_string(reply.id) == id_hex);
  CHECK(reply.arguments == "[ 1 ]");
  CHECK(
    to_string(
      with_params<get_outcome_call>("get_outcome", R"({"transaction_id":")" + id_hex + R"("})").id)
    == id_hex);
  CHECK(with_params<get_available_services_call>("get_available_services", R"({"pattern":"a.b/#"})")
          .pattern
        == "a.b/#");
  CHECK(with_params<get_available_services_call>("get_available_services", "[1]").pattern.empty());
  CHECK(with_params<get_available_services_call>("get_available_services", "[]").pattern.empty());
  request<get_node_address_call>(R"({"jsonrpc":"2.0","id":1,"method":"get_node_address"})");
  auto trace
    = with_params<administration_call>("get_trace", R"({"transaction_id":")" + id_hex + R"("})");
  CHECK(trace.method == "get_trace");
  CHECK(trace.argument == id_hex);
  for (auto method : {"get_status", "get_nodes", "get_links"})
    CHECK(with_params<administration_call>(method, "{}").method == method);
  CHECK(with_params<administration_call>("get_links", R"({"argument":"a.b/c"})").argument
        == "a.b/c");
}

TEST_CASE("reads what services ask about availability") {
  auto x = with_params<subscribe_availability_call>(
    "subscribe_availability", R"({"requesting_service":"hmi","pattern":"jlr.com/vin/+"})");
  CHECK(x.requesting_service == "hmi");
  CHECK(x.pattern == "jlr.com/vin/+");
  CHECK(with_params<subscribe_availability_call>("subscribe_availability", R"({"pattern":"#"})")
          .requesting_service.empty());
  CHECK(bad_params("subscribe_availability", "{}") == "missing field pattern");
  CHECK(bad_params("subscribe_availability", R"({"pattern":7})") == "pattern must be a string");
  CHECK(with_params<unsubscribe_availability_call>("unsubscribe_availability", R"({"pattern":"#"})")
          .pattern
        == "#");
  CHECK(bad_params("unsubscribe_availability", "{}") == "missing field pattern");
  CHECK(with_params<get_data_channels_call>("get_data_channels", "{}").pattern.empty());
  CHECK(bad_params("get_data_channels", R"({"node":"a.b/c"})") == "unknown field node");
}

TEST_CASE("reads a revocation list as long as lists may be") {
  for (auto size : {size_t{1}, revocation_list_bytes_max}) {
    std::string list(size, 'x');
    auto x = with_params<administration_call>("revoke", R"({"list":")" + list + R"("})");
    CHECK(x.method == "revoke");
    CHECK(x.argument == list);
  }
  CHECK(bad_params("revoke", "{}") == "missing field list");
  CHECK(bad_params("revoke", R"({"list":["x"]})") == "list must be a string");
  CHECK(bad_params("revoke", R"({"list":"x","argument":"y"})") == "unknown field argument");
  auto longer = std::string(revocation_list_bytes_max + 1, 'x');
  CHECK(bad_params("revoke", R"({"list":")" + longer + R"("})")
        == "list is longer than " + std::to_string(revocation_list_bytes_max) + " bytes");
}

TEST_CASE("names the field that is wrong") {
  auto invoke = [](const char* params) { return bad_params("invoke", params); };
  CHECK(invoke("{}") == "missing field target");
  CHECK(invoke("[]") == "missing field target");
  CHECK(invoke("7") == "params must be an object");
  CHECK(invoke("[7]") == "params must be an object");
  CHECK(invoke(R"([{"target":"x"},{}])") == "params must be an object");
  CHECK(invoke(R"({"target":null})") == "target must be a string");
  CHECK(invoke(R"({"target":"x","synch":"yes"})") == "synch must be true or false");
  CHECK(invoke(R"({"target":"x","requesting_service":1})")
        == "requesting_service must be a string");
  for (auto priority : {"8", "-1", "1.5", "\"1\"", "4294967296"})
    CHECK(invoke((R"({"target":"x","priority":)" + std::string(priority) + "}").c_str())
          == "priority must be a whole number from 0 to 7");
  CHECK(invoke((R"({"target":"x","channel":")" + std::string(129, 'c') + "\"}").c_str())
        == "channel is longer than 128 bytes");
  CHECK(invoke(R"({"target":"x","Timeout":1})") == "unknown field Timeout");
  CHECK(invoke(R"({"target":"x","params":{}})") == "unknown field params");
  CHECK(bad_params("reply", "{}") == "missing field transaction_id");
  CHECK(bad_params("reply", R"({"transaction_id":"12"})")
        == "transaction_id must be 56 hex digits");
  CHECK(bad_params("get_outcome", R"({"transaction_id":12})") == "transaction_id must be a string");
  CHECK(bad_params("get_node_address", R"({"x":1})") == "unknown field x");
  std::string many = "{";
  for (int i = 0; i < 40; ++i)
    many += "\"k" + std::to_string(i) + "\":1,";
  many.back() = '}';
  CHECK(invoke(many.c_str()) == "params has too many fields");
}

TEST_CASE("keeps ids as they are written") {
  for (auto id :
       {"1", "-7", "1.0e2", "\"abc\"", "\"\\u0041\"", "null", "12345678901234567890123"}) {
    auto x = only_call(R"({"jsonrpc":"2.0","method":"get_node_address","id": )" + std::string(id)
                       + " }");
    CHECK(x.id == id);
    CHECK(!x.is_notification());
  }
  auto note = only_call(R"({"jsonrpc":"2.0","method":"get_node_address"})");
  CHECK(note.is_notification());
  CHECK(std::holds_alternative<service_request>(note.content));
}

TEST_CASE("refuses what is no request") {
  auto check = [](std::string_view text, std::string_view id, std::string_view detail) {
    auto x = problem(text);
    CHECK(x.number == -32600);
    CHECK(x.code == ec::bad_request);
    CHECK(x.id == id);
    CHECK(x.detail == detail);
  };
  check("7", "null", "a request must be an object");
  check("{}", "null", "missing field method");
  check(R"({"id":5})", "null", "missing field method");
  check(R"({"method":1,"id":"a"})", "\"a\"", "method must be a string");
  check(R"({"method":1})", "null", "method must be a string");
  check(R"({"jsonrpc":"1.0","method":"invoke","id":3})", "3", "jsonrpc must be \"2.0\"");
  check(R"({"jsonrpc":2.0,"method":"invoke","id":3})", "3", "jsonrpc must be \"2.0\"");
  constexpr auto id_rule = "id must be a string, a number or null, of at most 256 bytes";
  check(R"({"method":"invoke","id":{}})", "null", id_rule);
  check(R"({"method":"invoke","id":[1]})", "null", id_rule);
  check(R"({"method":"invoke","id":true})", "null", id_rule);
  check("{\"method\":\"invoke\",\"id\":\"" + std::string(300, 'i') + "\"}", "null", id_rule);
  check("[]", "null", "a batch holds 1 to 1000 calls");
  auto unknown = problem(R"({"method":"get_weather","id":9})");
  CHECK(unknown.number == -32601);
  CHECK(unknown.code == ec::unknown_method);
  CHECK(unknown.detail == "get_weather");
  CHECK(unknown.id == "9");
}

TEST_CASE("refuses what is no JSON, or too much of it") {
  for (auto text : {"", " ", "{", "{]", "nul", "{\"a\":1,}", "\"\xff\"", "{\"a\":\"\x01\"}", "1 2",
                    R"({"method":"invoke","method":"invoke"})", R"({"a":01})", "{\"a\":NaN}"}) {
    auto x = problem(text);
    CHECK(x.number == -32700);
    CHECK(x.code == ec::malformed);
    CHECK(x.id == "null");
  }
  auto deep = problem(std::string(5'000, '[') + std::string(5'000, ']'));
  CHECK(deep.number == -32018);
  CHECK(deep.code == ec::limit_exceeded);
  json_rpc::limits small;
  small.text.bytes_max = 10;
  CHECK(problem("[1,2,3,4,5,6,7,8]", small).code == ec::limit_exceeded);
}

TEST_CASE("reads subscriptions to metrics") {
  auto all = with_params<subscribe_call>(
    "subscribe", R"({"requesting_service":"dash","target":"metric:a.org/n1/#",)"
                 R"("min_interval_ms":500,"min_change":0.5})");
  CHECK(all.requesting_service == "dash");
  CHECK(all.target == "metric:a.org/n1/#");
  CHECK(all.filter.min_interval_ms == 500);
  CHECK(all.filter.min_change == 0.5);
  auto least
    = with_params<subscribe_call>("subscribe", R"({"requesting_service":"dash","target":"x"})");
  CHECK(least.filter.min_interval_ms == 0);
  CHECK_FALSE(least.filter.min_change);
  auto end
    = with_params<unsubscribe_call>("unsubscribe", R"({"requesting_service":"dash","target":"x"})");
  CHECK(end.target == "x");
  CHECK(bad_params("subscribe", R"({"target":"x"})") != "");
  CHECK(bad_params("subscribe", R"({"requesting_service":"d","target":"x","min_interval_ms":-1})")
        != "");
  CHECK(
    bad_params("subscribe", R"({"requesting_service":"d","target":"x","min_interval_ms":86400001})")
    != "");
  CHECK(bad_params("subscribe", R"({"requesting_service":"d","target":"x","min_change":-0.1})")
        != "");
  CHECK(bad_params("subscribe", R"({"requesting_service":"d","target":"x","min_change":"1"})")
        != "");
  CHECK(bad_params("unsubscribe", R"({"requesting_service":"d","target":"x","min_change":1})")
        != "");
}

TEST_CASE("reads metrics") {
  auto x = with_params<publish_call>(
    "publish", R"({"source":"sensor","target":"metric:a.org/n1/speed","value":{"kmh": 8.750e1},)"
               R"("timeout":1700000060,"retain":true})");
  CHECK(x.source == "sensor");
  CHECK(x.target == "metric:a.org/n1/speed");
  CHECK(x.value == R"({"kmh": 8.750e1})");
  CHECK(x.timeout_ms == 1'700'000'060'000);
  CHECK(x.retain);
  auto least = with_params<publish_call>("publish", R"({"source":"s","target":"x","value":null})");
  CHECK(least.value == "null");
  CHECK(least.timeout_ms == 0);
  CHECK_FALSE(least.retain);
  CHECK(bad_params("publish", R"({"source":"s","target":"x"})") != "");
  CHECK(bad_params("publish", R"({"target":"x","value":1})") != "");
  CHECK(bad_params("publish", R"({"source":"s","target":"x","value":1,"retain":1})") != "");
}

TEST_CASE("reads batches of calls and answers in order") {
  auto x = json_rpc::decode(R"([{"jsonrpc":"2.0","id":1,"method":"get_node_address"}, 7,)"
                            R"({"jsonrpc":"2.0","method":"get_node_address"},)"
                            R"({"jsonrpc":"2.0","id":3,"result":{"status":"ok"}},)"
                            R"({"jsonrpc":"2.0","id":4,"error":{ "code":1,"message":"no"}}])",
                            now_ms);
  CHECK(x.batch);
  REQUIRE(x.elements.size() == 5);
  CHECK(std::get<json_rpc::call>(x.elements[0]).id == "1");
  CHECK(std::holds_alternative<json_rpc::problem>(std::get<json_rpc::call>(x.elements[1]).content));
  CHECK(std::get<json_rpc::call>(x.elements[2]).is_notification());
  CHECK(std::get<json_rpc::response>(x.elements[3]).id == 3);
  CHECK(std::get<json_rpc::response>(x.elements[3]).error.empty());
  CHECK(std::get<json_rpc::response>(x.elements[4]).id == 4);
  CHECK(std::get<json_rpc::response>(x.elements[4]).error == R"({ "code":1,"message":"no"})");
}

TEST_CASE("bounds batches") {
  auto batch = [](size_t n) {
    std::string text = "[";
    for (size_t i = 0; i < n; ++i)
      text += R"({"id":1,"method":"get_node_address"},)";
    text.back() = ']';
    return text;
  };
  CHECK(json_rpc::decode(batch(1'000), now_ms).elements.size() == 1'000);
  CHECK(problem(batch(1'001)).detail == "a batch holds 1 to 1000 calls");
}

TEST_CASE("reads answers") {
  auto answer = [](std::string_view text) {
    auto x = json_rpc::decode(text, now_ms);
    return std::get<json_rpc::response>(x.elements.at(0));
  };
  CHECK(answer(R"({"jsonrpc":"2.0","id":12,"result":null})").id == 12);
  CHECK(answer(R"({"id":12,"result":1,"error":null})").error.empty());
  CHECK(answer(R"({"id":12,"error":"broken"})").error == "\"broken\"");
  CHECK(answer(R"({"id":"12","result":1})").id == 0);
  CHECK(answer(R"({"id":-1,"result":1})").id == 0);
  CHECK(answer(R"({"result":1})").id == 0);
  auto longest = answer(R"({"id":1,"error":")" + std::string(70'000, 'e') + "\"}");
  CHECK(
    longest.error
    == R"({"code":-32016,"message":"the service's error is too long","data":{"code":"refused"}})");
}

TEST_CASE("an invoke says how it is kept, what it is and whether it is reported") {
  auto x = with_params<invoke_call>("invoke", R"({"target":"message:a.b/c/d","durability":"none",)"
                                              R"("data_class":"bulk","delivery_report":true})");
  CHECK(x.durability == durability::none);
  CHECK(x.data_class == "bulk");
  CHECK(x.delivery_report);
  auto y = with_params<invoke_call>("invoke", R"({"target":"rpc:a.b/c/d"})");
  CHECK(y.durability == durability::full);
  CHECK(y.data_class.empty());
  CHECK_FALSE(y.delivery_report);
  CHECK(bad_params("invoke", R"({"target":"x","durability":"some"})")
        == "durability must be \"full\" or \"none\"");
  CHECK(bad_params("invoke", R"({"target":"x","data_class":"b\u00fclk"})")
        == "data_class must be printable ASCII");
  CHECK(bad_params("invoke", R"({"target":"x","data_class":")" + std::string(129, 'c') + "\"}")
        == "data_class is longer than 128 bytes");
}

TEST_CASE("a service says which requests it takes") {
  CHECK(with_params<register_service_call>("register_service", R"({"service":"x"})").durability_min
        == durability::full);
  CHECK(with_params<register_service_call>("register_service",
                                           R"({"service":"x","durability_min":"none"})")
          .durability_min
        == durability::none);
}

TEST_CASE("queues are asked for in pages, by id or by pattern") {
  auto list = with_params<queue_call>("get_queue", R"({"pattern":"a/#","dead":true,"after":"d00",)"
                                                   R"("limit":1000})");
  CHECK(list.what == queue_call::action::list);
  CHECK(list.pattern == "a/#");
  CHECK(list.dead);
  CHECK(list.after == "d00");
  CHECK(list.limit == 1'000);
  CHECK(bad_params("get_queue", R"({"limit":1001})")
        == "limit must be a whole number from 1 to 1000");
  auto by_id = R"({"transaction_id":")" + id_hex + "\"}";
  CHECK(with_params<queue_call>("get_queued", by_id).what == queue_call::action::show);
  CHECK(with_params<queue_call>("requeue", by_id).id.has_value());
  CHECK(with_params<queue_call>("drop_queued", by_id).id.has_value());
  auto drop = with_params<queue_call>("drop_queued", R"({"pattern":"a/#"})");
  CHECK_FALSE(drop.id);
  CHECK(drop.pattern == "a/#");
  CHECK(bad_params("drop_queued", "{}") == "missing field transaction_id");
}

TEST_CASE("an invoke says on whose behalf it is made") {
  auto x = with_params<invoke_call>("invoke", R"({"target":"rpc:a.b/c/d","on_behalf_of":)"
                                              R"({"user":"bob","role":"owner",)"
                                              R"("authenticated":1700000000,"method":"pin"}})");
  REQUIRE(x.user);
  CHECK(x.user->name == "bob");
  CHECK(x.user->role == "owner");
  CHECK(x.user->authenticated_ms == 1'700'000'000'000); // given in seconds
  CHECK(x.user->method == "pin");
  auto y = with_params<invoke_call>("invoke", R"({"target":"x","on_behalf_of":{"user":"bob"}})");
  REQUIRE(y.user);
  CHECK(y.user->role.empty());
  CHECK(y.user->authenticated_ms == 0);
  CHECK(!with_params<invoke_call>("invoke", R"({"target":"x"})").user);
  CHECK(bad_params("invoke", R"({"target":"x","on_behalf_of":7})")
        == "on_behalf_of must be an object");
  CHECK(bad_params("invoke", R"({"target":"x","on_behalf_of":{"role":"owner"}})")
        == "on_behalf_of: missing field user");
  CHECK(bad_params("invoke", R"({"target":"x","on_behalf_of":{"user":"bob","uid":7}})")
        == "on_behalf_of: unknown field uid");
}

TEST_CASE("an invoke may have an id of its service's own") {
  auto of = [](const char* field) {
    return with_params<invoke_call>("invoke",
                                    std::string{R"({"target":"rpc:a.b/c")"} + field + "}");
  };
  CHECK(!of("").service_transaction_id);
  CHECK(!of("").timeout_given);
  CHECK(of(R"(,"timeout":1402091332)").timeout_given);
  CHECK(of(R"(,"service_transaction_id":1)").service_transaction_id == 1);
  CHECK(of(R"(,"service_transaction_id":18446744073709551615)").service_transaction_id
        == 18'446'744'073'709'551'615U);
  for (auto wrong : {"0", "-1", "1.5", "1e3", "\"7\"", "null", "18446744073709551616"})
    CHECK(bad_params("invoke", std::string{R"({"target":"rpc:a.b/c","service_transaction_id":)"}
                                 + wrong + "}")
          == "service_transaction_id must be a whole number, 1 or more");
  CHECK(with_params<invoke_call>("message", R"({"service_name":"a.b/c","parameters":[],)"
                                            R"("service_transaction_id":9})")
          .service_transaction_id
        == 9);
}

TEST_CASE("a service asks for ids and signatures when it registers") {
  auto x = with_params<register_service_call>("register_service", R"({"service":"a"})");
  CHECK(!x.transaction_ids_required);
  CHECK(!x.signature_wanted);
  x = with_params<register_service_call>(
    "register_service", R"({"service":"a","service_transaction_ids":true,"signed":true})");
  CHECK(x.transaction_ids_required);
  CHECK(x.signature_wanted);
  CHECK(bad_params("register_service", R"({"service":"a","signed":1})")
        == "signed must be true or false");
}

TEST_CASE("a service may sign what it asks with a key of its own") {
  auto x = with_params<register_service_call>("register_service", R"({"service":"a"})");
  CHECK(x.public_key.empty());
  x = with_params<register_service_call>("register_service",
                                         R"({"service":"a","public_key":{ "kty":"OKP"}})");
  CHECK(x.public_key == R"({ "kty":"OKP"})");
  x = with_params<register_service_call>("register_service",
                                         R"({"service":{"name":"a","public_key":{"kty":"EC"}}})");
  CHECK(x.public_key == R"({"kty":"EC"})");
  CHECK(bad_params("register_service", R"({"service":"a","public_key":"{}"})")
        == "public_key must be a JWK");
  auto call = with_params<invoke_call>(
    "invoke", R"({"target":"rpc:a.b/c","arguments":{ "a" : 1.50 },"service_signature":"a.b.c"})");
  CHECK(call.service_signature == "a.b.c");
  CHECK(call.arguments == R"({ "a" : 1.50 })"); // as written: its hash is signed
  CHECK(bad_params("invoke", R"({"target":"rpc:a.b/c","service_signature":7})")
        == "service_signature must be a string");
}
