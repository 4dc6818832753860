// SPDX-License-Identifier: MPL-2.0
//
// The client's socket and the texts on it.

#include "test/integration/node_client.hpp"

#include "runtime/json/json.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace rvi::test {

namespace {

constexpr milliseconds turn{50};
constexpr json::limits text_limits{size_t{80} << 20, 64, 1'000'000};

milliseconds left_until(std::chrono::steady_clock::time_point deadline) {
  auto rest = std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
  return std::max(rest, milliseconds{0});
}

std::string quoted(std::string_view text) {
  std::string result;
  json::append_string(result, text);
  return result;
}

std::string text_at(json::value x, std::string_view key) {
  return std::string{x[key].as_string().value_or("")};
}

call_answer read_answer(json::value x) {
  call_answer result;
  if (auto error = x["error"]) {
    result.code = text_at(error["data"], "code");
    result.message = text_at(error, "message");
  } else {
    result.result = x["result"].raw();
    result.transaction_id = text_at(x["result"], "transaction_id");
    result.service = text_at(x["result"], "service");
  }
  return result;
}

handed_over read_hand_over(json::value params) {
  handed_over result;
  result.transaction_id = text_at(params, "transaction_id");
  result.target = text_at(params, "target");
  result.requesting_service = text_at(params, "requesting_service");
  result.arguments = params["arguments"].raw();
  result.status = text_at(params, "status");
  result.error = params["error"].raw();
  result.dispatched = text_at(params, "dispatched");
  result.timeout_ms = params["timeout"].as_uint().value_or(0);
  result.received_ms = wall_ms();
  return result;
}

} // namespace

bool service_client::connect() {
  disconnect();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(socket_path_.size() < sizeof address.sun_path);
  socket_path_.copy(address.sun_path, sizeof address.sun_path - 1);
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    disconnect();
    return false;
  }
  http::limits bounds;
  bounds.message_bytes_max = text_limits.bytes_max;
  codec_ = http::websocket_client{bounds};
  auto hello = codec_.handshake("localhost", "/");
  (void)!::send(fd_, hello.data(), hello.size(), MSG_NOSIGNAL);
  auto deadline = std::chrono::steady_clock::now() + node_patience;
  while (connected() && !open_ && left_until(deadline).count() > 0)
    pump(turn);
  if (!open_)
    disconnect();
  return open_;
}

void service_client::disconnect() {
  if (fd_ >= 0)
    ::close(fd_);
  fd_ = -1;
  open_ = false;
}

void service_client::flush() {
  auto bytes = codec_.take_output();
  std::string_view rest = bytes;
  while (!rest.empty() && fd_ >= 0) {
    auto n = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n <= 0) {
      disconnect();
      return;
    }
    rest.remove_prefix(static_cast<size_t>(n));
  }
}

void service_client::send_text(std::string_view text) {
  codec_.send_text(text);
  flush();
}

uint64_t service_client::send_call(const std::string& method, const std::string& params) {
  auto id = ++last_call_;
  send_text(R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":")" + method
            + R"(","params":)" + params + "}");
  return id;
}

std::optional<call_answer> service_client::take_answer(uint64_t id) {
  auto i = answers_.find(id);
  if (i == answers_.end())
    return std::nullopt;
  auto result = std::move(i->second);
  answers_.erase(i);
  return result;
}

call_answer service_client::call(const std::string& method, const std::string& params) {
  auto id = send_call(method, params);
  std::optional<call_answer> result;
  wait_for({this}, [&] { return !connected() || (result = take_answer(id)).has_value(); });
  return result.value_or(call_answer{"no answer", {}, {}, {}, {}});
}

std::string service_client::register_service(const std::string& name) {
  if (!pump(milliseconds{0})) // never connected, or its node was killed meanwhile
    REQUIRE(connect());
  auto answer = call("register_service", R"({"service":)" + quoted(name) + "}");
  REQUIRE_MESSAGE(answer.code.empty(), answer.code << ": " << answer.message);
  return answer.service;
}

call_answer service_client::invoke(const std::string& from, const std::string& target,
                                   const std::string& arguments, uint64_t expires_ms) {
  return call("invoke", R"({"timeout":)" + std::to_string(expires_ms) + R"(,"requesting_service":)"
                          + quoted(from) + R"(,"target":)" + quoted(target) + R"(,"arguments":)"
                          + arguments + "}");
}

bool service_client::pump(milliseconds time) {
  if (fd_ < 0)
    return false;
  pollfd x{fd_, POLLIN, 0};
  if (::poll(&x, 1, static_cast<int>(time.count())) != 1)
    return true;
  char buffer[64 * 1'024];
  auto n = ::recv(fd_, buffer, sizeof buffer, 0);
  if (n <= 0) {
    disconnect();
    return false;
  }
  codec_.receive({buffer, static_cast<size_t>(n)});
  while (auto event = codec_.next()) {
    if (auto text = std::get_if<http::text_message>(&*event)) {
      take_text(text->text);
    } else if (std::holds_alternative<http::opened>(*event)) {
      open_ = true;
    } else {
      disconnect();
      return false;
    }
  }
  flush();
  return connected();
}

void service_client::take_text(const std::string& text) {
  auto document = json::parse(text, text_limits);
  REQUIRE_MESSAGE(document, text);
  auto root = document->root();
  auto method = text_at(root, "method");
  if (method == "invoke" || method == "reply") {
    auto given = read_hand_over(root["params"]);
    if (gives_receipts)
      send_text(R"({"jsonrpc":"2.0","id":)" + std::string{root["id"].raw()} + R"(,"result":null})");
    (method == "invoke" ? invoked : outcomes).push_back(given);
    if (method == "invoke" && on_invoke)
      on_invoke(given);
    return;
  }
  if (auto id = root["id"].as_uint())
    answers_[*id] = read_answer(root);
  else
    texts.push_back(text);
}

bool wait_for(std::initializer_list<service_client*> clients, const std::function<bool()>& holds,
              milliseconds time) {
  auto deadline = std::chrono::steady_clock::now() + time;
  for (;;) {
    if (holds())
      return true;
    auto rest = left_until(deadline);
    if (rest.count() == 0)
      return false;
    std::vector<pollfd> fds;
    for (auto* x : clients)
      if (x->connected())
        fds.push_back({x->fd(), POLLIN, 0});
    ::poll(fds.data(), fds.size(), static_cast<int>(std::min(rest, turn).count()));
    for (auto* x : clients)
      x->pump(milliseconds{0});
  }
}

void make_echo(service_client& x) {
  x.on_invoke = [&x](const handed_over& given) {
    x.send_call("reply", R"({"transaction_id":")" + given.transaction_id + R"(","arguments":)"
                           + given.arguments + "}");
  };
}

const handed_over* outcome_of(const service_client& x, const std::string& transaction_id) {
  const handed_over* result = nullptr;
  for (auto& outcome : x.outcomes) {
    if (outcome.transaction_id != transaction_id)
      continue;
    CHECK_MESSAGE(result == nullptr, "two outcomes of " << transaction_id);
    result = &outcome;
  }
  return result;
}

} // namespace rvi::test
