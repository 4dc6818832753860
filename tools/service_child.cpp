// SPDX-License-Identifier: MPL-2.0
//
// A shell command behind three pipes.

#include "tools/service_child.hpp"

#include "tools/stop_signal.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace rvi {

namespace {

struct pipe_ends {
  descriptor read;
  descriptor write;
};

expected<pipe_ends> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return caf::make_error(ec::io_failed, std::string{"pipe: "} + std::strerror(errno));
  return pipe_ends{descriptor{ends[0]}, descriptor{ends[1]}};
}

void set_nonblocking(const descriptor& x) {
  ::fcntl(x.get(), F_SETFL, ::fcntl(x.get(), F_GETFL) | O_NONBLOCK);
}

/// In the child; never returns.
[[noreturn]] void run_shell(const std::string& command, const int (&streams)[3],
                            const service_child::environment& added) {
  ::setpgid(0, 0);
  restore_signals_in_child();
  for (int i = 0; i < 3; ++i)
    ::dup2(streams[i], i);
  for (auto& [name, value] : added)
    ::setenv(name.c_str(), value.c_str(), 1);
  ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
  ::_exit(127);
}

/// Appends what is there; false at the end.
bool read_some(const descriptor& from, std::string& out) {
  char buffer[16 << 10];
  for (;;) {
    auto n = ::read(from.get(), buffer, sizeof buffer);
    if (n > 0)
      out.append(buffer, size_t(n));
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
      return false;
    else if (errno == EAGAIN)
      return true;
    if (out.size() > child_output_bytes_max)
      return true;
  }
}

} // namespace

expected<service_child>
service_child::start(const std::string& command, std::string input, const environment& added) {
  auto in = make_pipe();
  auto out = make_pipe();
  auto err = make_pipe();
  for (auto* x : {&in, &out, &err})
    if (!*x)
      return std::move(x->error());
  auto pid = ::fork();
  if (pid < 0)
    return caf::make_error(ec::io_failed, std::string{"fork: "} + std::strerror(errno));
  if (pid == 0)
    run_shell(command, {in->read.get(), out->write.get(), err->write.get()}, added);
  ::setpgid(pid, pid); // both sides do it: whoever is first
  service_child result;
  result.pid_ = pid;
  result.input_end_ = std::move(in->write);
  result.output_end_ = std::move(out->read);
  result.error_end_ = std::move(err->read);
  result.input_ = std::move(input);
  for (auto* x : {&result.input_end_, &result.output_end_, &result.error_end_})
    set_nonblocking(*x);
  return result;
}

service_child::service_child(service_child&& other) noexcept {
  *this = std::move(other);
}

service_child& service_child::operator=(service_child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(input_end_, other.input_end_);
  std::swap(output_end_, other.output_end_);
  std::swap(error_end_, other.error_end_);
  std::swap(input_, other.input_);
  std::swap(written_, other.written_);
  std::swap(output_, other.output_);
  std::swap(error_, other.error_);
  std::swap(status_, other.status_);
  std::swap(ended_, other.ended_);
  std::swap(too_much_, other.too_much_);
  return *this;
}

service_child::~service_child() {
  if (pid_ <= 0 || ended_)
    return;
  kill();
  ::waitpid(pid_, nullptr, 0);
}

void service_child::kill() {
  if (pid_ > 0 && !ended_)
    ::kill(-pid_, SIGKILL);
}

void service_child::add_to(std::vector<pollfd>& polled) const {
  if (input_end_)
    polled.push_back({input_end_.get(), POLLOUT, 0});
  if (output_end_)
    polled.push_back({output_end_.get(), POLLIN, 0});
  if (error_end_)
    polled.push_back({error_end_.get(), POLLIN, 0});
}

void service_child::advance() {
  if (ended_)
    return;
  // Asked first: what an ended child wrote is then in the pipes for certain.
  auto gone = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  write_input();
  read_output();
  read_error();
  ended_ = gone;
}

void service_child::write_input() {
  while (input_end_ && written_ < input_.size()) {
    auto n = ::write(input_end_.get(), input_.data() + written_, input_.size() - written_);
    if (n >= 0)
      written_ += size_t(n);
    else if (errno == EAGAIN)
      return;
    else if (errno != EINTR)
      break; // it does not want to read: not an error
  }
  input_end_.reset();
}

void service_child::read_output() {
  if (!output_end_)
    return;
  if (!read_some(output_end_, output_))
    output_end_.reset();
  if (output_.size() > child_output_bytes_max && !too_much_) {
    too_much_ = true;
    output_end_.reset();
    kill();
  }
}

void service_child::read_error() {
  if (!error_end_)
    return;
  if (!read_some(error_end_, error_))
    error_end_.reset();
  if (error_.size() > child_error_bytes_kept)
    error_.erase(0, error_.size() - child_error_bytes_kept);
}

std::string service_child::failure() const {
  if (too_much_)
    return "the command wrote more than 8 MiB";
  if (WIFSIGNALED(status_))
    return "the command was ended by signal " + std::to_string(WTERMSIG(status_));
  auto code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 0;
  return code == 0 ? std::string{} : "the command ended with exit code " + std::to_string(code);
}

} // namespace rvi
