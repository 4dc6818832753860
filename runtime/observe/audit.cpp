// SPDX-License-Identifier: MPL-2.0

#include "runtime/observe/audit.hpp"

#include "runtime/crypto/crypto.hpp"
#include "runtime/json/json.hpp"
#include "runtime/json/utf8.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <span>
#include <sys/stat.h>
#include <unistd.h>

namespace rvi::audit {

namespace {

const std::string no_line(64, '0');

std::string hash_of(std::string_view line) {
  return crypto::hex(crypto::view(crypto::sha256(line)));
}

caf::error io_failed(const std::string& path) {
  return caf::make_error(ec::io_failed, path + ": " + std::strerror(errno));
}

std::string older(const std::string& path, uint32_t n) {
  return n == 0 ? path : path + "." + std::to_string(n);
}

uint64_t wall_ms() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                 std::chrono::system_clock::now().time_since_epoch())
                                 .count());
}

/// The last complete line of a file and where it ends.
struct end_of_trail {
  std::string line;
  uint64_t bytes = 0;
};

end_of_trail find_end(const std::string& path) {
  end_of_trail result;
  std::ifstream in{path, std::ios::binary};
  for (std::string line; std::getline(in, line);) {
    if (in.eof())
      break; // without its end of line
    result.bytes += line.size() + 1;
    result.line = std::move(line);
  }
  return result;
}

uint64_t seq_of(std::string_view line) {
  auto document = json::parse(line);
  return document ? document->root()["seq"].as_uint().value_or(0) : 0;
}

class trail {
public:
  ~trail() { end(); }

  caf::error begin(settings x) {
    end();
    settings_ = std::move(x);
    auto last = find_end(settings_.path);
    for (uint32_t n = 1; last.line.empty() && n < settings_.files_max; ++n) {
      auto before = find_end(older(settings_.path, n));
      last.line = std::move(before.line);
    }
    seq_ = last.line.empty() ? 0 : seq_of(last.line);
    previous_ = last.line.empty() ? no_line : hash_of(last.line);
    if (auto err = open_file())
      return err;
    struct stat found {};
    if (::fstat(fd_, &found) != 0)
      return io_failed(settings_.path);
    if ((found.st_mode & (S_IWGRP | S_IWOTH)) != 0)
      return caf::make_error(ec::file_unsafe,
                             settings_.path + ": others could write it; use chmod 600");
    auto size = static_cast<uint64_t>(found.st_size);
    auto torn = size > last.bytes ? size - last.bytes : 0;
    if (torn > 0 && ::ftruncate(fd_, static_cast<off_t>(last.bytes)) != 0)
      return io_failed(settings_.path);
    bytes_ = last.bytes;
    failed_ = false;
    write("opened", fields{{"pid", static_cast<uint64_t>(::getpid())}, {"torn_bytes", torn}});
    return {};
  }

  void end() {
    if (fd_ >= 0)
      ::close(fd_);
    fd_ = -1;
  }

  void add(std::string_view event, std::span<const field> values) {
    if (fd_ < 0)
      return;
    auto second = wall_ms() / 1'000;
    if (second != second_) {
      second_ = second;
      in_second_ = 0;
      if (auto n = std::exchange(suppressed_, 0); n > 0)
        write("suppressed", fields{{"records", n}});
    }
    if (++in_second_ > settings_.records_per_s_max)
      ++suppressed_;
    else
      write(event, values);
  }

private:
  caf::error open_file() {
    fd_ = ::open(settings_.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd_ < 0 ? io_failed(settings_.path) : caf::error{};
  }

  void write(std::string_view event, std::span<const field> values) {
    json::writer out;
    out.begin_object()
      .member("seq", seq_ + 1)
      .member("time_ms", wall_ms())
      .member("event", event)
      .member("previous", previous_);
    // A name that stands twice would make the line unreadable, and the chain with it.
    std::set<std::string> names{"seq", "time_ms", "event", "previous"};
    for (auto& x : values) {
      std::string name{x.key};
      while (!names.insert(name).second)
        name += '_';
      if (x.number)
        out.member(name, *x.number);
      else if (json::is_utf8(x.text))
        out.member(name, x.text);
      else
        out.member(name, "hex:" + crypto::hex(x.text));
    }
    auto line = out.end_object().take() + '\n';
    if (bytes_ > 0 && bytes_ + line.size() > settings_.bytes_max)
      turn();
    if (fd_ < 0)
      return;
    auto written = ::write(fd_, line.data(), line.size());
    if (written != static_cast<ssize_t>(line.size())) {
      // A part of a line would break the chain.
      if (written > 0)
        (void)!::ftruncate(fd_, static_cast<off_t>(bytes_));
      if (!std::exchange(failed_, true))
        log::error("audit", "the audit trail cannot be written",
                   {{"path", settings_.path}, {"error", std::strerror(errno)}});
      return;
    }
    failed_ = false;
    bytes_ += line.size();
    ++seq_;
    line.pop_back();
    previous_ = hash_of(line);
  }

  /// The full file becomes the first of the older ones.
  void turn() {
    end();
    std::error_code ignored;
    for (auto n = settings_.files_max; n-- > 1;)
      std::filesystem::rename(older(settings_.path, n - 1), older(settings_.path, n), ignored);
    bytes_ = 0;
    if (auto err = open_file())
      log::error("audit", "the audit trail ends here", {{"error", describe(err)}});
  }

  settings settings_;
  int fd_ = -1;
  uint64_t seq_ = 0;
  uint64_t bytes_ = 0;
  std::string previous_;
  uint64_t second_ = 0;
  uint64_t in_second_ = 0;
  uint64_t suppressed_ = 0;
  bool failed_ = false;
};

struct {
  std::mutex mutex;
  trail current;
} shared;

} // namespace

caf::error open(settings x) {
  std::lock_guard guard{shared.mutex};
  auto err = shared.current.begin(std::move(x));
  if (err)
    shared.current.end();
  return err;
}

void close() {
  std::lock_guard guard{shared.mutex};
  shared.current.end();
}

void record(std::string_view event, fields fields) {
  std::lock_guard guard{shared.mutex};
  shared.current.add(event, fields);
}

void refused(std::string_view what, const caf::error& why, fields more) {
  auto reason = detail_of(why);
  std::vector<field> all{{"what", what}};
  all.insert(all.end(), more.begin(), more.end());
  all.insert(all.end(), {{"code", to_string(code_of(why))}, {"reason", reason}});
  std::lock_guard guard{shared.mutex};
  shared.current.add("refused", all);
}

namespace {

/// Takes the line into the verdict. Why it does not follow the one before; null if it does.
const char* follow(std::string_view line, verdict& x) {
  auto document = json::parse(line);
  auto root = document ? document->root() : json::value{};
  auto previous = root["previous"].as_string();
  auto seq = root["seq"].as_uint().value_or(0); // a record's is 1 or more
  const char* broken = nullptr;
  if (seq == 0 || !previous)
    broken = "a line that is no record";
  else if (x.records == 0)
    broken = seq == 1 && *previous != no_line ? "a first record that follows another" : nullptr;
  else if (*previous != x.last_hash)
    broken = "the record before it was changed, or records are missing";
  else if (seq != x.last_seq + 1)
    broken = "a number that does not follow";
  x.last_seq = seq;
  if (x.records++ == 0)
    x.first_seq = x.last_seq;
  x.last_hash = hash_of(line);
  return broken;
}

} // namespace

expected<verdict>
read(const std::string& path, const std::function<void(std::string_view line)>& visit) {
  verdict result;
  uint32_t files = 0;
  while (std::filesystem::exists(older(path, files)))
    ++files;
  if (files == 0)
    return caf::make_error(ec::not_found, path + ": no audit trail is here");
  while (files-- > 0) {
    auto name = older(path, files);
    std::ifstream in{name, std::ios::binary};
    if (!in)
      return io_failed(name);
    uint64_t number = 0;
    for (std::string line; std::getline(in, line);) {
      ++number;
      if (auto why = follow(line, result); why && result.broken.empty())
        result.broken = name + ", line " + std::to_string(number) + ": " + why;
      visit(line);
    }
  }
  return result;
}

} // namespace rvi::audit
