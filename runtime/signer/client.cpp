// SPDX-License-Identifier: MPL-2.0

#include "runtime/signer/client.hpp"

#include "runtime/signer/frame.hpp"
#include "runtime/signer/purpose.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>

namespace rvi::signer {

namespace {

using detail::steady;
using namespace std::chrono_literals;

constexpr auto patience = std::chrono::milliseconds{patience_ms};
constexpr std::chrono::milliseconds backoff_min = 50ms;
constexpr std::chrono::milliseconds backoff_max = 2s;

class signer_key final : public crypto::external_key {
public:
  explicit signer_key(std::string path) : path_(std::move(path)) {}

  /// The first connection: whose key it is.
  expected<crypto::public_key> ask_for_key() {
    auto due = steady::now() + patience;
    for (;;) {
      auto err = connect(due);
      if (!err)
        return own_;
      // Both may have been started at the same moment.
      if (code_of(err) != ec::busy || steady::now() + backoff_min >= due)
        return err;
      std::this_thread::sleep_for(backoff_min);
    }
  }

  expected<std::string> sign(std::string_view message) const override {
    auto what = purpose_of(message, own_);
    if (!what)
      return std::move(what.error());
    auto due = steady::now() + patience;
    std::unique_lock lock{mutex_, std::defer_lock};
    if (!lock.try_lock_until(due))
      return away("it is still at work");
    auto request = std::string(1, static_cast<char>(*what)).append(message);
    // It may have been started anew since the last signature.
    if (connection_)
      if (auto answer = exchange(request, due))
        return detail::signature_in(*answer);
    if (auto err = reconnect(due))
      return err;
    auto answer = exchange(request, due);
    if (!answer)
      return note_failure(away(detail_of(answer.error())));
    return detail::signature_in(*answer);
  }

  std::string location() const override { return "signer " + path_; }

private:
  caf::error away(const std::string& why) const {
    return caf::make_error(ec::busy, location() + ": " + why);
  }

  /// A failed exchange ends the connection: its answer may yet come.
  expected<std::string> exchange(const std::string& request, steady::time_point due) const {
    auto err = detail::send_packet(connection_.get(), request);
    auto answer = err ? expected<std::string>{std::move(err)}
                      : detail::receive_packet(connection_.get(), detail::answer_bytes_max, due);
    if (!answer)
      connection_.close();
    else
      backoff_ = backoff_min;
    return answer;
  }

  caf::error note_failure(caf::error x) const {
    next_try_ = steady::now() + backoff_;
    backoff_ = std::min(backoff_ * 2, backoff_max);
    return x;
  }

  caf::error reconnect(steady::time_point due) const {
    if (steady::now() < next_try_)
      return away("it did not answer; tried again soon");
    auto err = connect(due);
    return err ? note_failure(std::move(err)) : err;
  }

  caf::error connect(steady::time_point due) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.empty() || path_.size() >= sizeof address.sun_path)
      return caf::make_error(ec::config_invalid, location() + ": a path has 1 to 107 bytes");
    std::memcpy(address.sun_path, path_.data(), path_.size());
    // Not waiting: a signer that does not accept has its queue full.
    detail::descriptor fd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      auto code = errno == EACCES ? ec::unauthenticated : ec::busy;
      return caf::make_error(code, location() + ": " + std::strerror(errno));
    }
    auto hello = detail::receive_packet(fd.get(), detail::answer_bytes_max, due);
    if (!hello && code_of(hello.error()) == ec::link_down)
      return caf::make_error(own_ ? ec::busy : ec::unauthenticated,
                             location() + ": it closed the connection; does it serve this user?");
    if (!hello)
      return away(detail_of(hello.error()));
    if (!hello->starts_with(detail::hello_label))
      return caf::make_error(ec::malformed, location() + ": is no signer");
    auto key = crypto::public_key::from_spki(hello->substr(detail::hello_label.size()));
    if (!key)
      return caf::make_error(ec::malformed, location() + ": is no signer");
    if (own_ && key->spki() != own_.spki())
      return caf::make_error(ec::unauthenticated,
                             location() + ": has another key now; start this node anew");
    if (!own_)
      own_ = std::move(*key);
    connection_ = std::move(fd);
    return {};
  }

  std::string path_;
  mutable crypto::public_key own_; // written once, by `ask_for_key`
  mutable std::timed_mutex mutex_; // guards what follows
  mutable detail::descriptor connection_;
  mutable steady::time_point next_try_;
  mutable std::chrono::milliseconds backoff_ = backoff_min;
};

} // namespace

expected<crypto::private_key> connect(const std::string& socket_path) {
  auto key = std::make_shared<signer_key>(socket_path);
  auto known = key->ask_for_key();
  if (!known)
    return std::move(known.error());
  return crypto::private_key::from_external(*known, key);
}

} // namespace rvi::signer
