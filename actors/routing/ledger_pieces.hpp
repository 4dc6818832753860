// SPDX-License-Identifier: MPL-2.0
//
// Large arguments in the store: in pieces beside their record, so that they are written, read and
// sent piece by piece, and what a peer is still sending (`partials`). Functions on one transaction,
// as the ledger's, and as those they may run twice.

#pragma once

#include "actors/routing/request_ledger.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::ledger {

/// Puts an envelope under `seq`; arguments over 256 KiB in pieces. Those of an opening are there
/// already.
caf::error put_content(transaction& t, uint64_t seq, const envelope& x);
caf::error drop_pieces(transaction& t, uint64_t seq);

/// A part of the arguments of the record `seq`, at most `bytes` long. Error: `malformed` if none of
/// it is there.
expected<std::string> read_arguments(transaction& t, uint64_t seq, uint64_t offset, size_t bytes);

/// The whole envelope again, length and hash checked. Error: `malformed`.
expected<envelope_ptr> with_arguments(transaction& t, uint64_t seq, const envelope_ptr& x);

/// What may become of a large request or reply that a peer opens.
enum class opened { fresh, duplicate, replayed, late, unexpected };
expected<opened> may_open(transaction& t, const envelope& opening);

/// `partial.bytes` must be the offset of `content`, or nothing may be there yet.
caf::error
add_piece(transaction& t, std::string_view id, const partial& x, std::string_view content);
caf::error drop_partial(transaction& t, std::string_view id, uint64_t record);

/// What a complete transfer has become.
struct completed {
  bool mismatch = false; // its hash is another: it is dropped
  received request = received::stored;
  replied reply = replied::unexpected;
  queue_place left;   // the request of a reply waited there
  envelope_ptr whole; // with its arguments, if it is dispatched
};
/// All pieces are there: checks the hash over the whole and keeps it as if it had come at once.
/// `dispatch` as in `receive`.
expected<completed> complete(transaction& t, std::string_view id, const partial& x,
                             const queue_ref& queue, bool dispatch);

/// All transfers that had begun before a start.
expected<std::vector<partial>> recover_partials(transaction& t);

} // namespace rvi::ledger
