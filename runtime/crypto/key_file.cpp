// SPDX-License-Identifier: MPL-2.0
//
// Private keys on disk. A key that others could read or replace is refused, with the command that
// mends it; a new key is on the disk, name and all, before the function returns.

#include "runtime/crypto/crypto.hpp"
#include "runtime/crypto/key_state.hpp"
#include "runtime/crypto/pkcs11.hpp"

#include <cassert>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rvi::crypto {

namespace {

constexpr size_t key_file_bytes_max = 16 * 1024;

class descriptor {
public:
  explicit descriptor(int x) : fd_(x) {}
  ~descriptor() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }

private:
  int fd_;
};

struct secret_text {
  std::string text;
  ~secret_text() { detail::scrub(text); }
};

caf::error io_error(const std::string& path, const char* what) {
  return caf::make_error(ec::io_failed, path + ": " + what);
}

caf::error system_error(const std::string& path) {
  return io_error(path, std::strerror(errno));
}

/// A shell word.
std::string quoted(const std::string& x) {
  std::string result = "'";
  for (char c : x) {
    if (c == '\'')
      result += "'\\''";
    else
      result += c;
  }
  return result + "'";
}

caf::error check_owner_and_mode(const struct stat& x, const std::string& path) {
  if (!S_ISREG(x.st_mode))
    return io_error(path, "is not a regular file");
  if (x.st_uid != ::geteuid() && x.st_uid != 0)
    return caf::make_error(ec::file_unsafe, path + " belongs to another user; mend it with: chown "
                                              + std::to_string(::geteuid()) + " " + quoted(path));
  if ((x.st_mode & 077) != 0)
    return caf::make_error(ec::file_unsafe,
                           path + " is open to group or others; mend it with: chmod 600 "
                             + quoted(path));
  return {};
}

caf::error read_all(int fd, const std::string& path, std::string& out) {
  out.resize(key_file_bytes_max + 1);
  size_t size = 0;
  while (size < out.size()) {
    auto n = ::read(fd, out.data() + size, out.size() - size);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return system_error(path);
    if (n == 0)
      break;
    size += size_t(n);
  }
  if (size > key_file_bytes_max)
    return caf::make_error(ec::malformed, path + ": too large for a key");
  out.resize(size);
  return {};
}

caf::error write_all(int fd, const std::string& path, std::string_view x) {
  while (!x.empty()) {
    auto n = ::write(fd, x.data(), x.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return system_error(path);
    x.remove_prefix(size_t(n));
  }
  return ::fsync(fd) == 0 ? caf::error{} : system_error(path);
}

caf::error sync_directory_of(const std::string& path) {
  auto slash = path.rfind('/');
  auto directory = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  descriptor fd{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!fd || ::fsync(fd.get()) != 0)
    return system_error(directory);
  return {};
}

} // namespace

expected<std::string> load_secret_file(const std::string& path) {
  // Not blocking, or opening a FIFO would wait for its writer.
  descriptor fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status;
  if (!fd || ::fstat(fd.get(), &status) != 0)
    return system_error(path);
  if (auto error = check_owner_and_mode(status, path))
    return error;
  std::string result;
  if (auto error = read_all(fd.get(), path, result)) {
    detail::scrub(result);
    return error;
  }
  return result;
}

caf::error save_secret_file(const std::string& path, std::string_view text) {
  descriptor fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!fd)
    return system_error(path);
  auto error = write_all(fd.get(), path, text);
  if (!error)
    error = sync_directory_of(path);
  if (error)
    ::unlink(path.c_str()); // else a second try would find half a file in its way
  return error;
}

expected<private_key> load_private_key(const std::string& path) {
  if (is_token_uri(path))
    return load_token_key(path);
  auto text = load_secret_file(path);
  if (!text)
    return std::move(text.error());
  secret_text pem{std::move(*text)};
  auto result = private_key::from_pem(pem.text);
  if (!result)
    return caf::make_error(code_of(result.error()), path + ": " + detail_of(result.error()));
  return result;
}

caf::error save_private_key(const std::string& path, const private_key& key) {
  assert(key);
  secret_text pem{key.to_pem()};
  return save_secret_file(path, pem.text);
}

} // namespace rvi::crypto
