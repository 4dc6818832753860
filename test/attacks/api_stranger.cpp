// SPDX-License-Identifier: MPL-2.0

#include "test/attacks/api_stranger.hpp"

#include "runtime/json/json.hpp"

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace rvi::test {

api_stranger::api_stranger(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

api_stranger::api_stranger(const std::string& socket_path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

api_stranger::~api_stranger() {
  ::close(fd_);
}

void api_stranger::send(std::string_view bytes) {
  while (!bytes.empty()) {
    auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0)
      return; // refused before the end; the answer may be there
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

http::response api_stranger::answer() {
  std::optional<http::response> result;
  char buffer[16 * 1'024];
  while (!(result = codec_.next()) && !codec_.failure()) {
    pollfd x{fd_, POLLIN, 0};
    auto ready = ::poll(&x, 1, static_cast<int>(node_patience.count()));
    auto n = ready == 1 ? ::recv(fd_, buffer, sizeof buffer, 0) : 0;
    if (n <= 0)
      break;
    codec_.receive({buffer, static_cast<size_t>(n)});
  }
  return result.value_or(http::response{});
}

http::response api_stranger::request(std::string_view method, std::string_view target,
                                     const http::header_list& headers, std::string_view body) {
  send(http::client_connection::encode_request(method, target, "localhost", headers, body));
  return answer();
}

http::response
api_stranger::call(std::string_view token, const std::string& method, const std::string& params) {
  http::header_list headers{{"Content-Type", "application/json"}};
  if (!token.empty())
    headers.emplace_back("Authorization", "Bearer " + std::string{token});
  return request("POST", "/", headers,
                 R"({"jsonrpc":"2.0","id":1,"method":")" + method + R"(","params":)" + params
                   + "}");
}

std::string api_stranger::code_of_call(std::string_view token, const std::string& method,
                                       const std::string& params) {
  auto x = call(token, method, params);
  REQUIRE_MESSAGE(x.status == 200, x.body);
  auto text = json::parse(x.body);
  REQUIRE(text);
  return std::string{text->root()["error"]["data"]["code"].as_string().value_or("")};
}

bool api_stranger::says(std::string_view part) {
  std::string said;
  while (said.find(part) == said.npos) {
    pollfd x{fd_, POLLIN, 0};
    char buffer[16 * 1'024];
    auto ready = ::poll(&x, 1, static_cast<int>(node_patience.count()));
    auto n = ready == 1 ? ::recv(fd_, buffer, sizeof buffer, 0) : 0;
    if (n <= 0)
      return false;
    said.append(buffer, static_cast<size_t>(n));
  }
  return true;
}

std::optional<std::string> api_stranger::rest(milliseconds time) {
  std::string result;
  auto deadline = wall_ms() + static_cast<uint64_t>(time.count());
  for (;;) {
    auto now = wall_ms();
    pollfd x{fd_, POLLIN, 0};
    if (now >= deadline || ::poll(&x, 1, static_cast<int>(deadline - now)) != 1)
      return std::nullopt;
    char buffer[16 * 1'024];
    auto n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0)
      return result;
    result.append(buffer, static_cast<size_t>(n));
  }
}

} // namespace rvi::test
