// SPDX-License-Identifier: MPL-2.0

#include "runtime/signer/frame.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace rvi::signer::detail {

namespace {

constexpr size_t signature_size = 64;

caf::error failed(const char* what) {
  return caf::make_error(ec::io_failed, std::string{what} + ": " + std::strerror(errno));
}

int milliseconds_until(steady::time_point due) {
  auto left = std::chrono::ceil<std::chrono::milliseconds>(due - steady::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

} // namespace

descriptor& descriptor::operator=(descriptor&& x) noexcept {
  std::swap(fd_, x.fd_);
  return *this;
}

void descriptor::close() {
  if (fd_ >= 0)
    ::close(std::exchange(fd_, -1));
}

caf::error send_packet(int fd, std::string_view x) {
  // Not waiting: a peer that does not read gets no more.
  while (::send(fd, x.data(), x.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    if (errno != EINTR)
      return failed("sending");
  return {};
}

expected<std::string> receive_packet(int fd, size_t bytes_max, steady::time_point due) {
  std::string result(bytes_max, '\0');
  for (;;) {
    auto n = ::recv(fd, result.data(), result.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (n > 0 && static_cast<size_t>(n) > bytes_max)
      return caf::make_error(ec::limit_exceeded, "a packet of " + std::to_string(n) + " bytes");
    if (n > 0) {
      result.resize(static_cast<size_t>(n));
      return result;
    }
    if (n == 0)
      return caf::make_error(ec::link_down, std::string{"the connection ended"});
    if (errno != EAGAIN && errno != EINTR)
      return failed("receiving");
    pollfd waiting{fd, POLLIN, 0};
    if (::poll(&waiting, 1, milliseconds_until(due)) == 0 || steady::now() >= due)
      return caf::make_error(ec::timeout, std::string{"no answer"});
  }
}

std::string answer_of(const expected<std::string>& signature) {
  if (signature)
    return '\0' + *signature;
  auto result = std::string(1, static_cast<char>(code_of(signature.error())));
  return result + detail_of(signature.error()).substr(0, answer_bytes_max - 1);
}

expected<std::string> signature_in(std::string_view answer) {
  auto malformed
    = [] { return caf::make_error(ec::malformed, std::string{"an answer that is no signature"}); };
  if (answer.empty())
    return malformed();
  auto code = static_cast<uint8_t>(answer.front());
  answer.remove_prefix(1);
  if (code == 0 && answer.size() == signature_size)
    return std::string{answer};
  if (code == 0 || code > static_cast<uint8_t>(ec::internal))
    return malformed();
  return caf::make_error(ec{code}, std::string{answer});
}

} // namespace rvi::signer::detail
