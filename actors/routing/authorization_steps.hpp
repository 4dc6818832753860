// SPDX-License-Identifier: MPL-2.0
//
// What the sources of authorization share: its records in the table `nodes`, and small judgements.

#pragma once

#include "actors/storage/transaction.hpp"
#include "messages/batches.hpp"
#include "messages/rights.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rvi {

/// Below its address a node is provisioned there (HLD 9).
inline constexpr std::string_view provisioning_level = "/provisioning";

/// And other nodes bring their grants there (HLD 9.6). Not reserved: whoever may reach the node
/// may.
inline constexpr std::string_view grants_level = "/grants";

/// Visits all records (key, value) of the table `nodes` under keys that begin so.
template <class Visit>
caf::error each_below(transaction& t, std::string_view prefix, Visit visit) {
  return t.scan(table::nodes, prefix, transaction::no_limit,
                [&](std::string_view key, std::string_view value) {
                  if (!key.starts_with(prefix))
                    return false;
                  visit(key, value);
                  return true;
                });
}

using stored_records = std::vector<std::pair<std::string, std::string>>;

/// Adds them all.
inline caf::error records_below(transaction& t, std::string_view prefix, stored_records& result) {
  return each_below(t, prefix, [&](auto key, auto value) { result.emplace_back(key, value); });
}

/// Erases these of them.
inline transaction_step erasing(std::vector<std::string> keys) {
  return [keys = std::move(keys)](transaction& t) -> caf::error {
    for (auto& key : keys)
      if (auto erased = t.erase(table::nodes, key); !erased)
        return std::move(erased.error());
    return {};
  };
}

/// How many of this node's credentials are revoked.
inline size_t own_fallen(const rights& x) {
  return static_cast<size_t>(std::count_if(
    x.own.begin(), x.own.end(), [&](auto& credential) { return x.revoked(*credential); }));
}

} // namespace rvi
