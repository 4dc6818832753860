// SPDX-License-Identifier: MPL-2.0

#include "actors/node/key_files.hpp"

#include "messages/transaction_id.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

namespace rvi {

namespace {

caf::error failed(const std::string& path) {
  return caf::make_error(ec::io_failed, path + ": " + std::strerror(errno));
}

/// A new name is durable once its folder is.
caf::error sync_folder_of(const std::string& path) {
  auto folder = std::filesystem::path{path}.parent_path().string();
  int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool done = fd >= 0 && ::fsync(fd) == 0;
  auto err = done ? caf::error{} : failed(folder);
  if (fd >= 0)
    ::close(fd);
  return err;
}

caf::error rename_durably(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    return failed(to);
  return sync_folder_of(to);
}

/// The whole file, or the one before.
caf::error replace_file(const std::string& path, std::string_view text, mode_t mode) {
  auto fresh = path + ".new";
  int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
  if (fd < 0)
    return failed(fresh);
  bool done = ::write(fd, text.data(), text.size()) == ssize_t(text.size()) && ::fsync(fd) == 0;
  auto err = done ? caf::error{} : failed(fresh);
  ::close(fd);
  return err ? err : rename_durably(fresh, path);
}

std::string former_file(const std::string& key_path) {
  return key_path + ".former";
}

/// The one beside it is for whoever issues credentials.
caf::error follow_public_key(const std::string& key_path, const crypto::public_key& next) {
  auto path = std::filesystem::path{key_path}.replace_extension(".pub").string();
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    return {};
  return replace_file(path, next.jwk() + "\n", 0644);
}

expected<crypto::private_key> next_key(const std::string& key_path, crypto::algorithm algorithm) {
  auto path = key_path + ".next";
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored))
    return crypto::load_private_key(path);
  auto made = crypto::private_key::generate(algorithm);
  if (!made)
    return made;
  if (auto err = crypto::save_private_key(path, *made))
    return err;
  return made;
}

caf::error take_over(const std::string& key_path, const crypto::public_key& present) {
  auto next = crypto::load_private_key(key_path + ".next");
  if (!next)
    return std::move(next.error());
  auto former = load_former_keys(key_path);
  if (!former)
    return std::move(former.error());
  // First who it was: the key before must never be a stranger's to its own node.
  std::erase(*former, present.uid());
  former->insert(former->begin(), present.uid());
  former->resize(std::min(former->size(), former_keys_max));
  std::string lines;
  for (auto& uid : *former)
    lines += to_string(uid) + '\n';
  if (auto err = replace_file(former_file(key_path), lines, 0644))
    return err;
  if (auto err = rename_durably(key_path + ".next", key_path))
    return err;
  return follow_public_key(key_path, next->public_part());
}

} // namespace

expected<std::vector<node_uid>> load_former_keys(const std::string& key_path) {
  auto path = former_file(key_path);
  std::vector<node_uid> result;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    return result;
  std::ifstream in{path};
  if (!in)
    return failed(path);
  for (std::string line; std::getline(in, line);) {
    auto uid = parse_node_uid(line);
    if (!uid || result.size() == former_keys_max)
      return caf::make_error(ec::config_invalid, path + " must hold up to "
                                                   + std::to_string(former_keys_max)
                                                   + " uids, one a line");
    result.push_back(*uid);
  }
  return result;
}

key_replacement replaceable_key(const std::string& key_path, const crypto::public_key& present) {
  key_replacement result;
  result.next
    = [key_path, algorithm = present.algorithm()] { return next_key(key_path, algorithm); };
  result.take_over = [key_path, present] { return take_over(key_path, present); };
  return result;
}

} // namespace rvi
