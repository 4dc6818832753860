// SPDX-License-Identifier: MPL-2.0
//
// A WebSocket's bytes both ways.

#include "tools/node_stream.hpp"

#include "tools/node_socket.hpp"
#include "tools/times.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>

namespace rvi {

namespace {

constexpr size_t message_bytes_max = size_t{64} << 20; // a whole trace
constexpr size_t read_bytes = size_t{256} << 10;
constexpr int reads_in_a_row_max = 16; // so that writing gets its turn
constexpr uint64_t close_patience_ms = 500;

int poll_one(int fd, short events, uint64_t timeout_ms) {
  pollfd x{fd, events, 0};
  auto result = ::poll(&x, 1, int(std::min<uint64_t>(timeout_ms, 60'000)));
  return result < 0 && errno == EINTR ? 0 : result;
}

http::header_list headers_for(const node_endpoint& to) {
  if (to.token.empty())
    return {};
  return {{"Authorization", "Bearer " + to.token}};
}

caf::error write_all(int fd, std::string_view text, uint64_t deadline_ms) {
  while (!text.empty()) {
    auto n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (n > 0) {
      text.remove_prefix(size_t(n));
      continue;
    }
    auto now = steady_now_ms();
    if (errno != EAGAIN && errno != EINTR)
      return caf::make_error(ec::link_down, std::string{std::strerror(errno)});
    if (now >= deadline_ms)
      return caf::make_error(ec::timeout, std::string{"the node does not read"});
    poll_one(fd, POLLOUT, deadline_ms - now);
  }
  return {};
}

http::limits client_limits() {
  http::limits result;
  result.message_bytes_max = result.body_bytes_max = message_bytes_max;
  return result;
}

} // namespace

expected<std::string> fetch_metrics(const node_endpoint& from, uint64_t timeout_ms) {
  auto fd = connect_socket(from, timeout_ms);
  if (!fd)
    return std::move(fd.error());
  auto deadline = steady_now_ms() + timeout_ms;
  auto request = http::client_connection::encode_request("GET", "/metrics", from.host_header,
                                                         headers_for(from), {});
  if (auto error = write_all(fd->get(), request, deadline))
    return error;
  http::client_connection codec{client_limits()};
  std::vector<char> buffer(read_bytes);
  for (;;) {
    if (auto response = codec.next()) {
      if (response->status == 200)
        return std::move(response->body);
      return caf::make_error(ec::refused, "/metrics: HTTP " + std::to_string(response->status));
    }
    if (auto error = codec.failure())
      return error;
    auto now = steady_now_ms();
    if (now >= deadline)
      return caf::make_error(ec::timeout, std::string{"/metrics: no answer"});
    poll_one(fd->get(), POLLIN, deadline - now);
    auto n = ::recv(fd->get(), buffer.data(), buffer.size(), 0);
    if (n > 0)
      codec.receive({buffer.data(), size_t(n)});
    else if (n == 0)
      codec.transport_closed();
    else if (errno != EAGAIN && errno != EINTR)
      return caf::make_error(ec::link_down, std::string{std::strerror(errno)});
  }
}

node_stream::node_stream(descriptor fd, http::limits bounds) : fd_(std::move(fd)), codec_(bounds) {}

expected<node_stream> node_stream::open(const node_endpoint& to, uint64_t timeout_ms) {
  auto fd = connect_socket(to, timeout_ms);
  if (!fd)
    return std::move(fd.error());
  node_stream result{std::move(*fd), client_limits()};
  auto request = result.codec_.handshake(to.host_header, "/", headers_for(to));
  if (request.empty())
    return caf::make_error(ec::bad_request, to.place + ": no host name or token for HTTP");
  result.out_.assign(request.begin(), request.end());
  auto deadline = steady_now_ms() + timeout_ms;
  while (!result.opened_) {
    auto now = steady_now_ms();
    if (now >= deadline)
      return caf::make_error(ec::timeout, "the node at " + to.place + " does not answer");
    auto error = result.wait(deadline - now);
    auto early = result.next();
    if (result.opened_ && early)
      return caf::make_error(ec::malformed, std::string{"the node speaks before it is asked"});
    if (!error)
      continue;
    if (detail_of(error).find("HTTP 401") != std::string::npos)
      return caf::make_error(ec::unauthenticated,
                             "the node at " + to.place + " does not take this token");
    return caf::make_error(code_of(error), to.place + ": " + detail_of(error));
  }
  return result;
}

caf::error node_stream::ended() const {
  if (auto error = codec_.failure())
    return error;
  return caf::make_error(ec::link_down, std::string{"the node closed the connection"});
}

caf::error node_stream::flush() {
  for (;;) {
    if (written_ == out_.size()) {
      out_.clear();
      written_ = 0;
      codec_.take_output(out_);
      if (out_.empty())
        return {};
    }
    auto n = ::send(fd_.get(), out_.data() + written_, out_.size() - written_, MSG_NOSIGNAL);
    if (n >= 0)
      written_ += size_t(n);
    else if (errno == EAGAIN)
      return {};
    else if (errno != EINTR)
      return caf::make_error(ec::link_down, "the connection to the node ended: "
                                              + std::string{std::strerror(errno)});
  }
}

caf::error node_stream::read() {
  static thread_local std::vector<char> buffer(read_bytes);
  for (int i = 0; i < reads_in_a_row_max; ++i) {
    auto n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n == 0)
      return ended();
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      return {};
    if (n < 0)
      return caf::make_error(ec::link_down, "the connection to the node ended: "
                                              + std::string{std::strerror(errno)});
    codec_.receive({buffer.data(), size_t(n)});
    if (codec_.wants_close())
      return ended();
    if (size_t(n) < buffer.size())
      return {};
  }
  return {};
}

std::optional<std::string> node_stream::next() {
  while (auto event = codec_.next()) {
    if (std::holds_alternative<http::opened>(*event))
      opened_ = true;
    else if (auto text = std::get_if<http::text_message>(&*event))
      return std::move(text->text);
  }
  return std::nullopt;
}

caf::error node_stream::wait(uint64_t timeout_ms) {
  if (auto error = flush())
    return error;
  auto events = short(POLLIN | (wants_write() ? POLLOUT : 0));
  if (poll_one(fd_.get(), events, timeout_ms) <= 0)
    return {};
  if (auto error = read())
    return error;
  return flush();
}

void node_stream::close() {
  codec_.close(1000, "done");
  auto deadline = steady_now_ms() + close_patience_ms;
  for (auto now = steady_now_ms(); now < deadline; now = steady_now_ms()) {
    if (wait(deadline - now))
      break;
    while (next()) {
    }
  }
  fd_.reset();
}

} // namespace rvi
