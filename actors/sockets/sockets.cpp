// SPDX-License-Identifier: MPL-2.0
//
// Opening sockets that listen. Nothing here runs in the loop.

#include "actors/sockets/sockets.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace rvi {

namespace {

constexpr int backlog = 1'024;

caf::error failed(const std::string& what, int error) {
  return caf::make_error(ec::io_failed, what + ": " + std::strerror(error));
}

std::string without_brackets(const std::string& x) {
  if (x.size() > 2 && x.front() == '[' && x.back() == ']')
    return x.substr(1, x.size() - 2);
  return x;
}

/// Zero length: no IP literal.
socklen_t fill_address(sockaddr_storage& out, const std::string& literal, uint16_t port) {
  std::memset(&out, 0, sizeof out);
  auto& v4 = reinterpret_cast<sockaddr_in&>(out);
  if (inet_pton(AF_INET, literal.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return sizeof v4;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
  if (inet_pton(AF_INET6, literal.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    return sizeof v6;
  }
  return 0;
}

uint16_t port_of(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0)
    return 0;
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                           : reinterpret_cast<sockaddr_in&>(bound).sin_port);
}

bool fill_address(sockaddr_un& out, const std::string& path) {
  std::memset(&out, 0, sizeof out);
  out.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof out.sun_path || path.find('\0') != path.npos)
    return false;
  std::memcpy(out.sun_path, path.data(), path.size());
  return true;
}

/// Whether a process listens on the socket file.
bool answers(const sockaddr_un& address, int type) {
  socket_fd probe{::socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  auto generic = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(probe.get(), generic, sizeof address) == 0)
    return true;
  return errno != ECONNREFUSED && errno != ENOENT; // EAGAIN: so busy that its backlog is full
}

caf::error clear_stale(const std::string& path, const sockaddr_un& address, int type) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0)
    return errno == ENOENT ? caf::error{} : failed(path, errno);
  if (!S_ISSOCK(found.st_mode))
    return caf::make_error(ec::io_failed, path + ": exists and is no socket");
  if (answers(address, type))
    return caf::make_error(ec::io_failed, path + ": somebody already listens there");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return failed(path, errno);
  return {};
}

caf::error make_folder(const std::string& path) {
  auto folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty() || ::mkdir(folder.c_str(), 0750) == 0 || errno == EEXIST)
    return {};
  return failed("cannot make the folder " + folder, errno);
}

} // namespace

socket_fd& socket_fd::operator=(socket_fd&& x) noexcept {
  if (this != &x) {
    if (fd_ >= 0)
      ::close(fd_);
    fd_ = x.release();
  }
  return *this;
}

socket_fd::~socket_fd() {
  if (fd_ >= 0)
    ::close(fd_);
}

int socket_fd::release() {
  auto result = fd_;
  fd_ = -1;
  return result;
}

// The file goes first: a process that starts in between then finds nothing, and not a file that is
// about to be removed.
listening_socket::~listening_socket() {
  struct stat found {};
  if (path.empty() || !fd || ::lstat(path.c_str(), &found) != 0)
    return;
  if (found.st_dev == device && found.st_ino == file_number)
    ::unlink(path.c_str());
}

std::optional<ip_address> local_address(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0)
    return std::nullopt;
  ip_address result;
  if (bound.ss_family == AF_INET) {
    std::memcpy(result.bytes.data(), &reinterpret_cast<sockaddr_in&>(bound).sin_addr, 4);
    return result;
  }
  if (bound.ss_family != AF_INET6)
    return std::nullopt;
  auto& v6 = reinterpret_cast<sockaddr_in6&>(bound).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    std::memcpy(result.bytes.data(), v6.s6_addr + 12, 4);
    return result;
  }
  result.v6 = true;
  std::memcpy(result.bytes.data(), &v6, 16);
  return result;
}

expected<listening_socket_ptr> listen_tcp(const std::string& address, uint16_t port) {
  auto where = address + " port " + std::to_string(port);
  auto literal = address == "localhost" ? std::string{"127.0.0.1"} : without_brackets(address);
  sockaddr_storage storage;
  auto size = fill_address(storage, literal, port);
  if (size == 0)
    return caf::make_error(ec::io_failed, "cannot listen on " + where + ": not an IP address");
  auto result = std::make_shared<listening_socket>();
  result->fd
    = socket_fd{::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (!result->fd)
    return failed("cannot listen on " + where, errno);
  int one = 1;
  // A restarted node need not wait for old connections to time out.
  ::setsockopt(result->fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  auto generic = reinterpret_cast<const sockaddr*>(&storage);
  if (::bind(result->fd.get(), generic, size) != 0 || ::listen(result->fd.get(), backlog) != 0)
    return failed("cannot listen on " + where, errno);
  result->port = port_of(result->fd.get());
  return result;
}

expected<listening_socket_ptr> listen_unix(const std::string& path, unix_socket kind) {
  auto type = kind == unix_socket::stream_0660 ? SOCK_STREAM : SOCK_SEQPACKET;
  auto mode = kind == unix_socket::stream_0660 ? mode_t{0660} : mode_t{0600};
  sockaddr_un address;
  if (!fill_address(address, path))
    return caf::make_error(ec::io_failed,
                           "cannot listen on '" + path + "': empty or over 107 bytes");
  if (auto error = make_folder(path))
    return error;
  if (auto error = clear_stale(path, address, type))
    return error;
  auto result = std::make_shared<listening_socket>();
  result->fd = socket_fd{::socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (!result->fd)
    return failed("cannot listen on " + path, errno);
  // The file is born with this mode less the umask, never wider; chmod gives back what that took.
  ::fchmod(result->fd.get(), mode);
  auto generic = reinterpret_cast<const sockaddr*>(&address);
  if (::bind(result->fd.get(), generic, sizeof address) != 0)
    return failed("cannot listen on " + path, errno);
  struct stat made {};
  if (::lstat(path.c_str(), &made) != 0 || ::chmod(path.c_str(), mode) != 0)
    return failed("cannot listen on " + path, errno);
  result->path = path;
  result->device = made.st_dev;
  result->file_number = made.st_ino;
  if (::listen(result->fd.get(), backlog) != 0)
    return failed("cannot listen on " + path, errno);
  return result;
}

} // namespace rvi
