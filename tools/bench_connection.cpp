// SPDX-License-Identifier: MPL-2.0

#include "tools/bench_connection.hpp"

#include "runtime/json/json.hpp"
#include "tools/node_stream.hpp"
#include "tools/report.hpp"
#include "tools/stop_signal.hpp"
#include "tools/times.hpp"

#include <optional>

namespace rvi {

namespace {

constexpr json::limits text_limits{size_t{16} << 20, 64, 10'000};

caf::error from(const client::error& x) {
  return x ? caf::make_error(code_named(x.code), x.message) : caf::error{};
}

class frames_connection : public bench_connection {
public:
  static expected<std::unique_ptr<bench_connection>>
  open(const node_endpoint& to, uint64_t timeout_ms) {
    auto result = std::make_unique<frames_connection>();
    client::address at{to.socket_path, to.host, to.port, to.token};
    if (auto why = result->node_.connect(at, std::chrono::milliseconds{timeout_ms}))
      return from(why);
    auto self = result.get();
    self->node_.on_request = [self](const client::request& x) { self->on_request(x); };
    self->node_.on_outcome = [self](const client::outcome& x) { self->on_outcome(x); };
    self->node_.on_metric = [self](const client::metric& x) { self->on_metric(x); };
    return std::unique_ptr<bench_connection>{std::move(result)};
  }

  expected<std::string>
  ask(std::string_view method, std::string_view params, uint64_t timeout_ms) override {
    std::optional<expected<std::string>> answer;
    node_.call(method, params, [&](const client::error& why, std::string_view result) {
      if (why)
        answer = from(why);
      else
        answer = std::string{result};
    });
    auto deadline = steady_now_ms() + timeout_ms;
    while (!answer && steady_now_ms() < deadline && !stop_requested())
      if (auto why = node_.wait(std::chrono::milliseconds{100}); why && !answer)
        answer = from(why);
    if (!answer)
      return caf::make_error(ec::timeout, std::string{method} + ": no answer");
    return std::move(*answer);
  }

  void invoke(uint64_t sequence, const client::invocation& x) override {
    node_.invoke(x, [this, sequence](const client::error& why, const client::accepted& accepted) {
      on_answer(sequence, accepted.transaction_id, why.message);
    });
  }

  void publish(uint64_t sequence, std::string_view source, std::string_view topic,
               std::string_view value) override {
    node_.publish(source, topic, value, 0, false, [this, sequence](const client::error& why) {
      on_answer(sequence, {}, why.message);
    });
  }

  void take(uint64_t delivery) override { node_.take(delivery); }

  void reply(std::string_view transaction_id, std::string_view arguments) override {
    node_.reply(transaction_id, arguments, [this](const client::error& why) {
      if (why)
        on_reply_refused();
    });
  }

  int fd() const override { return node_.fd(); }
  bool wants_write() const override { return node_.wants_write(); }
  caf::error flush() override { return from(node_.flush()); }
  caf::error receive() override { return from(node_.receive()); }

private:
  client node_;
};

class json_connection : public bench_connection {
public:
  explicit json_connection(node_stream stream) : stream_(std::move(stream)) {}

  expected<std::string>
  ask(std::string_view method, std::string_view params, uint64_t timeout_ms) override {
    json::writer text;
    text.begin_object().member("jsonrpc", "2.0").member("id", uint64_t{0});
    text.member("method", method).key("params").raw(params).end_object();
    stream_.send(text.take());
    auto deadline = steady_now_ms() + timeout_ms;
    for (auto now = steady_now_ms(); now < deadline && !stop_requested(); now = steady_now_ms()) {
      if (auto error = stream_.wait(deadline - now))
        return error;
      auto answer = stream_.next();
      if (!answer)
        continue;
      auto document = json::parse(*answer);
      if (!document)
        return std::move(document.error());
      if (!document->root()["result"])
        return caf::make_error(ec::refused, std::string{method} + ": " + *answer);
      return std::string{document->root()["result"].raw()};
    }
    return caf::make_error(ec::timeout, std::string{method} + ": no answer");
  }

  void invoke(uint64_t sequence, const client::invocation& x) override {
    auto& text = scratch_;
    text.assign(R"({"jsonrpc":"2.0","id":)").append(std::to_string(sequence));
    text.append(R"(,"method":"invoke","params":{"timeout":)").append(std::to_string(x.timeout_ms));
    text.append(R"(,"requesting_service":")").append(x.requesting_service);
    text.append(R"(","target":")").append(x.target);
    text.append(R"(","durability":")").append(x.durable ? "full" : "none");
    text.append(R"(","arguments":)").append(x.arguments).append("}}");
    stream_.send(text);
  }

  void publish(uint64_t sequence, std::string_view source, std::string_view topic,
               std::string_view value) override {
    auto& text = scratch_;
    text.assign(R"({"jsonrpc":"2.0","id":)").append(std::to_string(sequence));
    text.append(R"(,"method":"publish","params":{"source":")").append(source);
    text.append(R"(","target":")").append(topic).append(R"(","value":)").append(value);
    stream_.send(text.append("}}"));
  }

  void take(uint64_t delivery) override {
    scratch_.assign(R"({"jsonrpc":"2.0","id":)").append(std::to_string(delivery));
    stream_.send(scratch_.append(R"(,"result":{"status":"ok"}})"));
  }

  void reply(std::string_view transaction_id, std::string_view arguments) override {
    scratch_.assign(R"({"jsonrpc":"2.0","id":"r)").append(std::to_string(++replies_));
    scratch_.append(R"(","method":"reply","params":{"transaction_id":")");
    scratch_.append(transaction_id).append(R"(","arguments":)").append(arguments);
    stream_.send(scratch_.append("}}"));
  }

  int fd() const override { return stream_.fd(); }
  bool wants_write() const override { return stream_.wants_write(); }
  caf::error flush() override { return stream_.flush(); }

  caf::error receive() override {
    auto error = stream_.read();
    while (auto text = stream_.next()) {
      auto document = json::parse(*text, text_limits);
      if (!document)
        return std::move(document.error());
      take_text(document->root());
    }
    return error;
  }

private:
  void take_text(json::value root) {
    auto params = root["params"];
    auto text = [&params](std::string_view name) {
      return params[name].as_string().value_or(std::string_view{});
    };
    auto id = root["id"].as_uint();
    auto method = root["method"].as_string();
    if (method == "invoke") {
      client::request x;
      x.delivery = id.value_or(0);
      x.transaction_id = text("transaction_id");
      x.arguments = params["arguments"].raw();
      on_request(x);
    } else if (method == "reply") {
      client::outcome x;
      x.transaction_id = text("transaction_id");
      x.status = text("status");
      x.arguments = params["arguments"].raw();
      on_outcome(x);
      take(id.value_or(0));
    } else if (method == "metric") {
      client::metric x;
      x.target = text("target");
      x.value = params["value"].raw();
      on_metric(x);
    } else if (!method && id) {
      on_answer(*id, root["result"]["transaction_id"].as_string().value_or(std::string_view{}),
                root["error"]["message"].as_string().value_or(std::string_view{}));
    } else if (!method && root["error"]) {
      on_reply_refused();
    }
  }

  node_stream stream_;
  std::string scratch_;
  uint64_t replies_ = 0;
};

} // namespace

expected<std::string>
bench_connection::register_service(std::string_view name, std::string_view durability_min,
                                   uint64_t timeout_ms) {
  json::writer params;
  params.begin_object().member("service", name).member("durability_min", durability_min);
  auto result = ask("register_service", params.end_object().take(), timeout_ms);
  if (!result)
    return result;
  auto text = json::parse(*result);
  if (!text)
    return std::move(text.error());
  return text_of(text->root()["service"]);
}

caf::error bench_connection::subscribe(std::string_view service, std::string_view pattern,
                                       uint64_t timeout_ms) {
  json::writer params;
  params.begin_object().member("requesting_service", service).member("target", pattern);
  auto result = ask("subscribe", params.end_object().take(), timeout_ms);
  return result ? caf::error{} : std::move(result.error());
}

expected<std::unique_ptr<bench_connection>>
bench_connection::open(const node_endpoint& to, bench_api api, uint64_t timeout_ms) {
  if (api == bench_api::frames)
    return frames_connection::open(to, timeout_ms);
  auto stream = node_stream::open(to, timeout_ms);
  if (!stream)
    return std::move(stream.error());
  return std::unique_ptr<bench_connection>{new json_connection{std::move(*stream)}};
}

} // namespace rvi
