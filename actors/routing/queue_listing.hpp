// SPDX-License-Identifier: MPL-2.0
//
// Pages of what waits and of dead letters, as JSON (messages/service_api.hpp: queue_call), read
// from the ledger: 200,000 records are listed a page at a time, and none of them is in memory.

#pragma once

#include "actors/routing/store_and_forward.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::queue_listing {

struct page {
  bool dead = false;
  size_t items_max = 100;
  std::string pattern;                    // of targets; empty: all
  std::map<uint32_t, std::string> queues; // that are wanted, by number
  bool in_memory = false;                 // what is on disk has been listed
  std::string from;                       // key of the table
  std::vector<std::string> items;         // JSON
  bool more = false;

  /// Goes on where another page ended. False if the text is none of `to_json`'s.
  bool start_after(std::string_view cursor);
  std::string to_json() const;
};

/// A pattern given by hand: with the names it matches those below them.
bool wanted(const std::string& pattern, std::string_view name);

/// Fills the page.
caf::error read(transaction& t, page& x);

/// An id, as made here and as to be run here.
caf::error show(transaction& t, const transaction_id& id, std::vector<std::string>& items);
std::string as_list(const std::vector<std::string>& items);

/// The requests (keys in `ids`, and who made them) of this id, or of the page's queues.
caf::error find(transaction& t, const std::optional<transaction_id>& id, const page& where,
                std::vector<store_and_forward_state::due_request>& found, bool& more);

} // namespace rvi::queue_listing
