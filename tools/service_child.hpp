// SPDX-License-Identifier: MPL-2.0
//
// One run of a shell command: text in, text out, never blocking. Its whole process group ends with
// it.

#pragma once

#include "runtime/error.hpp"
#include "tools/descriptor.hpp"

#include <cstdint>
#include <poll.h>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace rvi {

inline constexpr size_t child_output_bytes_max = size_t{8} << 20;
inline constexpr size_t child_error_bytes_kept = 2'048; // the tail

class service_child {
public:
  using environment = std::vector<std::pair<std::string, std::string>>;

  /// Runs `command` by /bin/sh. Error: `io_failed`.
  static expected<service_child>
  start(const std::string& command, std::string input, const environment& added);
  service_child(service_child&& other) noexcept;
  service_child& operator=(service_child&& other) noexcept;
  ~service_child(); // kills it if it still runs

  void add_to(std::vector<pollfd>& polled) const;
  /// Moves bytes and looks whether it ended.
  void advance();
  bool ended() const { return ended_; }
  void kill();

  // After its end.
  /// Empty if it ended well, else what went wrong.
  std::string failure() const;
  const std::string& output() const { return output_; }
  const std::string& error_tail() const { return error_; }

private:
  service_child() = default;
  void write_input();
  void read_output();
  void read_error();

  pid_t pid_ = -1;
  descriptor input_end_;
  descriptor output_end_;
  descriptor error_end_;
  std::string input_;
  size_t written_ = 0;
  std::string output_;
  std::string error_;
  int status_ = 0;
  bool ended_ = false;
  bool too_much_ = false;
};

} // namespace rvi
