// SPDX-License-Identifier: MPL-2.0
//
// What a disk may hold after a power cut, by the log of what was written to it: all that was
// synced, and of the rest any subset of 512-byte sectors, in any order; of names made, any first
// part.

#pragma once

#include "test/store_faults/io_shim.hpp"

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace test::faults {

constexpr uint64_t sector = 512; // written as a whole or not at all

class sim_disk {
public:
  using names = std::map<std::string, uint64_t, std::less<>>; // path -> inode; folders too

  /// `folder` exists and is durable, with what is in `from`.
  explicit sim_disk(std::string folder, const std::map<std::string, std::string>& from = {});

  /// What happened next. `random` decides what a failed sync left.
  void apply(const io::event& x, std::mt19937_64& random);

  /// Whether a power cut now may leave more than one image.
  bool unsettled() const;

  /// One of the images: files by path.
  std::map<std::string, std::string> draw(std::mt19937_64& random) const;

private:
  struct pending_write {
    uint64_t at = 0;
    std::string_view bytes; // in the log
    bool durable = false;   // once it returns
  };
  struct inode {
    std::string content; // durable
    std::vector<pending_write> pending;
    bool folder = false;
  };
  struct pending_name {
    std::string path;
    uint64_t inode = 0; // 0: the name goes
    std::string from;   // and this one
  };

  static void put(std::string& to, const pending_write& x, uint64_t from, uint64_t end);
  static void settle(inode& x);
  void lose(inode& x, std::mt19937_64& random);
  static std::string draw_content(const inode& x, std::mt19937_64& random);
  void rename_now(names& in, const pending_name& x) const;

  std::map<uint64_t, inode> inodes_;
  names durable_;
  std::vector<pending_name> pending_;
};

} // namespace test::faults
