// SPDX-License-Identifier: MPL-2.0
//
// Credentials of others that the cache has lost and the store still has. Both halves of a read: the
// step for the store, and what its answer is good for.

#pragma once

#include "actors/routing/authorization.hpp"
#include "actors/storage/transaction.hpp"
#include "messages/rights.hpp"

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace rvi {

using credential_texts = std::shared_ptr<std::vector<std::string>>;

/// Reads those of `hashes` that the store has.
inline transaction_step
read_credentials_step(credential_texts texts, std::set<std::string> hashes) {
  return [texts = std::move(texts), hashes = std::move(hashes)](transaction& t) -> caf::error {
    texts->clear();
    for (auto& hash : hashes) {
      auto text = t.get(table::nodes, std::string{credential_prefix} + hash);
      if (!text)
        return std::move(text.error());
      if (*text)
        texts->push_back(std::move(**text));
    }
    return {};
  };
}

/// Puts those that still verify into the cache.
inline void know_again(const rights& to, const std::vector<std::string>& texts) {
  if (!to.known)
    return;
  for (auto& text : texts)
    if (auto x = parse_credential(text); x && !verify_credential(**x, to.anchors))
      to.known->add(*x);
}

} // namespace rvi
