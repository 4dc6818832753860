// SPDX-License-Identifier: MPL-2.0
//
// An ordered map that is cheap to copy, for snapshots: copies share all entries, and a change to
// one copies about the square root of what it holds in pointers, never an entry. Reading a copy
// needs no lock while another one changes.

#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

namespace rvi {

/// Entries cannot be changed in place, only set anew. Keys that compare with `Key` by `<` are found
/// without being converted.
template <class Key, class T>
class shared_map {
public:
  using value_type = std::pair<const Key, T>;

private:
  using entry = std::shared_ptr<const value_type>;
  using chunk = std::vector<entry>; // ascending, never empty

public:
  /// Valid until its map is changed or gone.
  class const_iterator {
  public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = shared_map::value_type;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    reference operator*() const { return *(*(*chunks_)[chunk_])[index_]; }
    pointer operator->() const { return &**this; }
    const_iterator& operator++() {
      if (++index_ == (*chunks_)[chunk_]->size()) {
        ++chunk_;
        index_ = 0;
      }
      return *this;
    }
    const_iterator operator++(int) {
      auto result = *this;
      ++*this;
      return result;
    }
    bool operator==(const const_iterator& x) const {
      return chunk_ == x.chunk_ && index_ == x.index_;
    }

  private:
    friend class shared_map;
    const std::vector<std::shared_ptr<const chunk>>* chunks_ = nullptr;
    size_t chunk_ = 0;
    size_t index_ = 0;
  };

  const_iterator begin() const { return at_position(0, 0); }
  const_iterator end() const { return at_position(chunks_.size(), 0); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  template <class K>
  const_iterator find(const K& key) const {
    if (empty())
      return end();
    auto i = chunk_of(key);
    auto j = index_in(*chunks_[i], key);
    return holds(*chunks_[i], j, key) ? at_position(i, j) : end();
  }

  template <class K>
  bool contains(const K& key) const {
    return find(key) != end();
  }

  /// The key must be there (asserted).
  template <class K>
  const T& at(const K& key) const {
    auto i = find(key);
    assert(i != end());
    return i->second;
  }

  void set(const Key& key, T x) {
    auto added = std::make_shared<const value_type>(key, std::move(x));
    if (empty()) {
      chunks_.push_back(std::make_shared<const chunk>(1, std::move(added)));
      size_ = 1;
      return;
    }
    auto i = chunk_of(key);
    auto next = *chunks_[i];
    auto j = index_in(next, key);
    if (holds(next, j, key)) {
      next[j] = std::move(added);
    } else {
      next.insert(next.begin() + static_cast<std::ptrdiff_t>(j), std::move(added));
      ++size_;
    }
    if (next.size() > chunk_max) {
      auto half = next.begin() + chunk_max / 2;
      auto upper = std::make_shared<const chunk>(half, next.end());
      next.erase(half, next.end());
      chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(i) + 1, std::move(upper));
    }
    chunks_[i] = std::make_shared<const chunk>(std::move(next));
  }

  /// False if it was not there.
  template <class K>
  bool erase(const K& key) {
    if (empty())
      return false;
    auto i = chunk_of(key);
    auto j = index_in(*chunks_[i], key);
    if (!holds(*chunks_[i], j, key))
      return false;
    --size_;
    auto next = *chunks_[i];
    next.erase(next.begin() + static_cast<std::ptrdiff_t>(j));
    // What has become small joins its neighbour, so that there are never many small ones.
    auto after = chunks_.begin() + static_cast<std::ptrdiff_t>(i) + 1;
    if (after != chunks_.end() && next.size() + (*after)->size() <= chunk_max / 2) {
      next.insert(next.end(), (*after)->begin(), (*after)->end());
      chunks_.erase(after);
    }
    if (next.empty())
      chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(i));
    else
      chunks_[i] = std::make_shared<const chunk>(std::move(next));
    return true;
  }

private:
  static constexpr size_t chunk_max = 128; // about the root of 10,000 entries

  const_iterator at_position(size_t chunk, size_t index) const {
    const_iterator result;
    result.chunks_ = &chunks_;
    result.chunk_ = chunk;
    result.index_ = index;
    return result;
  }

  /// The last chunk that does not start above the key, or the first one.
  template <class K>
  size_t chunk_of(const K& key) const {
    auto above = std::upper_bound(chunks_.begin(), chunks_.end(), key,
                                  [](const K& k, auto& x) { return k < x->front()->first; });
    return above == chunks_.begin() ? 0 : static_cast<size_t>(above - chunks_.begin()) - 1;
  }

  template <class K>
  static size_t index_in(const chunk& x, const K& key) {
    auto i
      = std::lower_bound(x.begin(), x.end(), key, [](auto& y, const K& k) { return y->first < k; });
    return static_cast<size_t>(i - x.begin());
  }

  template <class K>
  static bool holds(const chunk& x, size_t index, const K& key) {
    return index < x.size() && !(key < x[index]->first);
  }

  std::vector<std::shared_ptr<const chunk>> chunks_; // ascending
  size_t size_ = 0;
};

} // namespace rvi
