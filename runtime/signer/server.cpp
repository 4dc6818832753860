// SPDX-License-Identifier: MPL-2.0

#include "runtime/signer/server.hpp"

#include "runtime/observe/log.hpp"
#include "runtime/signer/frame.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <vector>

namespace rvi::signer {

namespace {

using detail::steady;

constexpr const char* component = "signer";
constexpr uint64_t refusals_told_max = 10; // in one interval; the rest are counted

class server {
public:
  explicit server(const server_options& options) : options_(options) {
    hello_.append(detail::hello_label).append(options.key.public_part().spki());
  }

  expected<server_counts> run();

private:
  void accept_one();
  /// False: the connection is over.
  bool answer(int fd);
  expected<std::string> sign(std::string_view request);
  void report();

  const server_options& options_;
  std::string hello_;
  std::vector<detail::descriptor> connections_;
  server_counts counts_;
  server_counts told_;
  steady::time_point next_report_ = steady::now();
};

bool same(const server_counts& x, const server_counts& y) {
  return x.drawn == y.drawn && x.refused == y.refused && x.failed == y.failed
         && x.strangers == y.strangers;
}

void server::report() {
  next_report_ = steady::now() + std::chrono::seconds{options_.report_interval_s};
  if (same(counts_, told_))
    return;
  told_ = counts_;
  auto drawn = [this](purpose x) { return counts_.drawn[static_cast<size_t>(x)]; };
  log::info(component, "signatures so far",
            {{"batch_root", drawn(purpose::batch_root)},
             {"authorize", drawn(purpose::authorize)},
             {"announcement", drawn(purpose::announcement)},
             {"tls_server", drawn(purpose::tls_server)},
             {"tls_client", drawn(purpose::tls_client)},
             {"certificate", drawn(purpose::certificate)},
             {"grant", drawn(purpose::grant)},
             {"service", drawn(purpose::service)},
             {"refused", counts_.refused},
             {"failed", counts_.failed},
             {"strangers", counts_.strangers}});
}

void server::accept_one() {
  detail::descriptor fd{
    ::accept4(options_.listening_fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
  if (!fd)
    return; // gone again, or no descriptor is free: then those that are up go on
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0
      || who.uid != options_.peer) {
    if (++counts_.strangers - told_.strangers <= refusals_told_max)
      log::warning(component, "a connection of another user is refused",
                   {{"uid", who.uid}, {"serves_uid", options_.peer}});
    return;
  }
  if (connections_.size() >= options_.connections_max) {
    log::warning(component, "too many connections; the oldest goes",
                 {{"connections", connections_.size()}});
    connections_.erase(connections_.begin());
  }
  if (!detail::send_packet(fd.get(), hello_))
    connections_.push_back(std::move(fd));
}

expected<std::string> server::sign(std::string_view request) {
  auto asked = purpose{static_cast<uint8_t>(request.front())};
  auto input = request.substr(1);
  auto found = purpose_of(input, options_.key.public_part());
  if (found && *found != asked)
    found = caf::make_error(ec::bad_request, std::string{"not to be signed: it is no "}
                                               + to_string(asked) + " but a " + to_string(*found));
  if (!found) {
    if (++counts_.refused - told_.refused <= refusals_told_max)
      log::warning(component, "refused",
                   {{"purpose", to_string(asked)},
                    {"reason", detail_of(found.error())},
                    {"bytes", input.size()}});
    return std::move(found.error());
  }
  auto result = options_.key.sign(input);
  if (result)
    ++counts_.drawn[static_cast<size_t>(*found)];
  else if (++counts_.failed - told_.failed <= refusals_told_max)
    log::warning(component, "the key did not sign", {{"reason", describe(result.error())}});
  if (*found != purpose::batch_root && *found != purpose::announcement)
    log::debug(component, "signed", {{"purpose", to_string(*found)}});
  return result;
}

bool server::answer(int fd) {
  auto request = detail::receive_packet(fd, 1 + input_bytes_max, steady::now());
  if (!request) {
    if (code_of(request.error()) == ec::limit_exceeded) {
      if (++counts_.refused - told_.refused <= refusals_told_max)
        log::warning(component, "refused", {{"reason", detail_of(request.error())}});
    }
    return code_of(request.error()) == ec::timeout;
  }
  return !detail::send_packet(fd, detail::answer_of(sign(*request)));
}

expected<server_counts> server::run() {
  std::vector<pollfd> waiting;
  for (;;) {
    waiting.assign({{options_.stop_fd, POLLIN, 0}, {options_.listening_fd, POLLIN, 0}});
    for (auto& x : connections_)
      waiting.push_back({x.get(), POLLIN, 0});
    auto n = ::poll(waiting.data(), waiting.size(), options_.report_interval_s * 1'000);
    if (n < 0 && errno != EINTR)
      return caf::make_error(ec::io_failed, std::string{"poll: "} + std::strerror(errno));
    if (steady::now() >= next_report_)
      report();
    if (n <= 0)
      continue;
    if (waiting[0].revents != 0)
      break;
    if ((waiting[1].revents & (POLLERR | POLLNVAL)) != 0)
      return caf::make_error(ec::io_failed, std::string{"the listening socket failed"});
    std::vector<detail::descriptor> kept;
    for (size_t i = 0; i < connections_.size(); ++i)
      if (waiting[i + 2].revents == 0 || answer(connections_[i].get()))
        kept.push_back(std::move(connections_[i]));
    connections_ = std::move(kept);
    if (waiting[1].revents != 0)
      accept_one();
  }
  report();
  return counts_;
}

} // namespace

expected<server_counts> serve(const server_options& options) {
  return server{options}.run();
}

} // namespace rvi::signer
