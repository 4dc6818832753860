// SPDX-License-Identifier: MPL-2.0

#include "actors/sockets/datagrams.hpp"

#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/io/middleman.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/event_handler.hpp>
#include <caf/send.hpp>

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace rvi {

namespace {

using caf::io::network::default_multiplexer;
using caf::io::network::operation;

constexpr int reads_per_event_max = 64;
constexpr int open_batches_max = 4; // not yet dealt with; what comes then is dropped

caf::error failed(const char* what) {
  return caf::make_error(ec::io_failed, std::string{what} + ": " + std::strerror(errno));
}

template <class T>
bool set(const socket_fd& to, int level, int option, const T& x) {
  return ::setsockopt(to.get(), level, option, &x, sizeof x) == 0;
}

/// The group's address with a port.
socklen_t fill(sockaddr_storage& out, const ip_address& group, uint16_t port) {
  std::memset(&out, 0, sizeof out);
  if (group.v6) {
    auto& x = reinterpret_cast<sockaddr_in6&>(out);
    x.sin6_family = AF_INET6;
    x.sin6_port = htons(port);
    std::memcpy(&x.sin6_addr, group.bytes.data(), 16);
    return sizeof x;
  }
  auto& x = reinterpret_cast<sockaddr_in&>(out);
  x.sin_family = AF_INET;
  x.sin_port = htons(port);
  std::memcpy(&x.sin_addr, group.bytes.data(), 4);
  return sizeof x;
}

void read_source(datagram& out, const sockaddr_storage& from) {
  out.from.v6 = from.ss_family == AF_INET6;
  if (out.from.v6)
    std::memcpy(out.from.bytes.data(), &reinterpret_cast<const sockaddr_in6&>(from).sin6_addr, 16);
  else if (from.ss_family == AF_INET)
    std::memcpy(out.from.bytes.data(), &reinterpret_cast<const sockaddr_in&>(from).sin_addr, 4);
}

void read_destination(datagram& out, msghdr& head) {
  for (auto* c = CMSG_FIRSTHDR(&head); c != nullptr; c = CMSG_NXTHDR(&head, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      out.interface = static_cast<uint32_t>(info.ipi_ifindex);
      out.to_group = IN_MULTICAST(ntohl(info.ipi_addr.s_addr));
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      out.interface = info.ipi6_ifindex;
      out.to_group = IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
    }
  }
}

/// The first IPv4 address of an interface; all zero if it has none.
in_addr address_of(const socket_fd& socket, uint32_t interface) {
  ifreq x{};
  in_addr result{};
  if (if_indextoname(interface, x.ifr_name) == nullptr
      || ::ioctl(socket.get(), SIOCGIFADDR, &x) != 0 || x.ifr_addr.sa_family != AF_INET)
    return result;
  sockaddr_in own;
  std::memcpy(&own, &x.ifr_addr, sizeof own);
  return own.sin_addr;
}

} // namespace

// -- opening -------------------------------------------------------------------------------------

expected<shared_socket> open_netlink() {
  auto result = std::make_shared<socket_fd>(
    ::socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!*result)
    return failed("netlink");
  sockaddr_nl own{};
  own.nl_family = AF_NETLINK;
  own.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (::bind(result->get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0)
    return failed("netlink");
  return result;
}

caf::error send_netlink(const socket_fd& to, const std::string& request) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  auto sent = ::sendto(to.get(), request.data(), request.size(), 0,
                       reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
  return sent < 0 ? failed("netlink") : caf::error{};
}

expected<shared_socket> open_multicast(const std::string& group, uint16_t port) {
  auto address = parse_ip(group);
  if (!address)
    return caf::make_error(ec::io_failed, group + ": no IP address");
  auto result = std::make_shared<socket_fd>(
    ::socket(address->v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!*result)
    return failed("multicast");
  bool good = set(*result, SOL_SOCKET, SO_REUSEADDR, 1);
  if (address->v6) {
    good = good && set(*result, IPPROTO_IPV6, IPV6_V6ONLY, 1)
           && set(*result, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
           && set(*result, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1);
    set(*result, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0); // older kernels do not know it
  } else {
    good = good && set(*result, IPPROTO_IP, IP_PKTINFO, 1)
           && set(*result, IPPROTO_IP, IP_MULTICAST_TTL, 1)
           && set(*result, IPPROTO_IP, IP_MULTICAST_ALL, 0);
  }
  // Bound to the group and not to all addresses: what is sent to the node alone is never seen. Not
  // for IPv6, where such a group is one of a single interface; the receiver looks.
  sockaddr_storage own;
  auto size = fill(own, address->v6 ? ip_address{{}, true} : *address, port);
  if (!good || ::bind(result->get(), reinterpret_cast<const sockaddr*>(&own), size) != 0)
    return failed("multicast");
  return result;
}

caf::error join_group(const socket_fd& socket, const std::string& group, uint32_t interface) {
  auto address = parse_ip(group);
  if (!address)
    return caf::make_error(ec::io_failed, group + ": no IP address");
  group_req x{};
  x.gr_interface = interface;
  fill(x.gr_group, *address, 0);
  auto level = address->v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  if (!set(socket, level, MCAST_JOIN_GROUP, x) && errno != EADDRINUSE)
    return failed("joining a multicast group");
  return {};
}

caf::error send_to_group(const socket_fd& socket, const std::string& group, uint16_t port,
                         uint32_t interface, const std::string& bytes) {
  auto address = parse_ip(group);
  if (!address)
    return caf::make_error(ec::io_failed, group + ": no IP address");
  sockaddr_storage to;
  auto size = fill(to, *address, port);
  if (address->v6)
    reinterpret_cast<sockaddr_in6&>(to).sin6_scope_id = interface;
  // The system might take another interface's address as the source, and that one would be dialled.
  ip_mreqn over{};
  if (!address->v6)
    over.imr_address = address_of(socket, interface);
  over.imr_ifindex = static_cast<int>(interface);
  auto index = static_cast<int>(interface);
  bool good = address->v6 ? set(socket, IPPROTO_IPV6, IPV6_MULTICAST_IF, index)
                          : set(socket, IPPROTO_IP, IP_MULTICAST_IF, over);
  if (!good
      || ::sendto(socket.get(), bytes.data(), bytes.size(), 0,
                  reinterpret_cast<const sockaddr*>(&to), size)
           < 0)
    return failed("multicast");
  return {};
}

// -- reading -------------------------------------------------------------------------------------

class datagram_handler;

/// Where others find the handler; null once it is gone. Only the loop thread looks inside.
class datagram_place {
public:
  explicit datagram_place(default_multiplexer& loop) : loop(loop) {}
  default_multiplexer& loop;
  datagram_handler* handler = nullptr;
};

class datagram_handler : public caf::io::network::event_handler {
public:
  datagram_handler(std::shared_ptr<datagram_place> place, shared_socket socket, size_t bytes_max,
                   bool lossy, caf::actor_addr receiver)
    : event_handler(place->loop, socket->get()),
      place_(std::move(place)),
      socket_(std::move(socket)),
      buffer_(bytes_max + 1, '\0'),
      lossy_(lossy),
      receiver_(std::move(receiver)) {}

  ~datagram_handler() override {
    place_->handler = nullptr;
    fd_ = caf::io::network::invalid_native_socket; // socket_ closes it
  }

  void start() { backend().add(operation::read, fd(), this); }

  void stop() {
    backend().del(operation::read, fd(), this);
    if (eventbf() == 0) // the loop had not got to know it yet, and now will not
      delete this;
  }

  void handle_event(operation op) override {
    if (op != operation::read)
      return;
    auto batch = std::make_shared<datagram_batch>(open_);
    for (int i = 0; i < reads_per_event_max && read_one(*batch); ++i)
      ;
    auto receiver = caf::actor_cast<caf::actor>(receiver_);
    bool crowded = lossy_ && *open_ > open_batches_max;
    if (receiver && !crowded && (!batch->items.empty() || batch->overrun))
      caf::anon_send(receiver, std::move(batch));
  }

  void removed_from_loop(operation) override { delete this; }
  void graceful_shutdown() override { stop(); }

private:
  bool read_one(datagram_batch& out) {
    sockaddr_storage from{};
    alignas(cmsghdr) char control[256];
    iovec part{buffer_.data(), buffer_.size()};
    msghdr head{};
    head.msg_name = &from;
    head.msg_namelen = sizeof from;
    head.msg_iov = &part;
    head.msg_iovlen = 1;
    head.msg_control = control;
    head.msg_controllen = sizeof control;
    auto size = ::recvmsg(fd(), &head, 0);
    if (size < 0) {
      out.overrun = out.overrun || errno == ENOBUFS;
      return errno == EINTR || errno == ENOBUFS;
    }
    datagram x;
    x.bytes.assign(buffer_.data(), static_cast<size_t>(size));
    read_source(x, from);
    read_destination(x, head);
    out.items.push_back(std::move(x));
    return true;
  }

  std::shared_ptr<datagram_place> place_;
  shared_socket socket_;
  std::string buffer_;
  bool lossy_;
  caf::actor_addr receiver_;
  std::shared_ptr<std::atomic<int>> open_ = std::make_shared<std::atomic<int>>(0);
};

datagram_reader::datagram_reader(caf::actor_system& system, shared_socket socket, size_t bytes_max,
                                 bool lossy, caf::actor_addr receiver) {
  auto& loop = dynamic_cast<default_multiplexer&>(system.middleman().backend());
  place_ = std::make_shared<datagram_place>(loop);
  loop.post([place = place_, socket = std::move(socket), bytes_max, lossy,
             receiver = std::move(receiver)]() mutable {
    place->handler
      = new datagram_handler(place, std::move(socket), bytes_max, lossy, std::move(receiver));
    place->handler->start();
  });
}

datagram_reader& datagram_reader::operator=(datagram_reader&& x) noexcept {
  if (this != &x) {
    stop();
    place_ = std::move(x.place_);
  }
  return *this;
}

datagram_reader::~datagram_reader() {
  stop();
}

void datagram_reader::stop() {
  auto place = std::exchange(place_, nullptr);
  if (!place)
    return;
  auto& loop = place->loop;
  loop.post([place = std::move(place)] {
    if (place->handler)
      place->handler->stop();
  });
}

} // namespace rvi
