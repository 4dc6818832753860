// SPDX-License-Identifier: MPL-2.0

#include "tools/node_socket.hpp"

#include "tools/times.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace rvi {

namespace {

caf::error unreachable(const node_endpoint& to, int code) {
  std::string why = "no node answers at " + to.place + ": " + std::strerror(code);
  if (code == EACCES || code == EPERM)
    why += "; the socket belongs to the node's user and group";
  return caf::make_error(ec::unreachable, std::move(why));
}

int poll_one(int fd, short events, uint64_t timeout_ms) {
  pollfd x{fd, events, 0};
  auto result = ::poll(&x, 1, int(std::min<uint64_t>(timeout_ms, 60'000)));
  return result < 0 && errno == EINTR ? 0 : result;
}

/// Connects; the result is 0 or an errno.
int connect_within(int fd, const sockaddr* address, socklen_t size, uint64_t timeout_ms) {
  if (::connect(fd, address, size) == 0)
    return 0;
  if (errno != EINPROGRESS)
    return errno;
  auto deadline = steady_now_ms() + timeout_ms;
  for (auto now = steady_now_ms(); now < deadline; now = steady_now_ms()) {
    if (poll_one(fd, POLLOUT, deadline - now) <= 0)
      continue;
    int code = 0;
    socklen_t length = sizeof code;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length);
    return code;
  }
  return ETIMEDOUT;
}

expected<descriptor> connect_unix(const node_endpoint& to, uint64_t timeout_ms) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (to.socket_path.size() >= sizeof address.sun_path)
    return caf::make_error(ec::bad_request, to.socket_path + ": a socket's path has at most "
                                              + std::to_string(sizeof address.sun_path - 1)
                                              + " bytes");
  std::memcpy(address.sun_path, to.socket_path.c_str(), to.socket_path.size() + 1);
  descriptor fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (!fd)
    return caf::make_error(ec::io_failed, std::string{std::strerror(errno)});
  auto code
    = connect_within(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address, timeout_ms);
  if (code != 0)
    return unreachable(to, code);
  return fd;
}

expected<descriptor> connect_tcp(const node_endpoint& to, uint64_t timeout_ms) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  auto port = std::to_string(to.port);
  if (auto code = ::getaddrinfo(to.host.c_str(), port.c_str(), &wanted, &found))
    return caf::make_error(ec::unreachable, to.place + ": " + ::gai_strerror(code));
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> guard{found, &::freeaddrinfo};
  int code = EHOSTUNREACH;
  for (auto x = found; x; x = x->ai_next) {
    descriptor fd{::socket(x->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd)
      continue;
    code = connect_within(fd.get(), x->ai_addr, x->ai_addrlen, timeout_ms);
    if (code != 0)
      continue;
    int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
  }
  return unreachable(to, code);
}

} // namespace

expected<descriptor> connect_socket(const node_endpoint& to, uint64_t timeout_ms) {
  return to.socket_path.empty() ? connect_tcp(to, timeout_ms) : connect_unix(to, timeout_ms);
}

} // namespace rvi
