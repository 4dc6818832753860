// SPDX-License-Identifier: MPL-2.0

#include "actors/links/link_policy.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr size_t kind_bytes_max = 32;
constexpr std::string_view class_level = "/$class/"; // no name has a level that starts with $

const std::vector<std::string> any_kind;

} // namespace

bool is_link_kind(std::string_view x) {
  return !x.empty() && x.size() <= kind_bytes_max && std::all_of(x.begin(), x.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

std::string agreed_kind(bool dialled, const std::string& own, const std::string& peers) {
  auto& first = dialled ? own : peers;
  auto& second = dialled ? peers : own;
  if (!first.empty())
    return first;
  return second.empty() ? std::string{unnamed_link_kind} : second;
}

const std::vector<std::string>& link_policy::kinds_of(const std::string& data_class) const {
  auto i = classes.find(data_class);
  if (i == classes.end())
    i = classes.find("default");
  return i == classes.end() ? any_kind : i->second;
}

std::optional<size_t>
link_policy::place(const std::vector<std::string>& allowed, const std::string& kind) const {
  auto& kinds = allowed.empty() ? order : allowed;
  auto i = std::find(kinds.begin(), kinds.end(), kind);
  if (i == kinds.end() && !allowed.empty())
    return std::nullopt;
  return static_cast<size_t>(i - kinds.begin());
}

bool link_policy::better(const std::vector<std::string>& allowed, const std::string& a,
                         const std::string& b) const {
  auto x = place(allowed, a);
  auto y = place(allowed, b);
  return x != y ? x < y : a < b;
}

std::string queue_name(const std::string& target, const std::string& data_class) {
  return data_class.empty() ? target : target + std::string{class_level} + data_class;
}

queue_name_parts split_queue_name(const std::string& name) {
  auto at = name.find(class_level);
  if (at == std::string::npos)
    return {name, {}};
  return {name.substr(0, at), name.substr(at + class_level.size())};
}

} // namespace rvi
