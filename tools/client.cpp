// SPDX-License-Identifier: MPL-2.0
//
// Calls out and answers in, matched by id; requests in and receipts out.

#include "tools/client.hpp"

#include "tools/report.hpp"
#include "tools/stop_signal.hpp"
#include "tools/times.hpp"

namespace rvi {

namespace {

constexpr json::limits answer_limits{size_t{64} << 20, 64, 4'000'000};

std::string request_text(uint64_t id, std::string_view method, std::string_view params) {
  std::string result = R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":")";
  result += method;
  result += R"(","params":)";
  result += params;
  result += '}';
  return result;
}

/// The node's error object as an error of ours.
caf::error error_of(json::value error) {
  auto code = code_named(error["data"]["code"].as_string().value_or(""));
  auto detail = text_of(error["message"]);
  if (auto retry_ms = error["data"]["retry_after_ms"].as_uint())
    detail += "; try again in " + std::to_string(*retry_ms) + " ms";
  return caf::make_error(code, std::move(detail));
}

} // namespace

expected<node_client> node_client::connect(const node_endpoint& to, uint64_t timeout_ms) {
  auto stream = node_stream::open(to, timeout_ms);
  if (!stream)
    return std::move(stream.error());
  return node_client{std::move(*stream)};
}

expected<node_answer>
node_client::call(std::string_view method, std::string_view params, uint64_t timeout_ms) {
  awaited_ = ++last_id_;
  answer_.reset();
  stream_.send(request_text(awaited_, method, params));
  auto deadline = steady_now_ms() + timeout_ms;
  while (!answer_) {
    auto now = steady_now_ms();
    if (stop_requested())
      return caf::make_error(ec::shutting_down, std::string{"interrupted"});
    if (now >= deadline)
      return caf::make_error(ec::timeout, "the node did not answer " + std::string{method}
                                            + " within " + std::to_string(timeout_ms) + " ms");
    auto error = step(deadline - now);
    if (error && !answer_)
      return error;
  }
  awaited_ = 0;
  node_answer result{std::move(*answer_), {}};
  answer_.reset();
  auto root = result.text.root();
  if (auto error = root["error"])
    return error_of(error);
  result.result = root["result"];
  return result;
}

void node_client::post(std::string_view method, std::string_view params,
                       std::function<void(const caf::error&)> done) {
  posted_[++last_id_] = std::move(done);
  stream_.send(request_text(last_id_, method, params));
}

void node_client::answer(std::string_view id) {
  stream_.send(R"({"jsonrpc":"2.0","id":)" + std::string{id} + R"(,"result":{"status":"ok"}})");
}

void node_client::refuse(std::string_view id, std::string_view error_object) {
  stream_.send(R"({"jsonrpc":"2.0","id":)" + std::string{id} + R"(,"error":)"
               + std::string{error_object} + "}");
}

caf::error node_client::receive() {
  auto error = stream_.read();
  take_texts();
  if (error)
    return error;
  return broken_;
}

caf::error node_client::step(uint64_t timeout_ms) {
  auto error = stream_.wait(timeout_ms);
  take_texts();
  if (error)
    return error;
  return broken_;
}

void node_client::take_texts() {
  while (auto text = stream_.next()) {
    auto document = json::parse(*text, answer_limits);
    if (document)
      take(std::move(*document));
    else
      broken_ = caf::make_error(ec::malformed, "the node's text: " + detail_of(document.error()));
  }
}

void node_client::take(json::document text) {
  auto root = text.root();
  if (auto method = root["method"].as_string()) {
    if (on_request)
      on_request({std::string{root["id"].raw()}, std::string{*method}, root["params"]});
    else if (root["id"])
      answer(root["id"].raw());
    return;
  }
  auto id = root["id"].as_uint().value_or(0);
  if (id != 0 && id == awaited_) {
    answer_ = std::move(text);
    return;
  }
  if (auto i = posted_.find(id); i != posted_.end()) {
    auto done = std::move(i->second);
    posted_.erase(i);
    auto error = root["error"];
    done(error ? error_of(error) : caf::error{});
  }
}

expected<node_client> connect_node(const node_options& options) {
  auto endpoint = find_node(options);
  if (!endpoint)
    return std::move(endpoint.error());
  return node_client::connect(*endpoint);
}

int fail_with_advice(std::string_view command, const caf::error& why, const node_options& options) {
  if (code_of(why) != ec::unreachable)
    return fail(command, why, advice_for(code_of(why)));
  auto endpoint = find_node(options);
  return fail(command, why, endpoint ? endpoint->start_hint : std::string{});
}

} // namespace rvi
