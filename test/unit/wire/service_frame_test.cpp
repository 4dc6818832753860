// SPDX-License-Identifier: MPL-2.0
//
// The binary form of a service connection: bytes are pinned, and what is no frame of a service is
// refused.

#include "messages/wire/service_frame.hpp"
#include "rvi.pb.h"
#include "test/support/envelopes.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace std::literals;

namespace {

constexpr uint64_t now_ms = 1'795'000'000'000;

/// A field of wire type 2.
std::string bytes_field(uint32_t number, std::string_view content) {
  REQUIRE(content.size() < 128);
  return std::string{char(number << 3 | 2), char(content.size())} + std::string{content};
}

std::string id_field(uint8_t id) {
  return {'\x08', char(id)};
}

service_frame::received decoded(std::string_view bytes) {
  auto x = service_frame::decode(bytes, now_ms, {});
  REQUIRE_MESSAGE(x, describe(x.error()));
  return std::move(*x);
}

ec failure(std::string_view bytes) {
  auto x = service_frame::decode(bytes, now_ms, {});
  return x ? ec::none : code_of(x.error());
}

/// The request in a call, which must be one.
template <class Request>
Request request_in(std::string_view bytes, uint64_t id) {
  auto x = decoded(bytes);
  auto& call = std::get<service_frame::call>(x);
  CHECK(call.id == id);
  auto why = std::get_if<caf::error>(&call.content);
  REQUIRE_MESSAGE(!why, describe(*why));
  return std::get<Request>(std::get<service_request>(call.content));
}

/// Why the call is none.
std::string complaint(const wire::ServiceFrame& frame) {
  auto x = decoded(frame.SerializeAsString());
  auto why = std::get_if<caf::error>(&std::get<service_frame::call>(x).content);
  CHECK((!why || code_of(*why) == ec::bad_request));
  return why ? detail_of(*why) : "";
}

/// The one frame in these bytes.
wire::ServiceFrame written(const std::string& bytes) {
  service_frame::stream stream{size_t{1} << 20};
  stream.receive(service_frame::preface);
  stream.receive(bytes);
  auto next = stream.next();
  REQUIRE(next);
  REQUIRE(*next);
  wire::ServiceFrame result;
  REQUIRE(result.ParseFromArray((*next)->data(), int((*next)->size())));
  REQUIRE_FALSE(*stream.next());
  return result;
}

} // namespace

TEST_CASE("service frames have fixed bytes") {
  auto invoke = bytes_field(2, "svc") + bytes_field(3, "rpc:a/b") + bytes_field(4, "[1]");
  auto x = request_in<invoke_call>(id_field(7) + bytes_field(4, invoke), 7);
  CHECK(x.requesting_service == "svc");
  CHECK(x.target == "rpc:a/b");
  CHECK(x.arguments == "[1]");
  CHECK(x.timeout_ms == now_ms + json_rpc::limits{}.timeout_ms);
  CHECK_FALSE(x.timeout_given);
  CHECK(x.priority == 4);
  CHECK(x.durability == durability::full);
  CHECK_FALSE(x.service_transaction_id);

  std::string id(56, '0');
  auto reply = request_in<reply_call>(
    id_field(1) + bytes_field(5, bytes_field(1, id) + bytes_field(2, "\"a\"")), 1);
  CHECK(reply.id == transaction_id{});
  CHECK(reply.arguments == "\"a\"");

  auto publish = request_in<publish_call>(
    bytes_field(6, bytes_field(1, "s") + bytes_field(2, "metric:a/b/c") + bytes_field(3, "1")), 0);
  CHECK(publish.source == "s");
  CHECK(publish.value == "1");
  CHECK(publish.timeout_ms == 0);

  auto taken = decoded(id_field(3) + bytes_field(7, ""));
  CHECK(std::get<json_rpc::response>(taken).id == 3);
  CHECK(std::get<json_rpc::response>(taken).error.empty());
  auto refused = decoded(id_field(3) + bytes_field(8, bytes_field(1, R"({"code":1})")));
  CHECK(std::get<json_rpc::response>(refused).error == R"({"code":1})");
  auto hello = decoded(bytes_field(2, bytes_field(1, "secret")));
  CHECK(std::get<service_frame::hello>(hello).token == "secret");
  auto text = decoded(bytes_field(3, "{}"));
  CHECK(std::get<service_frame::text>(text).json == "{}");

  std::string out;
  service_frame::append_answer(out, 5, done_result{});
  CHECK(out == "\x00\x00\x00\x04\x08\x05\x5a\x00"s);
  out.clear();
  service_frame::append_error(out, 5, caf::make_error(ec::busy, "full"s), 70);
  CHECK(out
        == "\x00\x00\x00\x12\x08\x05\x62\x0e"s + bytes_field(1, "busy") + bytes_field(2, "full")
             + "\x18\x46");
}

TEST_CASE("every field of an invoke comes over") {
  wire::ServiceFrame frame;
  auto& x = *frame.mutable_invoke();
  x.set_timeout(1'800'000'000); // seconds
  x.set_requesting_service("s");
  x.set_target("message:a/b");
  x.set_synch(true);
  x.set_priority(0);
  x.set_channel("c");
  x.set_durability(wire::NONE);
  x.set_data_class("bulk");
  x.set_delivery_report(true);
  auto& user = *x.mutable_on_behalf_of();
  user.set_user("alice");
  user.set_role("driver");
  user.set_authenticated(1'795'000'000'000);
  user.set_method("pin");
  x.set_service_transaction_id(9);
  x.set_service_signature("a.b.c");
  auto call = request_in<invoke_call>(frame.SerializeAsString(), 0);
  CHECK(call.timeout_ms == 1'800'000'000'000);
  CHECK(call.timeout_given);
  CHECK(call.arguments == "{}");
  CHECK(call.synch);
  CHECK(call.priority == 0);
  CHECK(call.channel == "c");
  CHECK(call.durability == durability::none);
  CHECK(call.data_class == "bulk");
  CHECK(call.delivery_report);
  REQUIRE(call.user);
  CHECK(call.user->name == "alice");
  CHECK(call.user->role == "driver");
  CHECK(call.user->authenticated_ms == 1'795'000'000'000);
  CHECK(call.user->method == "pin");
  CHECK(call.service_transaction_id == 9);
  CHECK(call.service_signature == "a.b.c");
  CHECK_FALSE(call.untyped_allowed);
}

TEST_CASE("a call in a frame has the limits of one in a text") {
  auto with = [](auto change) {
    wire::ServiceFrame frame;
    frame.mutable_invoke()->set_target("rpc:a/b");
    change(*frame.mutable_invoke());
    return complaint(frame);
  };
  CHECK(with([](auto&) {}) == "");
  CHECK(with([](auto& x) { x.clear_target(); }) == "missing field target");
  CHECK(with([](auto& x) { x.set_target(std::string(2'049, 'x')); })
        == "target is longer than 2048 bytes");
  CHECK(with([](auto& x) { x.set_arguments("[1"); }) == "arguments must be one JSON value");
  CHECK(with([](auto& x) { x.set_arguments("1 2"); }) == "arguments must be one JSON value");
  CHECK(with([](auto& x) { x.set_priority(8); }) != "");
  CHECK(with([](auto& x) { x.set_channel(std::string(129, 'x')); }) != "");
  CHECK(with([](auto& x) { x.set_durability(static_cast<wire::Durability>(2)); }) != "");
  CHECK(with([](auto& x) { x.set_data_class("\x01"); }) == "data_class must be printable ASCII");
  CHECK(with([](auto& x) { x.set_timeout(UINT64_MAX); }) == "timeout is no time");
  CHECK(with([](auto& x) { x.mutable_on_behalf_of(); }) == "missing field user");
  wire::ServiceFrame reply;
  reply.mutable_reply()->set_transaction_id("0");
  CHECK(complaint(reply) == "transaction_id must be 56 hex digits");
  reply.mutable_reply()->set_transaction_id(std::string(56, '0'));
  CHECK(complaint(reply) == "");
  reply.mutable_reply()->set_status("ok");
  CHECK(complaint(reply) != "");
  wire::ServiceFrame publish;
  publish.mutable_publish()->set_source("s");
  publish.mutable_publish()->set_target("metric:a");
  CHECK(complaint(publish) == "value must be one JSON value");
}

TEST_CASE("what a service has no right to send, or is not known here, is no frame") {
  CHECK(failure("") == ec::malformed);
  CHECK(failure("\xff") == ec::malformed);
  CHECK(failure(id_field(1)) == ec::malformed);     // no content
  for (uint32_t number = 9; number <= 15; ++number) // the node's
    CHECK(failure(bytes_field(number, "")) == ec::malformed);
  auto target = bytes_field(3, "rpc:a/b");
  CHECK(failure(bytes_field(4, target)) == ec::none);
  CHECK(failure(bytes_field(4, target + bytes_field(14, "x"))) == ec::malformed);
  CHECK(failure(bytes_field(4, target + bytes_field(11, bytes_field(5, "x")))) == ec::malformed);
  CHECK(failure(bytes_field(5, bytes_field(8, "x"))) == ec::malformed);
  CHECK(failure(bytes_field(6, bytes_field(7, "x"))) == ec::malformed);
  CHECK(failure(bytes_field(4, bytes_field(3, "\xff\xfe"))) == ec::malformed); // no UTF-8
}

TEST_CASE("a refusal that is no JSON object is told as one") {
  auto error = [](std::string_view text) {
    wire::ServiceFrame frame;
    frame.mutable_refused()->set_error(std::string{text});
    return std::get<json_rpc::response>(decoded(frame.SerializeAsString())).error;
  };
  CHECK(error(R"({"code":7})") == R"({"code":7})");
  for (auto& text : {""s, "no"s, "[{}]"s, "\"{\""s, std::string(70'000, ' ') + "{}"}) {
    auto x = json::parse(error(text));
    REQUIRE(x);
    CHECK(x->root()["data"]["code"].as_string() == "refused");
  }
}

TEST_CASE("a stream begins with the preface, and cuts frames wherever the bytes break") {
  wire::ServiceFrame frame;
  frame.set_json("{}");
  std::string bytes{service_frame::preface};
  service_frame::append_json(bytes, "{}");
  service_frame::append_json(bytes, "[]");
  service_frame::stream stream{1'024};
  int frames = 0;
  for (auto byte : bytes) {
    stream.receive({&byte, 1});
    for (auto next = stream.next(); *next; next = stream.next())
      ++frames;
  }
  CHECK(stream.begun());
  CHECK(frames == 2);

  service_frame::stream other{1'024};
  other.receive("\0RVISVC\2"sv);
  CHECK(code_of(other.next().error()) == ec::protocol_mismatch);
  service_frame::stream early{1'024};
  early.receive("\0RX"sv);
  CHECK(code_of(early.next().error()) == ec::protocol_mismatch);
  service_frame::stream large{1'024};
  large.receive(service_frame::preface);
  large.receive("\0\0\x04\x01"sv);
  CHECK(code_of(large.next().error()) == ec::limit_exceeded);
}

TEST_CASE("what the node says has all its fields") {
  envelope request;
  request.header.id.seq = 7;
  request.header.target = "rpc:a/b";
  request.header.source = "c/d";
  request.header.expires_ms = 5;
  request.header.user
    = std::make_shared<on_behalf_of>(on_behalf_of{"\x01\x02", "driver", 3, "pin"});
  request.arguments = "[1]";
  std::string out;
  REQUIRE_FALSE(service_frame::append_invocation(out, 2, request, "a.b.c"));
  auto frame = written(out);
  CHECK(frame.id() == 2);
  CHECK(frame.invocation().transaction_id() == to_string(request.header.id));
  CHECK(frame.invocation().target() == "rpc:a/b");
  CHECK(frame.invocation().requesting_service() == "c/d");
  CHECK(frame.invocation().timeout() == 5);
  CHECK(frame.invocation().arguments() == "[1]");
  CHECK(frame.invocation().service_signature() == "a.b.c");
  CHECK(frame.invocation().on_behalf_of().user() == "0102");
  CHECK(frame.invocation().on_behalf_of().role() == "driver");
  request.arguments = "[1";
  CHECK(code_of(service_frame::append_invocation(out, 2, request)) == ec::malformed);

  outcome_notice notice{request.header.id, "s", "rpc:a/b", "error", "no", "7", "why", "x.y.z"};
  out.clear();
  REQUIRE_FALSE(service_frame::append_ended(out, 3, notice));
  auto ended = written(out).ended();
  CHECK(ended.status() == "error");
  CHECK(ended.dispatched() == "no");
  CHECK(ended.arguments() == "7");
  CHECK(ended.error().find("\"message\":\"why\"") != std::string::npos); // quoted
  CHECK(ended.service_signature() == "x.y.z");
  notice.arguments = "7 7";
  CHECK(code_of(service_frame::append_ended(out, 3, notice)) == ec::malformed);
  out.clear();
  service_frame::append_answer(out, 4, notice); // a reply that is none
  CHECK(written(out).error().code() == "malformed");
  out.clear();
  service_frame::append_answer(out, 4, accepted_result{request.header.id, true});
  CHECK(written(out).invoked().status() == "accepted");
  CHECK(written(out).invoked().repeated());
  out.clear();
  metric_value value;
  value.topic = "metric:a";
  value.value = "1";
  value.source = "s";
  value.published_ms = 8;
  service_frame::append_metric(out, value);
  CHECK(written(out).metric().target() == "metric:a");
  CHECK(written(out).metric().published_ms() == 8);
  CHECK(written(out).id() == 0);
}
