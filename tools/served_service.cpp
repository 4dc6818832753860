// SPDX-License-Identifier: MPL-2.0
//
// One loop: the node's connection and up to eight children. A receipt goes out only when the
// request is done, so that a failure can still refuse it.

#include "tools/served_service.hpp"

#include "actors/edge/service_signature.hpp"
#include "messages/wire/json_rpc.hpp"
#include "runtime/crypto/jws.hpp"
#include "runtime/json/utf8.hpp"
#include "tools/report.hpp"
#include "tools/stop_signal.hpp"
#include "tools/text_files.hpp"
#include "tools/times.hpp"

#include <algorithm>
#include <cstdio>

namespace rvi {

namespace {

constexpr size_t children_max = 8;
constexpr uint64_t backoff_ms_min = 200;
constexpr uint64_t backoff_ms_max = 5'000;
constexpr int poll_ms_max = 200;     // a stop signal is seen by then
constexpr int poll_ms_children = 50; // a child's end without output is seen by then
constexpr uint64_t stop_patience_ms = 10'000;
constexpr uint64_t answer_patience_ms = 2'000;

bool passes_by_itself(ec code) {
  return code == ec::unreachable || code == ec::link_down || code == ec::timeout || code == ec::busy
         || code == ec::shutting_down;
}

/// Whole characters only; broken ones become question marks.
std::string readable(std::string text) {
  for (auto i = json::utf8_valid_up_to(text); i < text.size(); i = json::utf8_valid_up_to(text))
    text[i] = '?';
  return text;
}

/// One JSON value as it is; everything else as a JSON string.
std::string as_json(const std::string& output) {
  auto text = trimmed_end(output);
  if (!text.empty() && json::parse(text, {child_output_bytes_max, 64, 500'000}))
    return text;
  std::string result;
  json::append_string(result, readable(std::move(text)));
  return result;
}

void sleep_interruptibly(uint64_t ms) {
  auto deadline = steady_now_ms() + ms;
  for (auto now = steady_now_ms(); now < deadline && !stop_requested(); now = steady_now_ms())
    ::poll(nullptr, 0, int(std::min<uint64_t>(deadline - now, poll_ms_max)));
}

} // namespace

caf::error served_service::run() {
  while (!stop_requested() && !last_taken()) {
    auto error = connect();
    if (!error)
      error = serve();
    waiting_.clear();
    children_.clear(); // their answers have nowhere to go; the node decides what that means
    client_.reset();
    if (!error || stop_requested())
      return {};
    if (!passes_by_itself(code_of(error)))
      return error;
    if (attempts_ == 0)
      std::fprintf(stderr, "rvi serve: %s; trying again\n", describe(error).c_str());
    sleep_interruptibly(
      std::min(backoff_ms_min << std::min<uint64_t>(attempts_++, 10), backoff_ms_max));
  }
  return {};
}

caf::error served_service::connect() {
  auto client = connect_node(config_.node);
  if (!client)
    return std::move(client.error());
  client_.emplace(std::move(*client));
  client_->node().on_request = [this](const client::request& x) { take(x); };
  json::writer params;
  params.begin_object().member("service", config_.name);
  params.key("methods").begin_array();
  for (auto& x : config_.methods)
    params.string(x);
  params.end_array()
    .member("idempotent", config_.idempotent)
    .member("durability_min", config_.durability_min)
    .member("signed", config_.signature_wanted)
    .end_object();
  auto answer = client_->call("register_service", params.take());
  if (!answer)
    return std::move(answer.error());
  attempts_ = 0;
  name_ = text_of(answer->result["service"]);
  std::fprintf(stderr, "rvi serve: serving %s\n", name_.c_str());
  if (!config_.signature_wanted)
    return {};
  auto said = answer->result["service_edge_key"];
  auto key = crypto::public_key::from_jwk(text_of(said["kty"]), text_of(said["crv"]),
                                          text_of(said["x"]), text_of(said["y"]));
  if (!key)
    return std::move(key.error());
  edge_key_ = std::move(*key);
  std::fprintf(stderr, "rvi serve: what comes must be signed by node %s\n",
               to_string(edge_key_.uid()).c_str());
  return {};
}

caf::error served_service::serve() {
  uint64_t give_up_ms = 0; // after a stop signal
  for (;;) {
    bool stopping = stop_requested() || last_taken();
    bool idle = children_.empty() && (waiting_.empty() || stop_requested());
    if (stopping && give_up_ms == 0)
      give_up_ms = steady_now_ms() + stop_patience_ms;
    if (stopping && (idle || (stop_requested() && steady_now_ms() > give_up_ms)))
      break;
    if (!stop_requested())
      start_waiting();
    if (auto error = poll_once())
      return error;
    advance_children();
  }
  withdraw();
  return {};
}

caf::error served_service::poll_once() {
  auto& node = client_->node();
  if (auto why = node.flush())
    return error_from(why);
  std::vector<pollfd> polled;
  polled.push_back({node.fd(), short(POLLIN | (node.wants_write() ? POLLOUT : 0)), 0});
  for (auto& x : children_)
    x.child.add_to(polled);
  ::poll(polled.data(), polled.size(), children_.empty() ? poll_ms_max : poll_ms_children);
  return polled[0].revents == 0 ? caf::error{} : error_from(node.receive());
}

void served_service::take(const client::request& x) {
  request next{x.delivery,
               std::string{x.transaction_id},
               std::string{x.target},
               std::string{x.requesting_service},
               x.on_behalf_of ? x.on_behalf_of->name : "",
               x.on_behalf_of ? x.on_behalf_of->role : "",
               std::string{x.arguments},
               std::string{x.service_signature},
               x.timeout_ms,
               steady_now_ms(),
               false};
  next.rpc = next.target.starts_with("rpc:");
  if (last_taken() || stop_requested()) {
    if (!config_.idempotent) // else it goes to the next who has this name
      refuse(next, ec::shutting_down, "the service is stopping");
    return;
  }
  if (config_.signature_wanted)
    if (auto error = verify(next))
      return refuse(next, ec::signature_invalid, detail_of(error));
  ++taken_;
  if (config_.command.empty())
    accept(next, next.arguments);
  else
    waiting_.push_back(std::move(next));
}

caf::error served_service::verify(const request& x) const {
  auto wrong = [](const std::string& what) {
    return caf::make_error(ec::signature_invalid, "service_signature: " + what);
  };
  auto jws = crypto::parse_jws(x.signature);
  if (!jws)
    return wrong(detail_of(jws.error()));
  if (jws->type != service_signature_type || !crypto::verify(*jws, edge_key_))
    return wrong("it is not by this node");
  auto claims = json::parse(jws->payload);
  if (!claims)
    return wrong(detail_of(claims.error()));
  auto said = claims->root();
  const std::pair<const char*, std::string> expected[]
    = {{"aud", name_},
       {"method", "invoke"},
       {"transaction_id", x.transaction_id},
       {"target", x.target},
       {"source", x.source},
       {"arguments_sha256", crypto::hex(crypto::view(crypto::sha256(x.arguments)))}};
  for (auto& [name, value] : expected)
    if (text_of(said[name]) != value)
      return wrong(std::string{name} + " differs from what came");
  if (said["timeout"].as_uint() != x.expires_ms)
    return wrong("timeout differs from what came");
  if (text_of(said["role"]) != x.role || text_of(said["user"]) != x.user)
    return wrong("role or user differ from what came");
  return {};
}

void served_service::start_waiting() {
  while (!waiting_.empty() && children_.size() < children_max) {
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    service_child::environment added{
      {"RVI_TARGET", next.target}, {"RVI_TRANSACTION_ID", next.transaction_id},
      {"RVI_SOURCE", next.source}, {"RVI_USER", next.user},
      {"RVI_ROLE", next.role},     {"RVI_SERVICE_SIGNATURE", next.signature}};
    auto child = service_child::start(config_.command, next.arguments, added);
    if (child)
      children_.push_back({std::move(next), std::move(*child), false});
    else
      refuse(next, ec::busy, detail_of(child.error()));
  }
}

void served_service::advance_children() {
  auto now = wall_now_ms();
  for (auto& x : children_) {
    if (x.what.rpc && !x.expired && now >= x.what.expires_ms) {
      x.expired = true; // nobody waits for it any more
      x.child.kill();
    }
    x.child.advance();
    if (x.child.ended())
      finish(x);
  }
  std::erase_if(children_, [](auto& x) { return x.child.ended(); });
}

void served_service::finish(running& x) {
  auto failure = x.child.failure();
  if (x.expired)
    return refuse(x.what, ec::timeout, "the command did not end within the rpc's time");
  if (failure.empty())
    return accept(x.what, as_json(x.child.output()));
  auto tail = readable(trimmed_end(x.child.error_tail()));
  refuse(x.what, ec::refused, tail.empty() ? failure : failure + ": " + tail);
}

void served_service::accept(const request& x, const std::string& arguments) {
  client_->node().take(x.delivery);
  if (x.rpc)
    client_->node().reply(x.transaction_id, arguments,
                          [id = x.transaction_id](const client::error& why) {
                            if (why)
                              std::fprintf(stderr, "rvi serve: the reply to %s was not taken: %s\n",
                                           id.c_str(), describe(error_from(why)).c_str());
                          });
  report(x, "ok");
}

void served_service::refuse(const request& x, ec code, const std::string& why) {
  client_->node().refuse(x.delivery, json_rpc::error_object(caf::make_error(code, why)));
  report(x, std::string{to_string(code)} + ": " + why);
}

void served_service::report(const request& x, const std::string& outcome) {
  auto took_ms = steady_now_ms() - x.begun_ms;
  if (config_.json) {
    json::writer out;
    out.begin_object()
      .member("time", show_time(wall_now_ms() / 1'000))
      .member("transaction_id", x.transaction_id)
      .member("target", x.target)
      .member("source", x.source)
      .member("outcome", outcome)
      .member("took_ms", took_ms);
    if (config_.signature_wanted)
      out.member("service_signature", x.signature);
    out.end_object();
    print_line(out.take());
  } else {
    print_line(show_time(wall_now_ms() / 1'000) + " " + x.target + " from " + x.source + ": "
               + outcome + " (" + std::to_string(took_ms) + " ms, " + x.transaction_id
               + (config_.signature_wanted ? ", signature verified)" : ")"));
  }
  std::fflush(stdout);
}

/// Leaves nothing unsaid: refuses what waits, gives the name back, sees the replies taken.
void served_service::withdraw() {
  if (!config_.idempotent)
    for (auto& x : waiting_)
      refuse(x, ec::shutting_down, "the service is stopping");
  json::writer params;
  params.begin_object().member("service", config_.name).end_object();
  auto& node = client_->node();
  node.call("unregister_service", params.take(), {});
  auto deadline = steady_now_ms() + answer_patience_ms;
  for (auto now = steady_now_ms(); node.outstanding() > 0 && now < deadline; now = steady_now_ms())
    if (client_->step(deadline - now))
      return;
  client_->close();
}

} // namespace rvi
