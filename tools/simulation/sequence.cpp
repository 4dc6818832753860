// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/sequence.hpp"

#include "messages/transaction_id.hpp"
#include "messages/wire/frame.hpp"
#include "rvi.pb.h"

#include <cstdio>

namespace rvi::simulation {

namespace {

std::string describe(const wire::IdRange& x) {
  std::string result = std::to_string(x.first());
  if (x.count() > 1)
    result += "-" + std::to_string(x.first() + x.count() - 1);
  return (x.replies() ? "reply to " : "request ") + result;
}

std::string describe(const wire::Custody& x) {
  std::string result = "custody";
  for (auto& range : x.accepted())
    result += ", has " + describe(range);
  for (auto& refusal : x.refused())
    result += ", refuses " + describe(refusal.ids()) + " (" + refusal.reason()
              + (refusal.permanent() ? ", for good)" : ")");
  return result;
}

bool speaks_of(const wire::IdRange& range, const transaction_id& id) {
  std::string origin{crypto::view(id.origin)};
  append_u32(origin, id.epoch);
  return range.origin() == origin && range.first() <= id.seq
         && id.seq < range.first() + range.count();
}

/// Requests are found by the bytes of their id, custody by its ranges.
bool speaks_of(const wire::Frame& frame, std::string_view bytes, const transaction_id& id) {
  if (frame.content_case() != wire::Frame::kCustody)
    return bytes.find(to_bytes(id)) != std::string_view::npos;
  for (auto& range : frame.custody().accepted())
    if (speaks_of(range, id))
      return true;
  for (auto& refusal : frame.custody().refused())
    if (speaks_of(refusal.ids(), id))
      return true;
  return false;
}

std::string describe(const wire::Frame& x) {
  switch (x.content_case()) {
    case wire::Frame::kAuthorize:
      return "authorize";
    case wire::Frame::kAnnounce:
      return "announce " + std::to_string(x.announce().entries_size()) + " services";
    case wire::Frame::kBatch:
      return "batch of " + std::to_string(x.batch().items_size());
    case wire::Frame::kCustody:
      return describe(x.custody());
    case wire::Frame::kCredit:
      return "credit for " + std::to_string(x.credit().envelopes());
    case wire::Frame::kFragment:
      return "fragment at " + std::to_string(x.fragment().offset()) + " of "
             + std::to_string(x.fragment().content().size()) + " bytes";
    case wire::Frame::kFragmentState:
      return "fragments kept up to " + std::to_string(x.fragment_state().offset());
    case wire::Frame::kNeedCredential:
      return "needs a credential";
    case wire::Frame::kCredentialChain:
      return "credentials";
    case wire::Frame::kRevocations:
      return "revocation lists";
    case wire::Frame::kPing:
      return x.ping().answer() ? "pong" : "ping";
    case wire::Frame::kBye:
      return "bye: " + x.bye().reason() + " " + x.bye().detail();
    default:
      return "frame " + std::to_string(static_cast<int>(x.content_case()));
  }
}

} // namespace

std::string time_text(uint64_t ms) {
  char text[48];
  auto s = ms / 1'000;
  std::snprintf(text, sizeof text, "%llud %02u:%02u:%02u.%03u",
                static_cast<unsigned long long>(s / 86'400), static_cast<unsigned>(s / 3'600 % 24),
                static_cast<unsigned>(s / 60 % 60), static_cast<unsigned>(s % 60),
                static_cast<unsigned>(ms % 1'000));
  return text;
}

std::string describe_frames(std::string_view bytes, const std::string& id) {
  wire::frame_reader reader{wire::frame_bytes_max_default};
  reader.append(bytes);
  std::string result;
  for (;;) {
    auto next = reader.next();
    if (!next || !*next)
      return result;
    wire::Frame frame;
    if (!frame.ParseFromArray((*next)->data(), static_cast<int>((*next)->size())))
      return result;
    auto wanted = parse_transaction_id(id);
    if (!id.empty() && (!wanted || !speaks_of(frame, **next, *wanted)))
      continue;
    result += (result.empty() ? "" : "; ") + describe(frame);
  }
}

} // namespace rvi::simulation
