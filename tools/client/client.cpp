// SPDX-License-Identifier: MPL-2.0
//
// Calls out and answers in, matched by id; deliveries in and receipts out.

#include "tools/client/rvi/client.hpp"

#include "messages/wire/service_frame.hpp"
#include "runtime/json/json.hpp"
#include "rvi.pb.h"
#include "tools/node_socket.hpp"
#include "tools/times.hpp"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace rvi {

namespace {

constexpr size_t frame_bytes_max = size_t{64} << 20; // a whole trace
constexpr size_t read_bytes = size_t{256} << 10;
constexpr int reads_in_a_row_max = 16; // so that writing gets its turn
constexpr size_t buffer_bytes_kept = size_t{1} << 20;
constexpr json::limits text_limits{frame_bytes_max, 64, 4'000'000};

using milliseconds = std::chrono::milliseconds;
using wire::ServiceFrame;

client::error error_of(const caf::error& x) {
  return {to_string(code_of(x)), detail_of(x), 0};
}

client::error link_down(std::string why) {
  return {to_string(ec::link_down), std::move(why), 0};
}

client::error error_of(const wire::ServiceError& x) {
  return {x.code(), x.message(), x.retry_after_ms()};
}

client::error error_of(json::value x) {
  auto text = [](json::value y) { return std::string{y.as_string().value_or("")}; };
  auto code = text(x["data"]["code"]);
  return {code.empty() ? to_string(ec::refused) : code, text(x["message"]),
          x["data"]["retry_after_ms"].as_uint().value_or(0)};
}

client::outcome view_of(const wire::Reply& x) {
  return {x.transaction_id(), x.status(),     x.target(),           x.arguments(),
          x.error(),          x.dispatched(), x.service_signature()};
}

void fill(wire::Invoke& out, const client::invocation& x) {
  out.set_target(x.target);
  out.set_arguments(x.arguments);
  out.set_requesting_service(x.requesting_service);
  out.set_timeout(x.timeout_ms);
  if (x.priority >= 0)
    out.set_priority(uint32_t(x.priority));
  out.set_channel(x.channel);
  out.set_durability(x.durable ? wire::FULL : wire::NONE);
  out.set_data_class(x.data_class);
  out.set_delivery_report(x.delivery_report);
  out.set_service_transaction_id(x.service_transaction_id);
  out.set_service_signature(x.service_signature);
  if (!x.on_behalf_of)
    return;
  auto& user = *out.mutable_on_behalf_of();
  user.set_user(x.on_behalf_of->name);
  user.set_role(x.on_behalf_of->role);
  user.set_authenticated(x.on_behalf_of->authenticated_ms);
  user.set_method(x.on_behalf_of->method);
}

using accepted_function = std::function<void(const client::error&, const client::accepted&)>;
using outcome_function = std::function<void(const client::error&, const client::outcome&)>;
using result_function = std::function<void(const client::error&, std::string_view)>;
using waiting = std::variant<client::done, accepted_function, outcome_function, result_function>;

} // namespace

struct client::state {
  explicit state(descriptor x) : fd(std::move(x)) { out += service_frame::preface; }

  uint64_t await(waiting&& function) {
    pending.emplace(++last_id, std::move(function));
    return last_id;
  }

  void invoke(const invocation& x, bool synch, waiting&& function);
  void fail_all(const error& why);
  error take_bytes(client& owner, std::string_view bytes);
  error take_frame(client& owner, const ServiceFrame& x);
  error take_text(client& owner, std::string_view text);
  void take_request(client& owner, uint64_t id, const wire::Invocation& x);

  descriptor fd;
  std::string out;
  size_t written = 0;
  wire::frame_reader in{frame_bytes_max};
  std::string first;    // of the node's preface
  bool greeted = false; // the node knows who we are
  uint64_t last_id = 0;
  std::unordered_map<uint64_t, waiting> pending;
  std::vector<char> buffer = std::vector<char>(read_bytes);
  ServiceFrame frame; // of an invoke that is being written; keeps its memory
};

namespace {

/// Ends a call that has no answer to give.
struct failed {
  const client::error& why;
  void operator()(const client::done& x) const {
    if (x)
      x(why);
  }
  void operator()(const accepted_function& x) const {
    if (x)
      x(why, {});
  }
  void operator()(const outcome_function& x) const {
    if (x)
      x(why, {});
  }
  void operator()(const result_function& x) const {
    if (x)
      x(why, {});
  }
};

client::error not_connected() {
  return link_down("not connected");
}

} // namespace

client::client() = default;
client::client(client&&) noexcept = default;
client& client::operator=(client&&) noexcept = default;

client::~client() {
  close();
}

bool client::connected() const {
  return state_ && state_->fd && state_->greeted;
}

void client::close() {
  if (!state_)
    return;
  state_->fd.reset();
  state_->fail_all(link_down("closed"));
}

void client::state::fail_all(const error& why) {
  for (auto calls = std::exchange(pending, {}); auto& [id, x] : calls)
    std::visit(failed{why}, x);
}

client::error client::connect(const address& to, milliseconds timeout) {
  close();
  auto deadline = steady_now_ms() + uint64_t(timeout.count());
  node_endpoint at;
  at.socket_path = to.socket_path;
  at.host = to.host;
  at.port = to.port;
  at.place = to.socket_path.empty() ? to.host + ":" + std::to_string(to.port) : to.socket_path;
  auto fd = connect_socket(at, uint64_t(timeout.count()));
  if (!fd)
    return error_of(fd.error());
  state_ = std::make_unique<state>(std::move(*fd));
  if (to.socket_path.empty())
    service_frame::append_hello(state_->out, to.token);
  while (!state_->greeted) {
    auto now = steady_now_ms();
    if (now >= deadline)
      return {to_string(ec::timeout), "the node at " + at.place + " does not answer", 0};
    if (auto why = wait(milliseconds{deadline - now}))
      return why;
  }
  return {};
}

// -- out ------------------------------------------------------------------------------------------

void client::state::invoke(const invocation& x, bool synch, waiting&& function) {
  frame.Clear();
  fill(*frame.mutable_invoke(), x);
  frame.mutable_invoke()->set_synch(synch);
  frame.set_id(await(std::move(function)));
  service_frame::append(out, frame);
}

void client::invoke(const invocation& x, accepted_function answered) {
  if (fd() < 0)
    return failed{not_connected()}(answered);
  state_->invoke(x, false, std::move(answered));
}

void client::invoke_synch(const invocation& x, outcome_function ended) {
  if (fd() < 0)
    return failed{not_connected()}(ended);
  state_->invoke(x, true, std::move(ended));
}

void client::reply(std::string_view transaction_id, std::string_view arguments, done answered) {
  if (fd() < 0)
    return failed{not_connected()}(answered);
  ServiceFrame frame;
  auto& x = *frame.mutable_reply();
  x.set_transaction_id(transaction_id.data(), transaction_id.size());
  x.set_arguments(arguments.data(), arguments.size());
  if (answered)
    frame.set_id(state_->await(std::move(answered)));
  service_frame::append(state_->out, frame);
}

void client::publish(std::string_view source, std::string_view target, std::string_view value,
                     uint64_t timeout_ms, bool retain, done answered) {
  if (fd() < 0)
    return failed{not_connected()}(answered);
  ServiceFrame frame;
  auto& x = *frame.mutable_publish();
  x.set_source(source.data(), source.size());
  x.set_target(target.data(), target.size());
  x.set_value(value.data(), value.size());
  x.set_timeout(timeout_ms);
  x.set_retain(retain);
  if (answered)
    frame.set_id(state_->await(std::move(answered)));
  service_frame::append(state_->out, frame);
}

void client::call(std::string_view method, std::string_view params, result_function answered) {
  if (fd() < 0)
    return failed{not_connected()}(answered);
  auto id = state_->await(std::move(answered));
  json::writer text;
  text.begin_object().member("jsonrpc", "2.0").member("id", id).member("method", method);
  text.key("params").raw(params).end_object();
  service_frame::append_json(state_->out, text.take());
}

void client::take(uint64_t delivery) {
  if (fd() < 0)
    return;
  ServiceFrame frame;
  frame.set_id(delivery);
  frame.mutable_taken();
  service_frame::append(state_->out, frame);
}

void client::refuse(uint64_t delivery, std::string_view error_object) {
  if (fd() < 0)
    return;
  ServiceFrame frame;
  frame.set_id(delivery);
  frame.mutable_refused()->set_error(error_object.data(), error_object.size());
  service_frame::append(state_->out, frame);
}

size_t client::outstanding() const {
  return state_ ? state_->pending.size() : 0;
}

// -- in -------------------------------------------------------------------------------------------

client::error client::state::take_bytes(client& owner, std::string_view bytes) {
  if (!greeted) {
    // Either its preface, or a frame that says why not.
    auto more = bytes.substr(0, service_frame::preface.size() - first.size());
    first += more;
    bytes.remove_prefix(more.size());
    if (first.size() < service_frame::preface.size())
      return {};
    greeted = first == service_frame::preface;
    if (!greeted && first.starts_with(service_frame::preface.substr(0, 7)))
      return {to_string(ec::protocol_mismatch), "the node speaks another version", 0};
    if (!greeted)
      in.append(first);
  }
  in.append(bytes);
  for (;;) {
    auto next = in.next();
    if (!next)
      return error_of(next.error());
    if (!*next)
      return {};
    ServiceFrame x;
    if (!x.ParseFromArray((*next)->data(), int((*next)->size())))
      return {to_string(ec::malformed), "a frame that does not parse", 0};
    if (auto why = take_frame(owner, x))
      return why;
  }
}

client::error client::state::take_frame(client& owner, const ServiceFrame& x) {
  switch (x.content_case()) {
    case ServiceFrame::kJson:
      return take_text(owner, x.json());
    case ServiceFrame::kInvocation:
      take_request(owner, x.id(), x.invocation());
      return {};
    case ServiceFrame::kEnded:
      if (owner.on_outcome)
        owner.on_outcome(view_of(x.ended()));
      owner.take(x.id());
      return {};
    case ServiceFrame::kMetric:
      if (owner.on_metric)
        owner.on_metric({x.metric().target(), x.metric().value(), x.metric().source(),
                         x.metric().published_ms()});
      return {};
    case ServiceFrame::kError:
      if (x.id() == 0) // about the connection itself
        return error_of(x.error());
      break;
    default:
      break;
  }
  auto call = pending.extract(x.id());
  if (!call)
    return {};
  auto& function = call.mapped();
  auto accepted_by = std::get_if<accepted_function>(&function);
  auto outcome_by = std::get_if<outcome_function>(&function);
  auto done_by = std::get_if<done>(&function);
  if (x.has_error())
    std::visit(failed{error_of(x.error())}, function);
  else if (x.has_invoked() && accepted_by && *accepted_by)
    (*accepted_by)({}, {x.invoked().transaction_id(), x.invoked().repeated()});
  else if (x.has_outcome() && outcome_by && *outcome_by)
    (*outcome_by)({}, view_of(x.outcome()));
  else if (x.has_done() && done_by && *done_by)
    (*done_by)({});
  return {};
}

client::error client::state::take_text(client& owner, std::string_view text) {
  auto document = json::parse(text, text_limits);
  if (!document)
    return error_of(document.error());
  auto root = document->root();
  if (auto method = root["method"].as_string()) {
    if (owner.on_notification)
      owner.on_notification(*method, root["params"].raw());
    return {};
  }
  auto call = pending.extract(root["id"].as_uint().value_or(0));
  if (!call)
    return {};
  auto why = root["error"] ? error_of(root["error"]) : error{};
  if (auto x = std::get_if<result_function>(&call.mapped()); x && *x)
    (*x)(why, why ? std::string_view{} : root["result"].raw());
  return {};
}

void client::state::take_request(client& owner, uint64_t id, const wire::Invocation& x) {
  if (!owner.on_request)
    return owner.refuse(id, R"({"code":-32601,"message":"nobody serves this here"})");
  user by;
  request it{
    id,      x.transaction_id(),   x.target(), x.requesting_service(), x.arguments(), x.timeout(),
    nullptr, x.service_signature()};
  if (x.has_on_behalf_of()) {
    auto& from = x.on_behalf_of();
    by = {from.user(), from.role(), from.authenticated(), from.method()};
    it.on_behalf_of = &by;
  }
  owner.on_request(it);
}

// -- the socket -----------------------------------------------------------------------------------

int client::fd() const {
  return state_ ? state_->fd.get() : -1;
}

bool client::wants_write() const {
  return state_ && state_->written < state_->out.size();
}

client::error client::flush() {
  if (!state_ || !state_->fd)
    return not_connected();
  auto& x = *state_;
  while (x.written < x.out.size()) {
    auto n = ::send(x.fd.get(), x.out.data() + x.written, x.out.size() - x.written, MSG_NOSIGNAL);
    if (n >= 0) {
      x.written += size_t(n);
      continue;
    }
    if (errno == EAGAIN)
      return {};
    if (errno != EINTR) // what the node said before it ended may be there
      return errno == EPIPE ? receive() : link_down(std::strerror(errno));
  }
  x.out.clear();
  x.written = 0;
  if (x.out.capacity() > buffer_bytes_kept)
    x.out.shrink_to_fit();
  return {};
}

client::error client::receive() {
  if (!state_ || !state_->fd)
    return not_connected();
  error why;
  for (int i = 0; i < reads_in_a_row_max && !why; ++i) {
    auto& buffer = state_->buffer;
    auto n = ::recv(state_->fd.get(), buffer.data(), buffer.size(), 0);
    if (n > 0)
      why = state_->take_bytes(*this, {buffer.data(), size_t(n)});
    else if (n == 0)
      why = link_down("the node closed the connection");
    else if (errno == EAGAIN)
      break;
    else if (errno != EINTR)
      why = link_down(std::strerror(errno));
    if (n > 0 && size_t(n) < buffer.size())
      break;
  }
  if (why) {
    state_->fd.reset();
    state_->fail_all(why);
  }
  return why;
}

client::error client::wait(milliseconds timeout) {
  if (auto why = flush())
    return why;
  pollfd x{fd(), short(POLLIN | (wants_write() ? POLLOUT : 0)), 0};
  if (::poll(&x, 1, int(timeout.count())) <= 0)
    return {};
  if ((x.revents & ~POLLOUT) != 0)
    if (auto why = receive())
      return why;
  return flush();
}

} // namespace rvi
