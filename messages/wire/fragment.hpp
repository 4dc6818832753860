// SPDX-License-Identifier: MPL-2.0
//
// Large arguments on the wire: an item without its arguments, then Fragments, each answered with
// how far the whole is durable.

#pragma once

#include "messages/batches.hpp"

#include <string>

namespace rvi::wire {

class Fragment;
class FragmentState;

/// Bytes a Fragment frame takes beside its content, at most.
inline constexpr size_t fragment_overhead = 64;

/// True if these arguments go in fragments to a peer with frames of this size.
bool needs_fragments(const envelope& x, size_t frame_bytes_max);

/// How much one fragment may carry to a peer with frames of this size.
size_t fragment_bytes_for(size_t frame_bytes_max);

void append_fragment_frame(std::string& out, const argument_fragment& x);
void append_fragment_state_frame(std::string& out, const fragment_state& x);

/// Takes the content out of the message. Error: `malformed` (no transaction id, or no content).
expected<argument_fragment> decode_fragment(Fragment& x);
/// Error: `malformed`.
expected<fragment_state> decode_fragment_state(const FragmentState& x);

} // namespace rvi::wire
