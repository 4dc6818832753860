// SPDX-License-Identifier: MPL-2.0
//
// Work on a file that may crash whoever reads it, in a child whose death harms nobody.

#include "runtime/lmdb/handles.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace rvi::lmdb::detail {

namespace {

[[noreturn]] void
work_in_child(int to_parent, unsigned seconds_max, const std::function<std::string()>& work) {
  rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  for (auto x : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM})
    std::signal(x, SIG_DFL); // the parent's handlers are not for this
  ::alarm(seconds_max);      // a damaged tree may lead in circles
  auto answer = work();
  for (std::string_view rest = answer; !rest.empty();) {
    auto n = ::write(to_parent, rest.data(), rest.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      ::_exit(1);
    rest.remove_prefix(size_t(n));
  }
  ::_exit(0);
}

std::string read_to_end(int from) {
  std::string result;
  std::array<char, 4096> buffer;
  for (;;) {
    auto n = ::read(from, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return result;
    result.append(buffer.data(), size_t(n));
  }
}

} // namespace

expected<std::optional<std::string>>
run_in_child(unsigned seconds_max, const std::function<std::string()>& work) {
  int ends[2];
  if (::pipe(ends) != 0)
    return caf::make_error(ec::io_failed, std::string("pipe: ") + std::strerror(errno));
  auto child = ::fork();
  if (child < 0) {
    auto what = std::string("fork: ") + std::strerror(errno);
    ::close(ends[0]);
    ::close(ends[1]);
    return caf::make_error(ec::io_failed, std::move(what));
  }
  if (child == 0) {
    ::close(ends[0]);
    work_in_child(ends[1], seconds_max, work);
  }
  ::close(ends[1]);
  auto answer = read_to_end(ends[0]);
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR)
      return caf::make_error(ec::io_failed, std::string("waitpid: ") + std::strerror(errno));
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return std::optional<std::string>{};
  return std::optional<std::string>{std::move(answer)};
}

unsigned seconds_to_read(const std::string& path) {
  struct stat file {};
  ::stat((path + data_file).c_str(), &file);
  constexpr uint64_t bytes_per_second = 5'000'000;
  return unsigned(60 + std::min<uint64_t>(uint64_t(file.st_size) / bytes_per_second, 86'400));
}

} // namespace rvi::lmdb::detail
