// SPDX-License-Identifier: MPL-2.0

#include "messages/wire/fragment.hpp"

#include "messages/wire/batch.hpp"
#include "messages/wire/frame.hpp"
#include "rvi.pb.h"

#include <algorithm>

namespace rvi::wire {

bool needs_fragments(const envelope& x, size_t frame_bytes_max) {
  return is_large(x) || (!x.is_opening() && frame_bytes_of(x) > frame_bytes_max);
}

size_t fragment_bytes_for(size_t frame_bytes_max) {
  return std::min(fragment_bytes_max, frame_bytes_max - fragment_overhead);
}

void append_fragment_frame(std::string& out, const argument_fragment& x) {
  Frame frame;
  auto& message = *frame.mutable_fragment();
  message.set_transaction_id(to_bytes(x.id));
  message.set_reply(x.reply);
  message.set_offset(x.offset);
  message.set_content(x.content);
  append_frame(out, frame);
}

void append_fragment_state_frame(std::string& out, const fragment_state& x) {
  Frame frame;
  auto& message = *frame.mutable_fragment_state();
  message.set_transaction_id(to_bytes(x.id));
  message.set_reply(x.reply);
  message.set_offset(x.offset);
  append_frame(out, frame);
}

expected<argument_fragment> decode_fragment(Fragment& x) {
  auto id = transaction_id_from_bytes(x.transaction_id());
  if (!id || x.content().empty())
    return caf::make_error(ec::malformed, std::string{"a fragment without id or content"});
  return argument_fragment{*id, x.reply(), x.offset(), std::move(*x.mutable_content())};
}

expected<fragment_state> decode_fragment_state(const FragmentState& x) {
  auto id = transaction_id_from_bytes(x.transaction_id());
  if (!id)
    return caf::make_error(ec::malformed, std::string{"the state of a fragment without id"});
  return fragment_state{*id, x.reply(), x.offset(), 0, true};
}

} // namespace rvi::wire
