// SPDX-License-Identifier: MPL-2.0

#include "test/store_faults/sim_disk.hpp"

#include <algorithm>
#include <filesystem>

namespace test::faults {

namespace {

std::string parent_of(std::string_view path) {
  return std::string{path.substr(0, path.rfind('/'))};
}

/// "a/b/.." is "a".
std::string plain(std::string_view path) {
  auto result = std::filesystem::path{path}.lexically_normal().string();
  if (result.ends_with('/'))
    result.pop_back();
  return result;
}

} // namespace

sim_disk::sim_disk(std::string folder, const std::map<std::string, std::string>& from) {
  uint64_t number = ~uint64_t{0}; // unlike any of the system's
  durable_[folder] = number;
  inodes_[number].folder = true;
  for (auto& [path, content] : from) {
    durable_[path] = --number;
    inodes_[number].content = content;
  }
}

void sim_disk::put(std::string& to, const pending_write& x, uint64_t from, uint64_t end) {
  if (to.size() < end)
    to.resize(end);
  std::copy_n(x.bytes.begin() + std::ptrdiff_t(from - x.at), end - from,
              to.begin() + std::ptrdiff_t(from));
}

void sim_disk::settle(inode& x) {
  for (auto& one : x.pending)
    put(x.content, one, one.at, one.at + one.bytes.size());
  x.pending.clear();
}

/// After a failed sync the system takes for written what may never have been (ATC'20).
void sim_disk::lose(inode& x, std::mt19937_64& random) {
  x.content = draw_content(x, random);
  x.pending.clear();
}

void sim_disk::apply(const io::event& x, std::mt19937_64& random) {
  switch (x.kind) {
    case io::event_kind::write:
      inodes_[x.inode].pending.push_back({x.offset, x.bytes, x.durable_at_end});
      break;
    case io::event_kind::write_end: {
      auto& file = inodes_[x.inode];
      if (file.pending.empty())
        break;
      auto last = file.pending.back();
      if (x.error == 0 && x.bytes_done < last.bytes.size())
        last.bytes = last.bytes.substr(0, x.bytes_done); // short
      if (!last.durable) {
        if (x.error != 0)
          file.pending.pop_back(); // nothing reached the system
        else
          file.pending.back() = last;
        break;
      }
      file.pending.pop_back();
      inode only{std::move(file.content), {last}, false};
      if (x.error == 0)
        settle(only);
      else
        lose(only, random);
      file.content = std::move(only.content);
      break;
    }
    case io::event_kind::sync: {
      auto& file = inodes_[x.inode];
      if (x.error == 0)
        settle(file);
      else
        lose(file, random);
      if (x.error != 0)
        break;
      std::erase_if(pending_, [&, folder = plain(x.path)](const pending_name& name) {
        if (parent_of(name.path) != folder)
          return false;
        rename_now(durable_, name);
        return true;
      });
      break;
    }
    case io::event_kind::truncate:
      // The store truncates only what nobody relies on.
      inodes_[x.inode].content.resize(x.offset);
      inodes_[x.inode].pending.clear();
      break;
    case io::event_kind::create:
      inodes_[x.inode] = {};
      pending_.push_back({std::string{x.path}, x.inode, {}});
      break;
    case io::event_kind::make_folder:
      inodes_[x.inode] = {};
      inodes_[x.inode].folder = true;
      pending_.push_back({std::string{x.path}, x.inode, {}});
      break;
    case io::event_kind::link:
      pending_.push_back({std::string{x.to}, x.inode, {}});
      break;
    case io::event_kind::rename:
      pending_.push_back({std::string{x.to}, x.inode, std::string{x.path}});
      break;
    case io::event_kind::remove:
      pending_.push_back({std::string{x.path}, 0, {}});
      break;
    case io::event_kind::promise:
      break;
  }
}

void sim_disk::rename_now(names& in, const pending_name& x) const {
  if (x.inode == 0)
    in.erase(x.path);
  else
    in[x.path] = x.inode;
  if (!x.from.empty())
    in.erase(x.from);
}

bool sim_disk::unsettled() const {
  if (!pending_.empty())
    return true;
  for (auto& [name, number] : durable_)
    if (!inodes_.at(number).pending.empty())
      return true;
  return false;
}

std::string sim_disk::draw_content(const inode& x, std::mt19937_64& random) {
  auto result = x.content;
  auto pending = x.pending;
  if (pending.empty())
    return result;
  enum { none, all, first_part, writes, half, few, most, ways };
  auto way = random() % ways;
  if (way == none)
    return result;
  if (way == first_part)
    pending.resize(1 + random() % pending.size());
  else if (way != all)
    std::shuffle(pending.begin(), pending.end(), random);
  for (size_t i = 0; i < pending.size(); ++i) {
    auto& one = pending[i];
    auto end = one.at + one.bytes.size();
    if (way == writes && random() % 2)
      continue;
    auto torn = way == first_part && i + 1 == pending.size();
    auto stop = torn ? one.at + random() % (one.bytes.size() + 1) : end;
    for (auto from = one.at; from < end;) {
      auto to = std::min(end, (from / sector + 1) * sector);
      auto kept = way == half   ? random() % 2 == 0
                  : way == few  ? random() % 8 == 0
                  : way == most ? random() % 8 != 0
                                : to <= stop;
      if (kept)
        put(result, one, from, to);
      from = to;
    }
  }
  return result;
}

std::map<std::string, std::string> sim_disk::draw(std::mt19937_64& random) const {
  auto there = durable_;
  auto count = random() % 3 == 0 ? pending_.size() : random() % (pending_.size() + 1);
  for (size_t i = 0; i < count; ++i)
    rename_now(there, pending_[i]);
  std::map<std::string, std::string> result;
  for (auto& [path, number] : there) {
    auto& x = inodes_.at(number);
    if (!x.folder && there.count(parent_of(path)) != 0)
      result[path] = draw_content(x, random);
  }
  return result;
}

} // namespace test::faults
