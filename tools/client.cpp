// SPDX-License-Identifier: MPL-2.0

#include "tools/client.hpp"

#include "tools/report.hpp"
#include "tools/stop_signal.hpp"
#include "tools/times.hpp"

#include <optional>

namespace rvi {

namespace {

constexpr json::limits answer_limits{size_t{64} << 20, 64, 4'000'000};

} // namespace

caf::error error_from(const client::error& x) {
  if (!x)
    return {};
  auto detail = x.message;
  if (x.retry_after_ms != 0)
    detail += "; try again in " + std::to_string(x.retry_after_ms) + " ms";
  return caf::make_error(code_named(x.code), std::move(detail));
}

expected<node_client> node_client::connect(const node_endpoint& to, uint64_t timeout_ms) {
  auto node = std::make_unique<client>();
  auto why = node->connect({to.socket_path, to.host, to.port, to.token},
                           std::chrono::milliseconds{timeout_ms});
  if (!why)
    return node_client{std::move(node)};
  if (why.code == to_string(ec::unauthenticated))
    why.message = "the node at " + to.place + " does not take this token";
  return error_from(why);
}

expected<node_answer>
node_client::call(std::string_view method, std::string_view params, uint64_t timeout_ms) {
  // Shared with an answer that comes when nobody waits any more.
  auto answer = std::make_shared<std::optional<expected<node_answer>>>();
  node_->call(method, params, [answer](const client::error& why, std::string_view result) {
    if (why) {
      answer->emplace(error_from(why));
      return;
    }
    auto text = json::parse(result, answer_limits);
    if (!text) {
      answer->emplace(std::move(text.error()));
      return;
    }
    node_answer x{std::move(*text), {}};
    x.result = x.text.root();
    answer->emplace(std::move(x));
  });
  auto deadline = steady_now_ms() + timeout_ms;
  while (!*answer) {
    auto now = steady_now_ms();
    if (stop_requested())
      return caf::make_error(ec::shutting_down, std::string{"interrupted"});
    if (now >= deadline)
      return caf::make_error(ec::timeout, "the node did not answer " + std::string{method}
                                            + " within " + std::to_string(timeout_ms) + " ms");
    auto error = step(deadline - now);
    if (error && !*answer)
      return error;
  }
  return std::move(**answer);
}

caf::error node_client::step(uint64_t timeout_ms) {
  return error_from(node_->wait(std::chrono::milliseconds{timeout_ms}));
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
