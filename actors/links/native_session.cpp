// SPDX-License-Identifier: MPL-2.0

#include "actors/links/native_session.hpp"

#include "messages/wire/batch.hpp"
#include "messages/wire/fragment.hpp"
#include "messages/wire/metric.hpp"
#include "messages/wire/scan.hpp"
#include "runtime/crypto/crypto.hpp"
#include "rvi.pb.h"

#include <algorithm>

namespace rvi {

namespace {

constexpr size_t clone_token_bytes = 32;

caf::error too_early(const char* what) {
  return caf::make_error(ec::unauthorized, std::string{what} + " before its time");
}

} // namespace

native_session::native_session(native_session_limits limits)
  : limits_(limits),
    reader_(limits.frames.bytes_max) {}

caf::error native_session::receive(std::string_view bytes) {
  if (ended_)
    return {};
  reader_.append(bytes);
  auto waiting_max
    = limits_.unauthorized_bytes_max + (authorize_seen_ ? limits_.frames.bytes_max : 0);
  if (!admitted_ && reader_.pending() > waiting_max)
    return caf::make_error(ec::limit_exceeded, std::string{"too many bytes before authorization"});
  return read_frames();
}

caf::error native_session::read_frames() {
  // After its Authorize a peer waits in the buffer until it is believed.
  while (!ended_ && (admitted_ || !authorize_seen_)) {
    auto frame = reader_.next();
    if (!frame)
      return std::move(frame.error());
    if (!*frame)
      return {};
    if (auto err = take_frame(**frame))
      return err;
  }
  return {};
}

caf::error native_session::take_frame(std::string_view bytes) {
  if (auto err = wire::check_frame(bytes, limits_.frames))
    return err;
  auto content = *wire::field_scanner{bytes}.next();
  if (content.number == wire::Frame::kBatch)
    return take_batch(content.content);
  wire::Frame frame;
  if (!frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return caf::make_error(ec::malformed, std::string{"a frame that does not parse"});
  if (frame.content_case() == wire::Frame::kBye) {
    ended_ = true;
    events_.emplace_back(
      peer_bye{frame.bye().reason().substr(0, 64), frame.bye().detail().substr(0, 512)});
    return {};
  }
  if (frame.content_case() == wire::Frame::kAuthorize) {
    if (authorize_seen_)
      return caf::make_error(ec::malformed, std::string{"a second Authorize"});
    authorize_seen_ = true;
    events_.emplace_back(peer_authorize{frame.authorize().body(), frame.authorize().signature()});
    return {};
  }
  return admitted_ ? take_admitted(frame) : too_early("a frame");
}

caf::error native_session::take_admitted(wire::Frame& frame) {
  switch (frame.content_case()) {
    case wire::Frame::kAnnounce:
      return take_announce(frame);
    case wire::Frame::kPing:
      if (frame.ping().answer()) {
        events_.emplace_back(peer_pong{frame.ping().nonce()});
      } else {
        wire::Frame answer;
        answer.mutable_ping()->set_nonce(frame.ping().nonce());
        answer.mutable_ping()->set_answer(true);
        append(answer);
      }
      return {};
    case wire::Frame::kCredit:
      events_.emplace_back(peer_credit{{frame.credit().envelopes(), frame.credit().bytes()}});
      return {};
    case wire::Frame::kCustody: {
      auto report = wire::decode_custody(frame.custody());
      if (!report)
        return std::move(report.error());
      events_.emplace_back(peer_custody{std::move(*report)});
      return {};
    }
    case wire::Frame::kFragment:
      return take_fragment(frame);
    case wire::Frame::kFragmentState: {
      auto state = wire::decode_fragment_state(frame.fragment_state());
      if (!state)
        return std::move(state.error());
      events_.emplace_back(peer_fragment_state{*state});
      return {};
    }
    case wire::Frame::kNeedCredential:
      events_.emplace_back(peer_needs{
        {frame.need_credential().hashes().begin(), frame.need_credential().hashes().end()}});
      return {};
    case wire::Frame::kCredentialChain:
      return take_chain(frame);
    case wire::Frame::kRevocations:
      events_.emplace_back(
        peer_revocations{{frame.revocations().lists().begin(), frame.revocations().lists().end()}});
      return {};
    case wire::Frame::kCloneToken:
      if (frame.clone_token().token().size() != clone_token_bytes)
        return caf::make_error(ec::malformed, std::string{"a token has 32 bytes"});
      events_.emplace_back(peer_token{frame.clone_token().counter(), frame.clone_token().token()});
      return {};
    case wire::Frame::kCloneTokenKept:
      events_.emplace_back(peer_token_kept{frame.clone_token_kept().counter()});
      return {};
    case wire::Frame::kMetricSubscriptions:
    case wire::Frame::kMetricValues:
      return take_metrics(frame);
    case wire::Frame::kRelayedAnnounce:
      return take_relayed(frame);
    default:
      return caf::make_error(ec::malformed, std::string{"a frame this node does not take"});
  }
}

caf::error native_session::take_announce(const wire::Frame& frame) {
  peer_announce result{frame.announce().full(), {}};
  for (auto& x : frame.announce().entries())
    result.entries.push_back({x.service(), x.signature(), x.credential_hash()});
  if (!announce_accepted_ && !result.full)
    return too_early("a delta");
  events_.emplace_back(std::move(result));
  return {};
}

namespace {

/// What a serialised Batch weighs in credit. Its limits have been checked.
credit_grant weight_of(std::string_view batch) {
  constexpr uint32_t items = 6;
  constexpr uint32_t header = 1;
  constexpr uint32_t arguments = 2;
  credit_grant result;
  wire::field_scanner scanner{batch};
  while (auto x = scanner.next()) {
    if (x->number != items)
      continue;
    ++result.envelopes;
    wire::field_scanner item{x->content};
    while (auto part = item.next())
      if (part->number == header || part->number == arguments)
        result.bytes += part->content.size();
  }
  return result;
}

} // namespace

/// Passed on unparsed: this thread serves all peers, the verifier only this one.
caf::error native_session::take_batch(std::string_view batch) {
  if (!up_)
    return too_early("a batch");
  auto weight = weight_of(batch);
  unconfirmed_envelopes_ += weight.envelopes;
  unconfirmed_bytes_ += weight.bytes;
  if (unconfirmed_envelopes_ > limits_.credit_envelopes
      || unconfirmed_bytes_ + unconfirmed_fragment_bytes_ > limits_.credit_bytes)
    return caf::make_error(ec::limit_exceeded, std::string{"more envelopes than were granted"});
  events_.emplace_back(peer_batch{std::string{batch}});
  return {};
}

caf::error native_session::take_fragment(wire::Frame& frame) {
  if (!up_)
    return too_early("a fragment");
  auto fragment = wire::decode_fragment(*frame.mutable_fragment());
  if (!fragment)
    return std::move(fragment.error());
  unconfirmed_fragment_bytes_ += fragment->content.size();
  if (unconfirmed_bytes_ + unconfirmed_fragment_bytes_ > limits_.credit_bytes)
    return caf::make_error(ec::limit_exceeded, std::string{"more bytes than were granted"});
  events_.emplace_back(peer_fragment{std::move(*fragment)});
  return {};
}

caf::error native_session::take_chain(const wire::Frame& frame) {
  peer_chain result;
  for (auto& text : frame.credential_chain().credentials()) {
    auto digest = crypto::sha256(text);
    auto asked = std::find(asked_for_.begin(), asked_for_.end(), crypto::view(digest));
    if (asked == asked_for_.end())
      return caf::make_error(ec::unauthorized, std::string{"a credential nobody asked for"});
    asked_for_.erase(asked);
    result.credentials.push_back(text);
  }
  events_.emplace_back(std::move(result));
  return {};
}

caf::error native_session::take_metrics(const wire::Frame& frame) {
  if (!up_)
    return too_early("a metric");
  if (frame.content_case() == wire::Frame::kMetricSubscriptions)
    events_.emplace_back(
      peer_subscriptions{wire::decode_metric_subscriptions(frame.metric_subscriptions())});
  else
    events_.emplace_back(peer_values{wire::decode_metric_values(frame.metric_values())});
  return {};
}

std::optional<session_event> native_session::next() {
  if (events_.empty())
    return std::nullopt;
  auto result = std::move(events_.front());
  events_.pop_front();
  return result;
}

void native_session::append(const wire::Frame& frame) {
  wire::append_frame(output_, frame);
}

void native_session::introduce(std::string body, std::string signature) {
  wire::Frame frame;
  frame.mutable_authorize()->set_body(std::move(body));
  frame.mutable_authorize()->set_signature(std::move(signature));
  append(frame);
  introduced_ = true;
}

caf::error native_session::admitted(uint64_t frame_bytes_max) {
  admitted_ = true;
  peer_frame_bytes_max_ = std::min<uint64_t>(frame_bytes_max, wire::frame_bytes_max_default);
  return read_frames();
}

void native_session::announce(bool full, const std::vector<announce_entry>& entries) {
  auto frame_max = limits_.frames.announce_entries_max;
  for (size_t i = 0; i == 0 || i < entries.size(); i += frame_max) {
    wire::Frame frame;
    auto& message = *frame.mutable_announce();
    message.set_full(full && i == 0);
    for (size_t j = i; j < std::min(entries.size(), i + frame_max); ++j) {
      auto& entry = *message.add_entries();
      entry.set_service(entries[j].service);
      entry.set_signature(entries[j].signature);
      entry.set_credential_hash(entries[j].credential_hash);
    }
    append(frame);
  }
  announced_ = announced_ || full;
  check_up();
}

void native_session::announcement_accepted() {
  announce_accepted_ = true;
  check_up();
}

void native_session::check_up() {
  if (up_ || !introduced_ || !admitted_ || !announced_ || !announce_accepted_)
    return;
  up_ = true;
  wire::Frame frame;
  frame.mutable_credit()->set_envelopes(limits_.credit_envelopes);
  frame.mutable_credit()->set_bytes(limits_.credit_bytes);
  append(frame);
  events_.emplace_back(session_up{});
}

void native_session::transmit(const batch& x) {
  wire::append_batch_frames(output_, x, peer_frame_bytes_max_);
}

void native_session::custody(const custody_report& x) {
  uint64_t settled = x.accepted.size() + x.refused.size();
  if (settled == 0)
    return;
  wire::append_custody_frame(output_, x);
  auto envelopes = std::min(settled, unconfirmed_envelopes_);
  // Bytes go back in proportion; all of them with the last envelope.
  auto bytes = envelopes == unconfirmed_envelopes_
                 ? unconfirmed_bytes_
                 : unconfirmed_bytes_ / unconfirmed_envelopes_ * envelopes;
  unconfirmed_envelopes_ -= envelopes;
  unconfirmed_bytes_ -= bytes;
  wire::Frame frame;
  frame.mutable_credit()->set_envelopes(static_cast<uint32_t>(envelopes));
  frame.mutable_credit()->set_bytes(bytes);
  append(frame);
}

void native_session::transmit(const argument_fragment& x) {
  wire::append_fragment_frame(output_, x);
}

void native_session::fragment(const fragment_state& x) {
  if (x.told)
    wire::append_fragment_state_frame(output_, x);
  auto bytes = std::min(x.settled_bytes, unconfirmed_fragment_bytes_);
  unconfirmed_fragment_bytes_ -= bytes;
  if (bytes == 0)
    return;
  wire::Frame frame;
  frame.mutable_credit()->set_bytes(bytes);
  append(frame);
}

void native_session::need_credentials(const std::vector<std::string>& hashes) {
  wire::Frame frame;
  for (auto& hash : hashes) {
    asked_for_.push_back(hash);
    frame.mutable_need_credential()->add_hashes(hash);
  }
  append(frame);
}

void native_session::credentials(const std::vector<std::string>& texts) {
  wire::Frame frame;
  frame.mutable_credential_chain();
  for (auto& x : texts)
    frame.mutable_credential_chain()->add_credentials(x);
  append(frame);
}

void native_session::revocations(const std::vector<std::string>& lists) {
  for (auto& text : lists) {
    wire::Frame frame;
    frame.mutable_revocations()->add_lists(text);
    if (frame.ByteSizeLong() <= peer_frame_bytes_max_)
      append(frame);
  }
}

void native_session::clone_token(uint64_t counter, const std::string& token) {
  wire::Frame frame;
  frame.mutable_clone_token()->set_counter(counter);
  frame.mutable_clone_token()->set_token(token);
  append(frame);
}

void native_session::clone_token_kept(uint64_t counter) {
  wire::Frame frame;
  frame.mutable_clone_token_kept()->set_counter(counter);
  append(frame);
}

void native_session::subscribe(const metric_subscriptions& x) {
  wire::append_metric_subscriptions(output_, x, peer_frame_bytes_max_);
}

void native_session::publish(metric_queue& waiting, size_t bytes_max) {
  wire::metric_values_frame frame;
  auto room = std::min<uint64_t>(peer_frame_bytes_max_, bytes_max);
  for (auto x = waiting.front(); x && !frame.full(); x = waiting.front()) {
    auto bytes = wire::metric_values_frame::bytes_max(*x);
    if (!frame.empty() && frame.bytes() + bytes > room)
      break;
    if (bytes <= peer_frame_bytes_max_) // else it can never go
      frame.add(*x);
    waiting.take();
  }
  frame.append_to(output_);
}

void native_session::ping(uint64_t nonce) {
  wire::Frame frame;
  frame.mutable_ping()->set_nonce(nonce);
  append(frame);
}

void native_session::bye(std::string_view reason, std::string_view detail) {
  if (ended_)
    return;
  ended_ = true;
  wire::Frame frame;
  frame.mutable_bye()->set_reason(std::string{reason.substr(0, 64)});
  frame.mutable_bye()->set_detail(std::string{detail.substr(0, 512)});
  append(frame);
}

std::string native_session::take_output() {
  return std::exchange(output_, {});
}

} // namespace rvi
