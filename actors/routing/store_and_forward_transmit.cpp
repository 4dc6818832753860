// SPDX-License-Identifier: MPL-2.0
//
// Store and forward towards a peer: what goes over a link, and what comes back refused.

#include "actors/routing/store_and_forward.hpp"
#include "messages/wire/batch.hpp"
#include "messages/wire/fragment.hpp"
#include "messages/wire/frame.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";
constexpr size_t transmit_items_max = 512;

/// What channels ask of the items of one transmission: what travels in one frame is kept or refused
/// together and cannot overtake.
class frame_order {
public:
  explicit frame_order(uint64_t frame_bytes_max) : frame_(frame_bytes_max) {}

  /// The item that is judged, and perhaps added, now.
  void next(const envelope& x) { next_frame_ = frame_.begins(x); }

  bool allows(const store_and_forward_state::waiting_queue& q, const std::string& channel,
              bool in_memory, bool large) const {
    if (channel.empty())
      return true;
    auto before = channels_.find(channel);
    // What follows something large would overtake its fragments.
    bool together
      = !next_frame_ && before != channels_.end() && before->second == in_memory && !large;
    return held_back_.count(channel) == 0 && (together || q.channels.count(channel) == 0);
  }

  /// Something large of this channel cannot go now.
  void hold_back(const std::string& channel) { held_back_.insert(channel); }

  void add(const envelope& x, const std::string& channel, bool in_memory, bool large) {
    if (next_frame_)
      channels_.clear();
    frame_.add(x);
    if (large)
      channels_.erase(channel);
    else
      channels_.emplace(channel, in_memory);
  }

private:
  wire::frame_filler frame_;
  bool next_frame_ = true;
  std::map<std::string, bool> channels_; // of this frame; the peer keeps what is in memory apart
  std::set<std::string> held_back_;
};

} // namespace

void store_and_forward_state::transmit(const queue_ptr& q, const next_hop& next,
                                       uint8_t priority_max) {
  auto& link = *next.link;
  batch going;
  auto frame_max
    = std::min<uint64_t>(link.info.peer.frame_bytes_max, wire::frame_bytes_max_default);
  frame_order order{frame_max};
  for (auto i = q->loaded.begin(); i != q->loaded.end() && going.size() < transmit_items_max;) {
    auto& item = i->second;
    if (!item.content || item.at.priority > priority_max)
      break;
    if (!may_go(*q, item, next)) {
      ++i;
      continue;
    }
    bool large = wire::needs_fragments(*item.content, frame_max);
    auto content = large && !item.content->is_opening() ? opening_of(*item.content) : item.content;
    auto channel = channel_of(*content);
    order.next(*content);
    if (!order.allows(*q, channel, item.in_memory, large)) {
      ++i; // its turn comes with the custody of those before it
      continue;
    }
    if (large && !may_open_transfer(q, link)) {
      order.hold_back(channel);
      ++i;
      continue;
    }
    auto weight = large ? content->header_bytes.size() : item.bytes;
    if (link.credit_envelopes == 0 || weight > link.credit_bytes) {
      await_credit(link);
      break;
    }
    order.add(*content, channel, item.in_memory, large);
    if (!channel.empty())
      ++q->channels[channel];
    --link.credit_envelopes;
    link.credit_bytes -= weight;
    going.push_back(large ? content : on_its_way(item, next));
    send_away(q, next, std::move(item), *content, large);
    i = q->loaded.erase(i);
  }
  if (going.empty())
    return;
  await_custody(link);
  counts.transmitted->add(going.size());
  bool more = going.size() == transmit_items_max;
  self->send(link.handle, atom::transmit_v, std::move(going));
  if (more || q->front_is_on_disk())
    pump(q, priority_max);
}

void store_and_forward_state::send_away(const queue_ptr& q, const next_hop& next,
                                        ledger::waiting_item item, const envelope& as_sent,
                                        bool large) {
  auto& link = *next.link;
  auto now = boot_ms();
  flight_key key{as_sent.header.id, as_sent.header.is_reply()};
  q->in_flight.insert(item.at);
  config.node->record(key.first, 11, key.second, "transmit");
  take_in_flight(link, key); // there is none; a count that is off would close the link
  if (link.in_flight.empty())
    link.progress_ms = now;
  link.bytes_max = std::max<uint64_t>(link.bytes_max, large ? fragment_bytes_max : item.bytes);
  if (large)
    open_transfer(link, key, item);
  link.in_flight[key]
    = {q, std::move(item), next.relay ? std::optional{link.info.peer.uid} : std::nullopt, now};
}

void store_and_forward_state::refused_by_peer(flight x, const refusal& why) {
  auto& [queue, item, relay, sent_ms] = x;
  if (relay) { // advisory: only the target's owner ends a request
    relay_refused(std::move(x), why);
    return;
  }
  config.node->record(why.id, 11, why.reply, "refused: " + describe(why.reason));
  if (!why.permanent && is_large(*item.content)) {
    // What is small need not wait for the room that this needs.
    block_large(queue, boot_ms() + std::max<uint64_t>(why.retry_after_ms, config.retry_ms));
    put_back(queue, std::move(item));
    return;
  }
  if (!why.permanent) {
    block(queue, boot_ms() + std::max<uint64_t>(why.retry_after_ms, config.retry_ms));
    refused_for_now(std::move(x), why);
    return;
  }
  if (ledger::is_carried(item.id)) {
    drop_carried(std::move(x), why.reason);
    return;
  }
  left(queue, item);
  if (why.reply) {
    log::warning(component, "a peer refused a reply",
                 {{"id", to_string(why.id)}, {"reason", describe(why.reason)}});
    settle_custody(
      {settled_item{item.id, queue->target, item.content->header.expires_ms, item.in_memory}});
    return;
  }
  auto key = item.id;
  // Refused after it was sent once before: that one may have arrived and been run. Its reply, or
  // its timeout, ends it.
  bool told = item.content->header.owes_outcome();
  bool before = sent_before.erase(key) > 0 || queue->carrier.has_value();
  if (before && told) {
    settle_custody(
      {settled_item{key, queue->target, item.content->header.expires_ms, item.in_memory}});
    return;
  }
  auto source = queue_for(item.content->header.source);
  auto ref = reference(source);
  auto seq = next_seq++;
  json::writer text;
  text.begin_object()
    .member("code", to_string(code_of(why.reason)))
    .member("message", detail_of(why.reason))
    .end_object();
  bool timeout = code_of(why.reason) == ec::timeout;
  std::string status = timeout ? "timeout" : "refused";
  std::string detail = timeout ? "no" : text.take();
  // Nobody else would know of a message that was refused.
  bool listed = !timeout && !item.in_memory && item.content->header.kind == request_kind::message;
  auto ended = std::make_shared<bool>(false);
  ledger::waiting_item outcome{{item.at.priority, seq}, key, nullptr, std::nullopt, 0,
                               item.in_memory};
  auto now = clock->now_ms();
  commit_in(
    item.in_memory,
    [=](transaction& t) -> caf::error {
      auto result = listed ? ledger::end_dead(t, key, detail, ref, seq, now)
                           : ledger::end(t, key, status, detail, ref, seq);
      if (!result)
        return std::move(result.error());
      *ended = *result;
      return {};
    },
    [this, source, outcome, told, listed, ended, content = item.content, detail] {
      if (!*ended)
        return;
      if (listed)
        died(content->header.id, content->header.target, detail);
      if (!told) {
        if (outcome.in_memory)
          forget_in_memory(outcome.id, 0);
        return;
      }
      entered(source, outcome);
      announce_outcome(source, outcome);
    });
}

void store_and_forward_state::refused_for_now(flight x, const refusal& why) {
  auto code = code_of(why.reason);
  bool blamed = code != ec::busy && code != ec::store_full && code != ec::store_failed
                && code != ec::shutting_down && code != ec::link_down && !why.reply
                && why.reason != caf::error{};
  if (!blamed)
    return put_back(x.queue, std::move(x.item));
  auto attempts = std::make_shared<uint32_t>(0);
  commit_in(
    x.item.in_memory,
    [attempts, id = x.item.id](transaction& t) -> caf::error {
      auto n = ledger::refused_again(t, id);
      if (!n)
        return std::move(n.error());
      *attempts = *n;
      return {};
    },
    [this, x, why = why, attempts]() mutable {
      if (*attempts < config.delivery_attempts_max)
        return put_back(x.queue, std::move(x.item));
      why.permanent = true;
      refused_by_peer(std::move(x), why);
    },
    [this, x](const caf::error&) { put_back(x.queue, x.item); });
}

} // namespace rvi
