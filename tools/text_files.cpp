// SPDX-License-Identifier: MPL-2.0
//
// Small files whole.

#include "tools/text_files.hpp"

#include "tools/descriptor.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rvi {

namespace {

caf::error system_error(const std::string& path) {
  return caf::make_error(ec::io_failed, path + ": " + std::strerror(errno));
}

expected<std::string> read_all(int fd, const std::string& path) {
  std::string result;
  char buffer[16 << 10];
  for (;;) {
    auto n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return system_error(path);
    if (n == 0)
      return result;
    result.append(buffer, size_t(n));
    if (result.size() > text_file_bytes_max)
      return caf::make_error(ec::too_large, path + ": over 16 MiB");
  }
}

} // namespace

expected<std::string> read_text(const std::string& path) {
  if (path == "-")
    return read_all(STDIN_FILENO, "standard input");
  descriptor fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd)
    return system_error(path);
  return read_all(fd.get(), path);
}

caf::error write_new_text(const std::string& path, std::string_view text, mode_t mode) {
  descriptor fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)};
  if (!fd && errno == EEXIST)
    return caf::make_error(ec::io_failed, path + " exists and is not replaced");
  if (!fd)
    return system_error(path);
  while (!text.empty()) {
    auto n = ::write(fd.get(), text.data(), text.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return system_error(path);
    text.remove_prefix(size_t(n));
  }
  return ::fsync(fd.get()) == 0 ? caf::error{} : system_error(path);
}

caf::error make_directory(const std::string& path, mode_t mode) {
  struct stat found {};
  if (path.empty() || (::stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode)))
    return {};
  auto end = path.find_last_not_of('/');
  auto slash = end == path.npos ? path.npos : path.rfind('/', end);
  if (slash != path.npos && slash > 0)
    if (auto error = make_directory(path.substr(0, slash), mode))
      return error;
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    return system_error(path);
  return {};
}

std::string trimmed_end(std::string text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
    text.pop_back();
  return text;
}

std::string shell_word(std::string_view text) {
  constexpr std::string_view plain = "@%_-+=:,./";
  auto harmless = [plain](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || plain.find(c) != plain.npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), harmless))
    return std::string{text};
  std::string result = "'";
  for (char c : text)
    result += c == '\'' ? std::string{"'\\''"} : std::string(1, c);
  return result + "'";
}

} // namespace rvi
