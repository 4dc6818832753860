// SPDX-License-Identifier: MPL-2.0
//
// LMDB has no checksums of its own. A page that is free by mistake would be written over while it
// is in use, a lost half of a tree would go unnoticed until it is looked for, and a wild page
// number crashes the reader: so all pages are accounted for before LMDB may follow them.

#include "runtime/lmdb/pages.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace rvi::lmdb::detail {

namespace {

using page_number = uint64_t;

constexpr size_t page_header = 16;
constexpr page_number no_page = ~page_number{0};
constexpr unsigned headers = 2;

constexpr uint16_t branch_page = 0x01, leaf_page = 0x02, overflow_page = 0x04, header_page = 0x08;
constexpr uint16_t big_value = 0x01, whole_tree = 0x02; // of nodes in leaves

struct tree {
  uint32_t page_size = 0; // of the free list's only
  uint16_t flags = 0;
  uint16_t depth = 0;
  uint64_t branches = 0, leaves = 0, overflows = 0, entries = 0;
  page_number root = no_page;
};
static_assert(sizeof(tree) == 48);

struct file_header {
  uint32_t magic = 0, version = 0;
  uint64_t address = 0, map_size = 0;
  tree free_list, tables;
  page_number last_page = 0;
  uint64_t transaction = 0;
};
static_assert(sizeof(file_header) == 136);

constexpr uint16_t number_keys = 0x08; // the free list's: native integers in their order
constexpr uint16_t tree_flags_known = number_keys;

template <class T>
T read(std::string_view from, size_t at) {
  T result;
  std::memcpy(&result, from.data() + at, sizeof result);
  return result;
}

/// A file, seen as bytes.
class mapped_file {
public:
  static expected<mapped_file> open(const std::string& path) {
    auto file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    auto known = file >= 0 && ::fstat(file, &status) == 0;
    auto memory = known && status.st_size > 0
                    ? ::mmap(nullptr, size_t(status.st_size), PROT_READ, MAP_PRIVATE, file, 0)
                    : nullptr;
    auto error = errno;
    if (file >= 0)
      ::close(file);
    if (!known || memory == MAP_FAILED)
      return caf::make_error(ec::io_failed, path + ": " + std::strerror(error));
    mapped_file result;
    if (memory)
      result.bytes_ = {static_cast<const char*>(memory), size_t(status.st_size)};
    return result;
  }

  mapped_file(mapped_file&& x) noexcept : bytes_(std::exchange(x.bytes_, {})) {}
  mapped_file& operator=(mapped_file&&) = delete;
  ~mapped_file() {
    if (!bytes_.empty())
      ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
  }
  std::string_view bytes() const { return bytes_; }

private:
  mapped_file() = default;
  std::string_view bytes_;
};

/// A page of a tree, its nodes checked to lie inside it.
struct node {
  uint16_t flags = 0;      // in a leaf
  page_number below = 0;   // in a branch
  uint32_t value_size = 0; // in a leaf
  std::string_view key;
  std::string_view value; // what of it is in the leaf
};

class walk {
public:
  explicit walk(std::string_view file) : file_(file) {}

  std::string run() {
    if (!read_headers())
      return problem_;
    owned_.assign(size_t(header_.last_page) + 1, false);
    owned_[0] = owned_[1] = true;
    if (header_.free_list.flags != number_keys)
      fail("the free list is of another kind");
    if (problem_.empty())
      follow(header_.free_list, "the free list", &walk::free_pages);
    if (problem_.empty())
      follow(header_.tables, "the list of tables", &walk::table);
    for (auto& [name, x] : tables_)
      if (problem_.empty())
        follow(x, "table " + name, nullptr);
    if (problem_.empty())
      claim_free_pages();
    if (auto lost = std::find(owned_.begin(), owned_.end(), false);
        problem_.empty() && lost != owned_.end())
      fail("page " + std::to_string(lost - owned_.begin()) + " belongs to nobody");
    return problem_;
  }

private:
  using leaf_visitor = void (walk::*)(const node&);

  struct bounds {
    std::optional<std::string> from, to; // keys: from <= key < to
  };

  struct following {
    const tree& wanted;
    const std::string& name;
    leaf_visitor visit;
    tree found{};
  };

  void fail(std::string what) {
    if (problem_.empty())
      problem_ = std::move(what);
  }

  std::optional<file_header> header_at(unsigned i, size_t page_size) {
    if (file_.size() < i * page_size + page_header + sizeof(file_header)) {
      fail("the file is too short");
      return std::nullopt;
    }
    auto page = file_.substr(i * page_size);
    auto x = read<file_header>(page, page_header);
    if (read<page_number>(page, 0) != i || read<uint16_t>(page, 10) != header_page
        || x.magic != 0xBEEFC0DE || x.version != 1)
      fail("header " + std::to_string(i) + " is damaged");
    return x;
  }

  bool read_headers() {
    auto first = header_at(0, 0);
    if (!first || !problem_.empty())
      return false;
    page_size_ = first->free_list.page_size;
    if (page_size_ < 512 || page_size_ > 65'536 || (page_size_ & (page_size_ - 1)) != 0) {
      fail("the page size is damaged");
      return false;
    }
    auto second = header_at(1, page_size_);
    if (!second || !problem_.empty())
      return false;
    // Each transaction writes the header that is not the last one's.
    auto a = first->transaction, b = second->transaction;
    auto fresh = a == 0 && b == 0;
    if (second->free_list.page_size != page_size_
        || (!fresh && (a % 2 != 0 || b % 2 != 1 || (a > b ? a - b : b - a) != 1))) {
      fail("the headers do not follow each other");
      return false;
    }
    header_ = b > a ? *second : *first;
    // Pages allocated last and freed at once may never have been written.
    auto pages = file_.size() / page_size_;
    if (header_.last_page < 1 || header_.last_page > (uint64_t(1) << 40) / page_size_
        || header_.last_page > pages + (uint64_t(1) << 20)) {
      fail("the number of pages is damaged");
      return false;
    }
    return true;
  }

  /// Takes a page for whoever points to it; false if it is not there or has an owner.
  bool own(page_number x, const std::string& name) {
    if (x < headers || x > header_.last_page || owned_[size_t(x)]) {
      fail(name + ": page " + std::to_string(x)
           + (x < headers || x > header_.last_page ? " does not exist" : " is used twice"));
      return false;
    }
    owned_[size_t(x)] = true;
    return true;
  }

  std::optional<std::string_view> page_at(page_number x, const std::string& name) {
    if (!own(x, name))
      return std::nullopt;
    if ((x + 1) * page_size_ > file_.size()) {
      fail(name + ": page " + std::to_string(x) + " is behind the file's end");
      return std::nullopt;
    }
    auto page = file_.substr(x * page_size_, page_size_);
    if (read<page_number>(page, 0) != x) {
      fail(name + ": page " + std::to_string(x) + " is not at its place");
      return std::nullopt;
    }
    return page;
  }

  void follow(const tree& x, const std::string& name, leaf_visitor visit) {
    following state{x, name, visit, {}};
    if ((x.flags & ~tree_flags_known) != 0)
      return fail(name + ": unknown flags");
    if (x.root == no_page) {
      if (x.depth != 0 || x.entries != 0 || x.branches != 0 || x.leaves != 0 || x.overflows != 0)
        fail(name + ": lost its root");
      return;
    }
    constexpr uint16_t depth_max = 32; // LMDB's own
    if (x.depth == 0 || x.depth > depth_max)
      return fail(name + ": a wrong depth");
    visit_page(state, x.root, 1, {});
    auto& found = state.found;
    if (found.branches != x.branches || found.leaves != x.leaves || found.overflows != x.overflows
        || found.entries != x.entries)
      fail(name + ": its counts do not match its pages");
  }

  void visit_page(following& in, page_number number, uint16_t depth, const bounds& limits) {
    auto page = page_at(number, in.name);
    if (!page)
      return;
    auto leaf = depth == in.wanted.depth;
    auto where = in.name + ": page " + std::to_string(number);
    auto lower = read<uint16_t>(*page, 12), upper = read<uint16_t>(*page, 14);
    if (read<uint16_t>(*page, 10) != (leaf ? leaf_page : branch_page) || lower < page_header + 2
        || lower % 2 != 0 || upper < lower || upper > page_size_)
      return fail(where + " has a damaged head");
    ++(leaf ? in.found.leaves : in.found.branches);
    size_t used = 0;
    std::vector<node> nodes;
    for (size_t at = page_header; at < lower; at += 2) {
      auto x = node_at(*page, read<uint16_t>(*page, at), upper, leaf, used);
      if (!x)
        return fail(where + " has a damaged entry");
      nodes.push_back(*x);
    }
    if (used != page_size_ - upper)
      return fail(where + " has entries that overlap or lie apart");
    if (!in_order(in, nodes, leaf, limits))
      return fail(where + " has keys out of order");
    for (size_t i = 0; i < nodes.size() && problem_.empty(); ++i) {
      if (leaf) {
        visit_leaf_node(in, nodes[i]);
        continue;
      }
      bounds inner = limits;
      if (i > 0)
        inner.from = nodes[i].key;
      if (i + 1 < nodes.size())
        inner.to = nodes[i + 1].key;
      visit_page(in, nodes[i].below, uint16_t(depth + 1), inner);
    }
  }

  std::optional<node>
  node_at(std::string_view page, uint16_t at, uint16_t upper, bool leaf, size_t& used) const {
    constexpr size_t node_header = 8;
    if (at < upper || at % 2 != 0 || at + node_header > page_size_)
      return std::nullopt;
    node x;
    uint64_t low = read<uint16_t>(page, at) | uint32_t(read<uint16_t>(page, at + 2u)) << 16;
    x.flags = read<uint16_t>(page, at + 4u);
    size_t key_size = read<uint16_t>(page, at + 6u);
    auto size = node_header + key_size;
    if (leaf) {
      x.value_size = uint32_t(low);
      if ((x.flags & ~(big_value | whole_tree)) != 0)
        return std::nullopt;
      size += (x.flags & big_value) ? sizeof(page_number) : x.value_size;
    } else {
      x.below = low | uint64_t(x.flags) << 32;
    }
    if (at + size > page_size_)
      return std::nullopt;
    x.key = page.substr(at + node_header, key_size);
    x.value = page.substr(at + node_header + key_size, size - node_header - key_size);
    used += (size + 1) / 2 * 2;
    return x;
  }

  static bool less(const following& in, std::string_view a, std::string_view b) {
    if ((in.wanted.flags & number_keys) && a.size() == 8 && b.size() == 8)
      return read<uint64_t>(a, 0) < read<uint64_t>(b, 0);
    return a < b;
  }

  static bool
  in_order(const following& in, const std::vector<node>& nodes, bool leaf, const bounds& limits) {
    // A branch's first key is never looked at.
    for (size_t i = leaf ? 0 : 1; i < nodes.size(); ++i) {
      auto& key = nodes[i].key;
      if (key.empty() || ((in.wanted.flags & number_keys) && key.size() != 8)
          || (i > (leaf ? 0u : 1u) && !less(in, nodes[i - 1].key, key))
          || (limits.from && less(in, key, *limits.from))
          || (limits.to && !less(in, key, *limits.to)))
        return false;
    }
    return !nodes.empty();
  }

  void visit_leaf_node(following& in, const node& x) {
    ++in.found.entries;
    auto y = x;
    if (x.flags & big_value) {
      auto first = read<page_number>(x.value, 0);
      auto value = overflow(in, first, x.value_size);
      if (!value)
        return;
      y.value = *value;
    }
    if (((x.flags & whole_tree) != 0) != (in.visit == &walk::table))
      return fail(in.name + ": an entry of another kind");
    if (in.visit)
      (this->*in.visit)(y);
  }

  /// The value in pages of its own.
  std::optional<std::string_view> overflow(following& in, page_number first, uint32_t value_size) {
    auto count = (page_header - 1 + value_size) / page_size_ + 1;
    auto page = page_at(first, in.name);
    if (!page)
      return std::nullopt;
    if (read<uint16_t>(*page, 10) != overflow_page || read<uint32_t>(*page, 12) != count
        || (first + count) * page_size_ > file_.size()) {
      fail(in.name + ": page " + std::to_string(first) + " does not begin a large value");
      return std::nullopt;
    }
    for (page_number i = 1; i < count; ++i)
      if (!own(first + i, in.name))
        return std::nullopt;
    in.found.overflows += count;
    return file_.substr(first * page_size_ + page_header, value_size);
  }

  void table(const node& x) {
    if (x.value.size() != sizeof(tree))
      return fail("the list of tables: an entry of another size");
    tables_.emplace_back(x.key, read<tree>(x.value, 0));
    if (tables_.back().second.flags != 0)
      fail("table " + tables_.back().first + ": unknown flags");
  }

  void free_pages(const node& x) {
    auto count = x.value.size() >= 8 ? read<uint64_t>(x.value, 0) : 0;
    if (x.value.size() < 8 || x.value.size() % 8 != 0 || count > x.value.size() / 8 - 1
        || read<uint64_t>(x.key, 0) > header_.transaction)
      return fail("the free list has a damaged entry");
    for (uint64_t i = 1; i <= count; ++i) {
      auto number = read<page_number>(x.value, i * 8);
      if (i > 1 && number >= free_.back())
        return fail("the free list has pages out of order");
      free_.push_back(number);
    }
  }

  void claim_free_pages() {
    for (auto x : free_)
      if (!own(x, "the free list"))
        return;
  }

  std::string_view file_;
  uint64_t page_size_ = 0;
  file_header header_;
  std::vector<bool> owned_;
  std::vector<page_number> free_;
  std::vector<std::pair<std::string, tree>> tables_;
  std::string problem_;
};

} // namespace

expected<std::string> broken_structure(const std::string& path) {
  auto file = mapped_file::open(path);
  if (!file)
    return std::move(file.error());
  if (file->bytes().empty())
    return std::string{"the file is empty"};
  return walk(file->bytes()).run();
}

} // namespace rvi::lmdb::detail
