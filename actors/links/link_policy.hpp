// SPDX-License-Identifier: MPL-2.0
//
// Which kinds of link may carry what, and which of them first: kinds have an order, and a data
// class may be kept to some kinds with an order of its own (HLD 5.6: WiFi, 3G, 4G, Ethernet; each
// costs something else).

#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

/// A link nobody gave a name.
inline constexpr std::string_view unnamed_link_kind = "tls";

/// What a kind may be called: 1 to 32 of a-z, 0-9, `_` and `-`.
bool is_link_kind(std::string_view x);

/// What a link is called, the same at both ends: the dialling side's name for it, else the other
/// side's, else "tls".
std::string agreed_kind(bool dialled, const std::string& own, const std::string& peers);

struct link_policy {
  std::vector<std::string> order; // kinds, best first; those not listed come after, by name
  std::map<std::string, std::vector<std::string>> classes; // the kinds each allows, best first

  /// A class that is not configured is the default class.
  bool has(const std::string& data_class) const { return classes.count(data_class) != 0; }

  /// The kinds this class may use, best first; empty: all, in the general order.
  const std::vector<std::string>& kinds_of(const std::string& data_class) const;

  /// The place of a kind among those allowed (empty: all), smaller is better; nothing: not allowed.
  std::optional<size_t>
  place(const std::vector<std::string>& allowed, const std::string& kind) const;

  /// Whether a link of kind `a` is to be used before one of kind `b`; both are allowed.
  bool
  better(const std::vector<std::string>& allowed, const std::string& a, const std::string& b) const;
};

/// Requests of a class that is kept to some links wait in a queue of their own, so that they do not
/// stand in the way of others: its name is the target's with the class behind it.
std::string queue_name(const std::string& target, const std::string& data_class);

struct queue_name_parts {
  std::string target;
  std::string data_class; // empty: the default class
};

queue_name_parts split_queue_name(const std::string& name);

} // namespace rvi
