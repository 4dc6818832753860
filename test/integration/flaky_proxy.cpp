// SPDX-License-Identifier: MPL-2.0
//
// One thread and one poll loop; a turn at least every millisecond while something is due.

#include "test/integration/flaky_proxy.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <chrono>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace rvi::test {

namespace {

constexpr size_t waiting_max = size_t{256} << 10; // then the sender is not read any more
constexpr uint64_t handshake_bytes = 4'000;       // about what TLS and Authorize take
constexpr uint64_t life_bytes = 60'000;
constexpr uint64_t life_us = 200'000;

uint64_t now_us() {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return uint64_t(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  result.sin_port = htons(port);
  return result;
}

void prepare(int fd) {
  int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
}

} // namespace

flaky_proxy::flaky_proxy(uint16_t port, uint64_t seed) : to_port_(port), engine_(seed) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  auto address = loopback(0);
  socklen_t size = sizeof address;
  auto generic = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(::bind(listener_, generic, size) == 0);
  REQUIRE(::listen(listener_, 64) == 0);
  REQUIRE(::getsockname(listener_, generic, &size) == 0);
  own_port_ = ntohs(address.sin_port);
  thread_ = std::thread{[this] { run(); }};
}

flaky_proxy::~flaky_proxy() {
  stopped_ = true;
  thread_.join();
  for (auto& x : connections_)
    end(x);
  ::close(listener_);
}

void flaky_proxy::run() {
  std::vector<pollfd> polled;
  while (!stopped_) {
    polled.assign(1, {listener_, POLLIN, 0});
    for (auto& x : connections_)
      for (auto* d : {&x.there, &x.back}) {
        bool reads = d->waiting.size() < waiting_max;
        polled.push_back({d->from, short(reads ? POLLIN : 0), 0});
      }
    ::poll(polled.data(), polled.size(), 1);
    auto now = now_us();
    size_t at = 1;
    for (auto& x : connections_) {
      for (auto* d : {&x.there, &x.back})
        if (polled[at++].revents != 0)
          receive(x, *d, now);
      misbehave(x, now);
      for (auto* d : {&x.there, &x.back})
        forward(x, *d, now);
      if (x.ended)
        end(x);
    }
    connections_.remove_if([](const connection& x) { return x.ended; });
    if (polled[0].revents != 0)
      take_one(now);
  }
}

void flaky_proxy::take_one(uint64_t now_us) {
  int from = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (from < 0)
    return;
  int to = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto address = loopback(to_port_);
  if (::connect(to, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(from);
    ::close(to);
    return;
  }
  prepare(from);
  prepare(to);
  auto& x = connections_.emplace_back();
  x.there.from = x.back.to = from;
  x.there.to = x.back.from = to;
  ++counts_.connections;
  if (!healed_)
    draw_fault(x, now_us);
}

void flaky_proxy::draw_fault(connection& x, uint64_t now_us) {
  auto chance = random(1'000);
  // What leaves both ends waiting costs them their keepalive, so it is rare.
  if (chance < 2)
    x.what = fault::half_open;
  else if (chance < 10)
    x.what = fault::lost;
  else if (chance < 200)
    x.what = fault::delayed;
  else if (chance < 600)
    x.what = fault::closed;
  else
    x.what = fault::cut;
  // A third ends within the handshake, the others at any point of a session.
  x.fault_bytes = random(3) == 0 ? random(handshake_bytes) : random(life_bytes);
  x.fault_us = now_us + random(life_us);
  if (x.what == fault::delayed)
    x.delay_us = random(3'000);
}

void flaky_proxy::misbehave(connection& x, uint64_t now_us) {
  if (healed_ && x.what != fault::none) {
    x.ended = true;
    return;
  }
  if (x.what == fault::none || x.fault_us == 0 || (now_us < x.fault_us && x.bytes < x.fault_bytes))
    return;
  x.fault_us = 0;
  auto one_way = random(3); // both, there, back
  switch (x.what) {
    case fault::half_open:
      ++counts_.half_open;
      x.there.silent = one_way != 2;
      x.back.silent = one_way != 1;
      break;
    case fault::lost:
      ++counts_.lost;
      (one_way == 1 ? x.there : x.back).to_be_lost = 1 + random(2'000);
      break;
    case fault::delayed:
      ++counts_.delayed;
      break;
    case fault::closed:
      ++counts_.closed;
      break;
    default:
      ++counts_.cut;
      x.reset = true;
  }
  if (x.what != fault::half_open && x.what != fault::lost)
    x.ended = true;
}

void flaky_proxy::receive(connection& x, direction& d, uint64_t now_us) {
  char buffer[64 * 1'024];
  auto n = ::recv(d.from, buffer, sizeof buffer, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
    x.ended = true;
    return;
  }
  if (n < 0 || d.silent)
    return;
  auto lost = std::min(d.to_be_lost, size_t(n));
  d.to_be_lost -= lost;
  if (d.waiting.empty())
    d.due_us = now_us + x.delay_us;
  d.waiting.append(buffer + lost, size_t(n) - lost);
}

void flaky_proxy::forward(connection& x, direction& d, uint64_t now_us) {
  if (d.waiting.empty() || d.silent || now_us < d.due_us)
    return;
  auto n = ::send(d.to, d.waiting.data(), d.waiting.size(), MSG_NOSIGNAL);
  if (n > 0) {
    d.waiting.erase(0, size_t(n));
    x.bytes += uint64_t(n);
  } else if (errno != EAGAIN && errno != EINTR) {
    x.ended = true;
  }
}

void flaky_proxy::end(connection& x) {
  for (int fd : {x.there.from, x.there.to}) {
    if (fd < 0)
      continue;
    if (x.reset) {
      linger now{1, 0};
      ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    ::close(fd);
  }
  x.there.from = x.there.to = -1;
}

} // namespace rvi::test
